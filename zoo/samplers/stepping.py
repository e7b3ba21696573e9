"""Sampling in steps, written once: the differences between PyTorch and ONNX Runtime are in an :class:`Engine`.

:func:`run_rows` is the loop over the rows of a table, around a function that takes one step. :class:`StepSampler`
begins runs, advances them by some rows, finishes them, and encodes data as noise.
"""

from __future__ import annotations

import contextlib
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, Generic, Protocol, TypeVar

import numpy as np

from zoo.arrays import Array
from zoo.conditions import Condition, ConditionLike
from zoo.counts import Progress, checked_count, ticker
from zoo.errors import UsageError
from zoo.paths import needed, require_gaussian
from zoo.programs import Iterate
from zoo.samplers import BUILTIN, SamplerFunction, StoredTables, inversion, table_of
from zoo.samplers.consistency import CONSISTENCY
from zoo.samplers.guidance import each_of
from zoo.samplers.options import SamplingOptions
from zoo.samplers.state import (
    FloatType,
    RowInputs,
    SamplerState,
    begin,
    check_event_shape,
    encoded,
    in_data_units,
    spread,
    to_data,
)
from zoo.samplers.table import Step, StepTable

Tick = Callable[[], None]
#: (row, slice of the samples, the denoised samples [n, *event] of that slice in data units)
Preview = Callable[[int, slice, Any], None]
Slots = TypeVar("Slots")
Data = TypeVar("Data", covariant=True)


class StepFunction(Protocol[Slots]):
    """Runs one row of a table: one evaluation of the network, wherever it runs."""

    def __call__(self, slots: Slots, row: Step, inputs: dict[str, Array]) -> tuple[Slots, Any]:
        """Slots ``[slots, n, *state_shape]`` to the next ones, and the denoised sample ``[n, *state_shape]``.

        Args:
            slots: x and its history, on the engine's device.
            row: the row.
            inputs: its :class:`~zoo.samplers.state.RowInputs`.
        """
        ...


def run_rows(
    program: Iterate,
    state: SamplerState,
    slots: Slots,
    step: StepFunction[Slots],
    rows: int | None = None,
    *,
    dtype: FloatType = np.float32,
    watch: Callable[[Step, Any], None] | None = None,
) -> Slots:
    """Run the next ``rows`` rows of a state's table, or all that are left, and return the last slots.

    Args:
        program: determines whether there is a learned variance.
        state: the state of the run, left unchanged.
        slots: those of the state, on the engine's device.
        step: takes one step.
        rows: number of rows, or None for all.
        dtype: of the inputs of a row.
        watch: called after each row with the row and the denoised sample returned by ``step``.
    """
    with RowInputs(program, state, dtype) as inputs:
        for row in state.remaining(rows):
            slots, denoised = step(slots, row, inputs(row))
            if watch is not None:
                watch(row, denoised)
    return slots


