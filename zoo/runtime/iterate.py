"""Programs that run a step table: a diffusion's ``sample``. See :mod:`zoo.samplers.state` for what is run."""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zoo.arrays import Array
from zoo.bundle.manifest import Manifest
from zoo.conditions import ConditionLike
from zoo.errors import BundleError, RuntimeFailure, UsageError
from zoo.overriding import override
from zoo.paths import is_gaussian
from zoo.programs import WIDE_COLUMNS, Iterate, Program
from zoo.runtime import data
from zoo.runtime.bindings import Bindings
from zoo.runtime.conditioning import ConditionRows, evenly
from zoo.runtime.graph_checks import check_codec, check_event, check_numbers, check_path, check_ports, latent_shape
from zoo.runtime.opened import OpenBundle
from zoo.runtime.running import Drawing, Runner, SampleRequest
from zoo.runtime.session import Session
from zoo.samplers import SamplingOptions, Step, StepTable, table_of
from zoo.samplers.guidance import RunCondition
from zoo.samplers.runs import Engine, Tick
from zoo.samplers.state import SamplerState
from zoo.samplers.stepping import StepSampler

#: a role in a run and an array to a value on the session's device
Place = Callable[[str, NDArray[Any]], Any]
_ROW = ("time", "alpha", "sigma")
_STEP = ("state", *_ROW, "clip", "noise_scale", "matrix", "noise", "weights")
_REVEALING = ("state", "alpha", "matrix", "noise", "weights")
#: step tables that a bundle keeps
_MOST_TABLES = 64
_STEP_OPTIONAL = ("rescale", "known", "mask")  # a graph without them supports fewer edits


class IterateRunner(Runner):
    """Samples step by step: by a graph that every step calls, and a table that says what it is called with."""

    @override
    def check_sample(self, manifest: Manifest, program: Program) -> None:
        program = program.stepping("the model")
        learned = ("noise_range",) if program.learned_variance else ()
        required = (*_STEP, *learned) if is_gaussian(program.path) else _REVEALING
        optional = (*_STEP_OPTIONAL, *(name for name in _STEP if name not in required))
        check_ports(manifest, program, required, ("next_state", "denoised"), optional=optional)
        check_numbers(program.shift, program.scale, program.guidance)
        check_numbers(*(v for v in (program.data_min, program.data_max, program.clip) if v is not None))
        check_path(program)
        _check_matrix(manifest, program)
        check_codec(manifest, program.encoder, program.decoder)
        if (
            isinstance(program.steps, bool)
            or not isinstance(program.steps, int)
            or not isinstance(program.sampler, str)
        ):
            raise BundleError("its program sample has no sampler and steps")
        coded = latent_shape(manifest)
        check_event(manifest, program.graph, ("state", "next_state"), 2, coded)
        check_event(manifest, program.graph, ("noise", "denoised", "known", "mask"), 1, coded)

    @override
    def table(self, model: OpenBundle, program: Program, options: SamplingOptions) -> StepTable:
        return table_of(program.stepping(model.name), options, model.samplers, model.condition, model.stored_tables)

    def sampling(self, model: OpenBundle, program: Program, request: SampleRequest) -> Drawing:
        """A step table, from noise or from data."""
        sampler, program = step_sampler(model), program.stepping(model.name)
        table = self._table(model, program, request.options)
        start = sampler.starting(
            table, request.n, seed=request.seed, condition=request.condition, options=request.options
        )

        def draw(part: slice, tick: Tick) -> NDArray[np.float32]:
            state = start(part)  # batches are begun one at a time, so that only one takes memory
            slots = sampler.engine.run(state, None, tick, sampler.shown(request.preview, part))
            return sampler.samples(state.moved(slots, len(table)))

        return Drawing(draw, len(table))

    def _table(self, model: OpenBundle, program: Program, options: SamplingOptions) -> StepTable:
        """:meth:`table`, kept for the next run with the same options; only for runs, since a caller may change it."""
        key = options.table_key
        table = None if key is None else model.tables_made.get(key)
        if table is None:
            table = self.table(model, program, options)
            if key is not None:
                if len(model.tables_made) >= _MOST_TABLES:
                    model.tables_made.clear()
                model.tables_made[key] = table
        return table


