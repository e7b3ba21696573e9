"""Sampling in steps, written once: :class:`StepSampler` begins runs, advances them by some rows, finishes them, and
encodes data as noise.

The differences between PyTorch and ONNX Runtime are in its :class:`~zoo.samplers.runs.Engine`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Generic

import numpy as np

from zoo.arrays import Array
from zoo.counts import Progress, checked_count, ticker
from zoo.errors import UsageError
from zoo.paths import needed, require_gaussian
from zoo.samplers.consistency import CONSISTENCY
from zoo.samplers.guidance import Conditions, RunCondition, Weighted, each_of, rest
from zoo.samplers.inversion import inversion
from zoo.samplers.options import SamplingOptions
from zoo.samplers.runs import Data, Engine, Preview, lacking_column, table_of
from zoo.samplers.state import SamplerState, begin, check_event_shape, encoded, in_data_units, spread, to_data
from zoo.samplers.table import StepTable


class StepSampler(Generic[Data]):
    """A model's samples, drawn in steps.

    Args:
        engine: runs the model's network.
    """

    def __init__(self, engine: Engine[Any, Data]) -> None:
        self.engine = engine

    def starting(
        self, table: StepTable, n: int, *, seed: int, condition: RunCondition, options: SamplingOptions
    ) -> Callable[[slice], SamplerState]:
        """A function that begins some of ``n`` samples; everything is checked before returning.

        Args:
            table: that of the options, by :func:`zoo.samplers.runs.table_of`.
            n: number of samples.
            seed: key of the noise.
            condition: ``[n]`` or ``[n, d]``, or None.
            options: all other options.

        Raises:
            UsageError, DataError, ConditionError: options that this model does not support.
        """
        engine = self.engine
        edits = self._edits(n, options)
        composed = [(engine.condition(each, n), float(weight)) for each, weight in (options.compose or ())[1:]]
        further = [Weighted(None, weight) for _, weight in composed]
        if edits["other"] is None and any(rest(w, further) for w in np.unique(table.guidance)):
            edits["other"] = engine.null(n, condition)
        condition, edits["other"], *others = engine.even(condition, edits["other"], *(each for each, _ in composed))
        arrays = {"condition": condition, **edits}

        def start(part: slice, left_out: Sequence[str] = ()) -> SamplerState:
            taken: dict[str, Any] = {name: _some(a, part) for name, a in arrays.items() if name not in left_out}
            if "condition" not in left_out:  # they are of the kind of the first
                taken["further"] = [
                    Weighted(_some(each, part), w.weight) for each, w in zip(others, further, strict=True)
                ]
            return begin(
                engine.program,
                table,
                engine.state_shape,
                part.stop - part.start,
                seed=seed,
                first=part.start,
                strength=options.strength,
                dtype=engine.dtype,
                **taken,
            )

        # raises errors before anything runs, even an encoder of conditions; only arrays need a sample to be looked at
        looked_at = slice(0, int(any(array is not None for array in edits.values())))
        start(looked_at, [name for name in ("condition", "other") if not isinstance(arrays[name], np.ndarray)])
        return start

    def begin(self, n: int, *, seed: int, condition: RunCondition, options: SamplingOptions) -> SamplerState:
        """The state before the first step; arguments and errors as for :meth:`starting`, and :func:`table_of`'s."""
        engine = self.engine
        table = table_of(engine.program, options, engine.samplers, engine.described, engine.stored)
        start = self.starting(table, n, seed=seed, condition=condition, options=options)
        try:
            return start(slice(0, n))
        except MemoryError as error:
            raise too_many(n, engine.event_shape) from error

    def advance(
        self,
        state: SamplerState,
        rows: int | None = None,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        preview: Preview | None = None,
    ) -> SamplerState:
        """A new state, after the next ``rows`` rows; :meth:`zoo.runtime.BundledModel.advance` explains the rest."""
        check_event_shape(state, self.engine.state_shape)
        if state.table.unclipped_column and not self.engine.program.unclipped_column:
            raise lacking_column()
        left = len(state.table) - state.row
        rows = left if rows is None else min(left, checked_count("rows", rows))
        batches = self.engine.batches(state.n, batch_size)
        tick = ticker(progress, len(batches) * rows)
        slots = np.empty(state.slots.shape, self.engine.dtype)
        for attempt in self.engine.attempts(batches, batch_size):
            with attempt as part:
                slots[:, part] = self.engine.run(state.part(part), rows, tick, self.shown(preview, part))
        return state.moved(slots, state.row + rows)

    def shown(self, preview: Preview | None, part: slice) -> Callable[[int, Array], None] | None:
        """A preview of samples ``part`` of a run, in the form that :meth:`Engine.run` takes; None without a preview."""
        if preview is None:
            return None
        engine = self.engine
        return lambda row, denoised: preview(row, part, engine.to_data(in_data_units(engine.program, denoised)))

    def finish(
        self,
        state: SamplerState,
        *,
        batch_size: int | None = None,
        progress: Progress | None = None,
        preview: Preview | None = None,
    ) -> Data:
        """The samples after all remaining rows; arguments and errors as for :meth:`advance`."""
        return self.samples(self.advance(state, batch_size=batch_size, progress=progress, preview=preview))

    def samples(self, ended: SamplerState) -> Data:
        """The samples ``[n, *event_shape]`` of a finished state, in data units."""
        return self.engine.to_data(to_data(self.engine.program, ended))

    def encode(
        self,
        x: Array,
        *,
        condition: RunCondition,
        steps: int | None = None,
        order: int = 2,
        batch_size: int | None = None,
        progress: Progress | None = None,
    ) -> Array:
        """The noise from which sampling recovers data; see :meth:`zoo.runtime.BundledModel.encode`.

        Raises:
            UsageError: a consistency model, which has no ODE, or invalid steps or order.
        """
        engine, program = self.engine, self.engine.program
        if program.sampler in CONSISTENCY:
            raise UsageError(f"{engine.name} is a consistency model: it has no ODE that maps data to noise")
        path = require_gaussian(needed(program.path, "encode data"))
        table = inversion(path, program.steps if steps is None else steps, order=order)
        latents, dtype = engine.to_latent(x), engine.dtype
        whole = _some(condition, slice(0, len(x)))
        state = begin(program, table, engine.state_shape, len(x), seed=0, condition=whole, init=latents, dtype=dtype)
        return encoded(self.advance(state, batch_size=batch_size, progress=progress), path)

    def _edits(self, n: int, options: SamplingOptions) -> dict[str, Any]:
        """The initial arrays of a run of ``n`` samples, by the names of the arguments of
        :func:`zoo.samplers.state.begin`."""
        engine = self.engine
        event, state, dtype = engine.event_shape, engine.state_shape, engine.dtype
        other = init = mask = start = None
        if options.negative is not None:
            other = engine.condition(options.negative, n)
        if options.init is not None:
            whole = spread(engine.centred(options.init), event, n, "the data to start from", dtype)
            init = engine.to_latent(whole)
        if options.mask is not None:
            if state != event:
                raise UsageError(
                    f"{engine.name} cannot keep a part of its data: each number of a latent depends on the whole sample"
                )
            mask = spread(options.mask, event, n, "the mask", dtype)
        if options.noise is not None:
            start = spread(options.noise, state, n, "the noise to start from", dtype)
        return {"other": other, "init": init, "mask": mask, "noise": start}


def _some(values: RunCondition, samples: slice) -> Conditions:
    """The values of some samples; those of named parts by name."""
    if values is None or isinstance(values, Mapping):
        return each_of(lambda array: array[samples], values)
    some = values[samples]
    return some if isinstance(some, np.ndarray) else some.arrays()


def too_many(n: int, event_shape: tuple[int, ...]) -> UsageError:
    """The error for more samples than fit into memory."""
    return UsageError(f"{n} samples of shape {event_shape} do not fit into memory", hint="Draw fewer at a time.")
