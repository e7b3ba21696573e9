"""Programs that run a step table: a diffusion's ``sample``. See :mod:`zoo.samplers.state` for what is run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.bundle.manifest import Manifest
from zoo.errors import BundleError, RuntimeFailure, UsageError
from zoo.paths import GaussianPath, path_from
from zoo.programs import Iterate, Program
from zoo.runtime.graph_checks import check_coding, check_event, check_numbers, check_path, check_ports, latent_shape
from zoo.runtime.running import Drawing, Host, Runner, SampleRequest, Tick
from zoo.runtime.session import Session
from zoo.samplers import Step, StepTable, table_for
from zoo.samplers.state import RowInputs, SamplerState, in_data_units, to_data

_ROW = ("time", "alpha", "sigma")
_STEP = ("state", *_ROW, "clip", "noise_scale", "matrix", "noise", "weights")
_REVEALING = ("state", "alpha", "matrix", "noise", "weights")
_STEP_OPTIONAL = ("rescale", "known", "mask")  # a graph without them serves fewer edits
#: (row, the denoised samples [n, *event] in data units)
Preview = Callable[[int, NDArray[Any]], None]


class IterateRunner(Runner):
    """See :class:`~zoo.programs.Iterate`."""

    def check_sample(self, manifest: Manifest, program: Program) -> None:
        """See :meth:`Runner.check_sample`."""
        program = program.stepping("the model")
        learned = ("noise_range",) if program.learned_variance else ()
        required = (*_STEP, *learned) if isinstance(path_from(program.path), GaussianPath) else _REVEALING
        optional = (*_STEP_OPTIONAL, *(name for name in _STEP if name not in required))
        check_ports(manifest, program, required, ("next_state", "denoised"), optional=optional)
        check_numbers(program.shift, program.scale, program.guidance)
        check_numbers(*(v for v in (program.data_min, program.data_max, program.clip) if v is not None))
        check_path(program)
        check_coding(manifest, program.encoder, program.decoder)
        if (
            isinstance(program.steps, bool)
            or not isinstance(program.steps, int)
            or not isinstance(program.sampler, str)
        ):
            raise BundleError("its program sample has no sampler and steps")
        coded = latent_shape(manifest)
        check_event(manifest, program.graph, ("state", "next_state"), 2, coded)
        check_event(manifest, program.graph, ("noise", "denoised", "known", "mask"), 1, coded)

    def table(self, model: Host, program: Program, options: Mapping[str, Any]) -> StepTable:
        """See :func:`zoo.samplers.table_for`."""
        return table_for(program.stepping(model.name), samplers=model.samplers, **options)

    def sampling(self, model: Host, program: Program, request: SampleRequest) -> Drawing:
        """A step table, from noise or from data."""
        program = program.stepping(model.name)
        table, start = model.starting(
            request.n, condition=request.condition, seed=request.seed, noise=request.noise, **request.options
        )

        def draw(part: slice, tick: Tick) -> NDArray[np.float32]:
            # a batch is begun when its turn comes, so that only one takes memory
            ended = model.advanced(start(part), None, part, tick, request.preview)
            return model.to_data(to_data(program, ended))

        return Drawing(draw, len(table))


def advance(
    session: Session,
    program: Iterate,
    state: SamplerState,
    rows: int | None,
    *,
    tick: Tick,
    preview: Preview | None = None,
) -> SamplerState:
    """Take the next ``rows`` rows of a state's table, or all that are left.

    Args:
        session: the graph ``step``.
        program: scale, shift and range of the data.
        state: where the run stands; it is not changed.
        rows: how many rows, or None.
        tick: called after each row.
        preview: called after each row with the denoised samples.

    Raises:
        RuntimeFailure: the state is not finite after some step, or ONNX Runtime failed.
        UsageError: the state asks for what this graph has no input for.
    """
    _check_inputs(session, state)
    # looking at every step would make a GPU wait; there a state that ends up not finite is searched for afterwards
    slots = _run(session, program, state, rows, watch=session.provider == "cpu", tick=tick, preview=preview)
    if not np.isfinite(slots).all():
        _run(session, program, state, rows, watch=True, tick=lambda: None, preview=None)
        raise RuntimeFailure(f"graph {session.graph.name} gives values that are not finite, and not every time")
    end = len(state.table) if rows is None else min(state.row + rows, len(state.table))
    return state.moved(slots, end)


def _run(
    session: Session,
    program: Iterate,
    state: SamplerState,
    rows: int | None,
    *,
    watch: bool,
    tick: Tick,
    preview: Preview | None,
) -> NDArray[np.float32]:
    resident = _Resident(session)
    # the state stays where the graph runs and goes back and forth between two buffers
    slots, spare = session.value(state.slots), session.value(state.slots)
    denoised = session.value(state.slots[0]) if preview is not None else None
    with RowInputs(program, state) as inputs:
        for row in state.remaining(rows):
            feeds, kept = resident.split(inputs(row))
            results = {"next_state": spare} if denoised is None else {"next_state": spare, "denoised": denoised}
            session.run_on(feeds, {"state": slots, **kept}, results)
            slots, spare = spare, slots
            if watch:
                _check(session.fetch(slots), row, state, session)
            if preview is not None:
                preview(row.index, in_data_units(program, session.fetch(denoised)))
            tick()
    return session.fetch(slots)


class _Resident:
    """Large inputs that stay where the graph runs as long as they are the same arrays."""

    def __init__(self, session: Session) -> None:
        self._session = session
        self._names = {port.name for port in session.inputs}
        self._placed: dict[str, tuple[NDArray[Any], Any]] = {}

    def split(self, inputs: dict[str, NDArray[Any]]) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """What is fed as arrays and what as values of the session, without what the graph does not take."""
        feeds, kept = {}, {}
        for name, array in inputs.items():
            if name not in self._names:
                continue
            if name not in ("known", "mask", "noise", "condition"):
                feeds[name] = array
                continue
            if name not in self._placed or self._placed[name][0] is not array:
                self._placed[name] = array, self._session.value(array)
            kept[name] = self._placed[name][1]
        return feeds, kept


def _check_inputs(session: Session, state: SamplerState) -> None:
    names = {port.name for port in session.inputs}
    if state.mask is not None and not names >= {"known", "mask"}:
        raise UsageError(f"graph {session.graph.name} cannot keep part of the data: it has no inputs known and mask")
    if state.table.rescale.any() and "rescale" not in names:
        raise UsageError(f"graph {session.graph.name} cannot rescale guidance: it has no input rescale")


def _check(slots: NDArray[np.float32], row: Step, state: SamplerState, session: Session) -> None:
    """Refuse a state that is not finite, saying at which step and in which sample that began."""
    finite = np.asarray(np.isfinite(slots).swapaxes(0, 1).reshape(slots.shape[1], -1).all(1))
    if not finite.all():
        raise RuntimeFailure(
            f"sampling broke down at step {row.index + 1} of {len(state.table)}: graph {session.graph.name} gives "
            f"values that are not finite in {np.count_nonzero(~finite)} of {len(finite)} samples, "
            f"first in sample {state.first + int(np.argmin(finite))}"
        )