def step_sampler(model: OpenBundle) -> StepSampler[Array]:
    """Samples in steps with a bundle.

    Raises:
        UsageError: its model samples in one call.
    """
    return StepSampler(OnnxEngine(model))


class OnnxEngine(Engine[Any, Array]):
    """The graph ``step`` of a bundle, in ONNX Runtime.

    Args:
        model: the bundle.
        watched: whether the state is checked after every step, wherever it is.

    Raises:
        UsageError: its model samples in one call.
    """

    def __init__(self, model: OpenBundle, *, watched: bool = False) -> None:
        self._model, self._watched = model, watched
        self.name = model.name
        self.program = model.manifest.sampling.stepping(model.name)
        self.event_shape, self.state_shape = model.event_shape, model.state_shape
        self.samplers, self.described, self.stored = model.samplers, model.condition, model.stored_tables

    @override
    def condition(self, condition: ConditionLike, n: int) -> RunCondition:
        return self._model.sampling_condition(condition, n)

    @override
    def null(self, n: int, condition: RunCondition) -> RunCondition:
        return self._model.null_condition(n, condition.lengths) if isinstance(condition, ConditionRows) else None

    @override
    def even(self, *conditions: RunCondition) -> tuple[RunCondition, ...]:
        return evenly(*conditions)

    def centred(self, x: ArrayLike) -> Array:
        """Integers of a model of discrete data as the middle of their bins."""
        return data.centred(x, self._model.levels)

    @override
    def to_latent(self, x: Array) -> Array:
        return self._model.codec.to_latent(x)

    @override
    def to_data(self, latent: Array) -> Array:
        return self._model.codec.to_data(latent)

    @override
    def batches(self, n: int, batch_size: int | None) -> list[slice]:
        """Such that they fit into memory."""
        return self._model.batches(n, batch_size, self._model.session(self.program.graph))

    @override
    def attempts(self, batches: Sequence[slice], batch_size: int | None) -> Iterator[AbstractContextManager[slice]]:
        """Halved where they do not fit into memory."""
        return self._model.attempts(batches, batch_size, self._model.session(self.program.graph))

    @override
    def filled(self, state: SamplerState) -> SamplerState:
        """Padded to the graph's batch if it has one."""
        batch = self._model.manifest.batch
        return state if batch is None else state.padded(batch)

    @override
    @contextlib.contextmanager
    def stepping(self, state: SamplerState, *, denoises: bool) -> Iterator[tuple[Any, _OnnxStep]]:
        """On the device of the session, whose values are given back afterwards.

        Raises:
            RuntimeFailure: from a step: the state is not finite after it, or ONNX Runtime failed.
            UsageError: the state needs an input that this graph does not have.
        """
        session = self._model.session(self.program.graph)
        _check_inputs(session, state)
        # checking every step would synchronise a GPU; there the first non-finite step is searched for afterwards
        watched = self._watched or session.provider == "cpu"
        with session.placing() as (place, bindings):
            step = _OnnxStep(session, place, bindings, state, watched=watched, denoises=denoises)
            yield place("state", state.slots), step

    @override
    def fetch(self, values: Any) -> Array:
        return self._model.session(self.program.graph).fetch(values)

    @override
    def check(self, state: SamplerState, rows: int | None, slots: Array) -> None:
        """Search for the first step whose state is not finite, if the last one is not.

        Raises:
            RuntimeFailure: with that step.
        """
        if not np.isfinite(slots).all():
            OnnxEngine(self._model, watched=True).run(state, rows, lambda: None, None)
            raise RuntimeFailure(
                f"graph {self._model.session(self.program.graph).graph.name} gives values that are not finite, "
                "but not reproducibly"
            )