class Engine(ABC, Generic[Data]):
    """Runs the network of a model that samples in steps.

    Attributes:
        name: the model's name, for messages.
        program: the model's program.
        event_shape: shape of one sample.
        state_shape: shape of one state, which differs from that of a sample if there is a decoder.
        samplers: where samplers are looked up by name.
        described: the model's condition, or None.
        stored: gives the finished tables by sampler and steps, for a path or a sampler that is not installed; or None.
        dtype: of states, a NumPy type.
    """

    name: str
    program: Iterate
    event_shape: tuple[int, ...]
    state_shape: tuple[int, ...]
    samplers: Mapping[str, SamplerFunction] = BUILTIN
    described: Condition | None = None
    stored: StoredTables | None = None
    dtype: FloatType = np.float32

    @abstractmethod
    def condition(self, condition: ConditionLike, n: int) -> Any:
        """The condition of ``n`` samples as an array ``[n]`` or ``[n, d]``; None for a model without any.

        Of named parts, a mapping of arrays ``[n, ...]``, or something that gives such mappings by a slice of samples
        and ``arrays()``, as :class:`zoo.runtime.conditioning.ConditionRows` does.
        """

    def null(self, n: int, condition: Any) -> Any:
        """The null condition of ``n`` samples of a model of named parts, likewise; None for any other.

        Tokens and sequences are as long as those of the condition.
        """
        return None

    def even(self, condition: Any, other: Any) -> tuple[Any, Any]:
        """A condition and what it is guided away from, of named parts, with tokens and sequences of equal lengths."""
        return condition, other

    def centred(self, x: Any) -> Any:
        """Data to start from, as values of the model's data; returns ``x`` unless overridden."""
        return x

    @abstractmethod
    def to_latent(self, x: Array) -> Array:
        """Data ``[n, *event_shape]`` to latents ``[n, *state_shape]``; for most models the data itself."""

    @abstractmethod
    def to_data(self, latent: Array) -> Data:
        """Latents to data."""

    @abstractmethod
    def run(
        self, state: SamplerState, rows: int | None, tick: Tick, preview: Callable[[int, Array], None] | None
    ) -> Array:
        """Slots after the next rows of one batch, by :func:`run_rows`.

        Args:
            state: of the batch.
            rows: how many rows, or None for all that are left.
            tick: to call after each row.
            preview: to call before ``tick`` with the row's index and the denoised samples ``[n, *state_shape]``.
        """

    def batches(self, n: int, batch_size: int | None) -> list[slice]:
        """Slices that cover ``n`` samples: one, unless overridden."""
        return [slice(0, n)]

    def attempts(self, batches: Sequence[slice], batch_size: int | None) -> Iterator[AbstractContextManager[slice]]:
        """:meth:`batches` of a size that was asked for or is None, each to be run in its ``with`` block.

        One after another, unless overridden.
        """
        for part in batches:
            yield contextlib.nullcontext(part)


class StepSampler(Generic[Data]):
    """A model's samples, drawn in steps.

    Args:
        engine: runs the model's network.
    """

    def __init__(self, engine: Engine[Data]) -> None:
        self.engine = engine

    def starting(
        self, table: StepTable, n: int, *, seed: int, condition: Any, options: SamplingOptions
    ) -> Callable[[slice], SamplerState]:
        """A function that begins some of ``n`` samples; everything is checked before returning.

        Args:
            table: that of the options, by :func:`zoo.samplers.table_of`.
            n: number of samples.
            seed: key of the noise.
            condition: ``[n]`` or ``[n, d]``, or None.
            options: all other options.

        Raises:
            UsageError, DataError, ConditionError: options that this model does not support.
        """
        engine = self.engine
        edits = self._edits(n, options)
        if edits["other"] is None and (table.guidance != 1.0).any():
            edits["other"] = engine.null(n, condition)
        condition, edits["other"] = engine.even(condition, edits["other"])
        arrays = {"condition": condition, **edits}

        def start(part: slice, left_out: Sequence[str] = ()) -> SamplerState:
            taken: dict[str, Any] = {name: _some(a, part) for name, a in arrays.items() if name not in left_out}
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

        # raises errors before anything runs, an encoder of conditions among it
        start(slice(0, 1), [name for name in ("condition", "other") if not isinstance(arrays[name], np.ndarray)])
        return start

    def begin(self, n: int, *, seed: int, condition: Any, options: SamplingOptions) -> SamplerState:
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
        condition: Any,
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


def _some(values: Any, samples: slice) -> Any:
    """Those of some samples; the arrays of named parts by name."""
    if values is None or isinstance(values, Mapping):
        return each_of(lambda array: array[samples], values)
    some = values[samples]
    return some.arrays() if hasattr(some, "arrays") else some


def too_many(n: int, event_shape: tuple[int, ...]) -> UsageError:
    """The error for more samples than fit into memory."""
    return UsageError(f"{n} samples of shape {event_shape} do not fit into memory", hint="Draw fewer at a time.")