class _OnnxStep:
    """One call of the graph ``step``: the state stays on the device and alternates between two buffers."""

    def __init__(
        self,
        session: Session,
        place: Place,
        bindings: Bindings | None,
        state: SamplerState,
        *,
        watched: bool,
        denoises: bool,
    ) -> None:
        self._session, self._bindings, self._state, self._watched = session, bindings, state, watched
        named = state.condition if isinstance(state.condition, Mapping) else ("condition",)
        self._resident = _Resident(session, place, ("known", "mask", "noise", *named))
        self._spare = place("spare", state.slots)
        self._denoised = place("denoised", state.slots[0]) if denoises else None

    def __call__(self, slots: Any, row: Step, inputs: dict[str, Array]) -> tuple[Any, Any]:
        feeds, kept = self._resident.split(inputs)
        results = {"next_state": self._spare}
        if self._denoised is not None:
            results["denoised"] = self._denoised
        self._session.run_on(feeds, {"state": slots, **kept}, results, self._bindings)
        following, self._spare = self._spare, slots
        if self._watched and not self._session.is_finite(following):
            raise _broken(self._session.fetch(following), row, self._state, self._session)
        return following, self._denoised


class _Resident:
    """Large inputs that stay on the device as long as they are the same arrays."""

    def __init__(self, session: Session, place: Place, large: Sequence[str]) -> None:
        self._session, self._place, self._large = session, place, large
        self._names = {port.name for port in session.inputs}
        self._placed: dict[str, tuple[Array, Any]] = {}

    def split(self, inputs: dict[str, Array]) -> tuple[dict[str, Array], dict[str, object]]:
        """The inputs to feed as arrays and those to feed as values of the session, without those that the graph does
        not take."""
        feeds, kept = {}, {}
        for name, array in inputs.items():
            if name not in self._names:
                continue
            if name not in self._large:
                feeds[name] = array
                continue
            kept[name] = self._value(name, array)
        return feeds, kept

    def _value(self, name: str, array: NDArray[Any]) -> Any:
        placed, value = self._placed.get(name, (None, None))
        if placed is None or placed.shape != array.shape:
            value = self._place(name, array)
        elif placed is not array:
            self._session.replace(value, array)
        self._placed[name] = array, value
        return value


def _check_matrix(manifest: Manifest, program: Iterate) -> None:
    """Refuse a program that says otherwise than its graph whether matrices may have a further column."""
    for port in manifest.graphs[program.graph].inputs:
        if port.name == "matrix" and (port.shape[-1:] == (WIDE_COLUMNS,)) != program.unclipped_column:
            raise BundleError(
                f"matrix of graph {program.graph} has the columns {', '.join(map(str, port.shape[-1:]))}, which does "
                f"not agree with unclipped_column = {program.unclipped_column}"
            )


def _check_inputs(session: Session, state: SamplerState) -> None:
    names = {port.name for port in session.inputs}
    if state.mask is not None and not names >= {"known", "mask"}:
        raise UsageError(f"graph {session.graph.name} cannot keep part of the data: it has no inputs known and mask")
    if state.table.rescale.any() and "rescale" not in names:
        raise UsageError(f"graph {session.graph.name} cannot rescale guidance: it has no input rescale")


def _broken(slots: NDArray[np.float32], row: Step, state: SamplerState, session: Session) -> RuntimeFailure:
    """The error for a state that is not finite, saying at which step and in which sample that began."""
    finite = np.asarray(np.isfinite(slots).swapaxes(0, 1).reshape(slots.shape[1], -1).all(1))
    return RuntimeFailure(
        f"sampling broke down at step {row.index + 1} of {len(state.table)}: graph {session.graph.name} gives "
        f"values that are not finite in {np.count_nonzero(~finite)} of {len(finite)} samples, "
        f"first in sample {state.first + int(np.argmin(finite))}"
    )
