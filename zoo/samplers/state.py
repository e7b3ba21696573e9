"""Sampling as a pure function: :class:`SamplerState` contains everything that the next row of a table depends on.

A run can be stopped after any row, saved, and resumed elsewhere, in PyTorch or in ONNX Runtime, with the same
result: noise is counted by seed, sample and row, and there are no hidden counters. A sampling loop looks like
this (see :meth:`zoo.samplers.runs.Engine.run`)::

    state = begin(program, table, event_shape, n, seed=0)
    slots = state.slots
    with RowInputs(program, state) as inputs:
        for row in state.remaining():
            slots, denoised = step(slots, **inputs(row))     # the network, wherever it runs
    x = to_data(program, state.moved(slots, rows))

Editing changes where a state begins and what the denoised sample is mixed with: from given data at a strength (Meng
et al. 2022, "SDEdit"), with part of it known (the denoised sample is replaced there, also in the history,
which is valid for every sampler since all are linear in it), or from given noise (encoded from data, or interpolated
between that of two samples).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike

from zoo import noise, weights
from zoo.arrays import Array
from zoo.errors import DataError, UsageError, ZooError
from zoo.noise import Stream
from zoo.paths import GaussianPath, is_gaussian
from zoo.samplers.guidance import Conditions, Weighted, each_of, evaluations
from zoo.samplers.table import COLUMNS, Step, StepTable

if TYPE_CHECKING:
    from zoo.programs import Iterate

#: in which arithmetic a state is: of float32 or float64
FloatType = type[np.float32] | type[np.float64]
FORMAT = "genzoo-sampler-state"
VERSION = "1"
#: of states with a composition of several conditions, which readers of version 1 would pass over
VERSION_OF_COMPOSED = "2"
_TABLE = "table/"
_FURTHER = "further/"
_OPTIONAL = ("condition", "other", "known", "mask")


@dataclass(frozen=True, eq=False)
class SamplerState:
    """The state of a run of a table, for ``n`` of its samples.

    Attributes:
        table: the step table.
        row: index of the next row; ``len(table)`` at the end.
        slots: float ``[slots, n, *event]``, x and its history, in state units.
        seed: key of the noise.
        first: index of the first sample.
        condition: int ``[n]`` or float ``[n, d]``, or arrays ``[n, ...]`` by the names of the graph's inputs: of named
            parts, as they were encoded; or None.
        other: the condition to guide away from, likewise, or None.
        known: ``[n, *event]`` in state units, the denoised sample where ``mask`` is 0, or None.
        mask: ``[n, *event]``, 1 where to sample and 0 where to keep ``known``, or None.
        further: the conditions of a composition after the first, ``condition``, and their weights; that of the first is
            the guidance of ``table``.
    """

    table: StepTable
    row: int
    slots: Array
    seed: int
    first: int = 0
    condition: Conditions = None
    other: Conditions = None
    known: Array | None = None
    mask: Array | None = None
    further: tuple[Weighted, ...] = ()

    @property
    def n(self) -> int:
        """Number of samples."""
        return int(self.slots.shape[1])

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(self.slots.shape[2:])

    @property
    def done(self) -> bool:
        """Whether all rows have been run."""
        return self.row >= len(self.table)

    def remaining(self, rows: int | None = None) -> Iterator[Step]:
        """The remaining rows, or the next ``rows`` of them."""
        end = len(self.table) if rows is None else min(self.row + rows, len(self.table))
        return (self.table[i] for i in range(self.row, end))

    def moved(self, slots: Array, row: int) -> SamplerState:
        """The state with these slots before this row."""
        return replace(self, slots=slots, row=row)

    def part(self, samples: slice) -> SamplerState:
        """The state of some of the samples, which continues exactly as among all of them."""
        first, _, step = samples.indices(self.n)
        if step != 1:
            raise UsageError("a part of a state must be a slice of consecutive samples")
        return replace(
            self, slots=self.slots[:, samples], first=self.first + first, **self._changed(lambda a: a[samples])
        )

    def padded(self, n: int) -> SamplerState:
        """The state with its last sample repeated until there are ``n``, which does not affect the others."""
        return replace(self, slots=pad(self.slots, n, axis=1), **self._changed(lambda a: pad(a, n)))

    def _changed(self, change: Callable[[Array], Array]) -> dict[str, Any]:
        """What there is of each sample besides the slots, changed."""
        further = tuple(Weighted(each_of(change, each.condition), each.weight) for each in self.further)
        return {name: each_of(change, getattr(self, name)) for name in _OPTIONAL} | {"further": further}

    def save(self, path: Path | str, *, about: Mapping[str, str] | None = None) -> None:
        """Write the state to a safetensors file.

        Args:
            path: the file.
            about: more metadata, such as the model's name.

        Raises:
            OutputError: the file cannot be written.
        """
        arrays = {_TABLE + name: getattr(self.table, name) for name in (*COLUMNS, "matrix") if name != "clip"}
        # our safetensors files contain only finite numbers
        arrays[_TABLE + "clip"] = np.where(np.isinf(self.table.clip), 0.0, self.table.clip)
        arrays[_TABLE + "initial_scale"] = np.array(self.table.initial_scale)
        arrays["slots"] = self.slots
        for name in _OPTIONAL:
            arrays.update(_flat(name, getattr(self, name)))
        for i, each in enumerate(self.further):
            arrays.update(_flat(f"{_FURTHER}{i}", each.condition))
        if self.further:
            arrays["weights"] = np.array([each.weight for each in self.further])
        version = VERSION_OF_COMPOSED if self.further else VERSION
        place = {"row": str(self.row), "seed": str(self.seed), "first": str(self.first)}
        weights.write(Path(path), arrays, metadata={**(about or {}), "format": FORMAT, "version": version, **place})

    @classmethod
    def load(cls, path: Path | str) -> SamplerState:
        """Read what :meth:`save` wrote.

        Raises:
            WeightsError: the file is missing or damaged.
            DataError: it is not a sampler state, or an inconsistent one.
        """
        path = Path(path)
        arrays = weights.read(path)
        about = weights.metadata(path)
        version = VERSION_OF_COMPOSED if "weights" in arrays else VERSION
        if about.get("format") != FORMAT or about.get("version") != version:
            raise DataError(f"{path} is not a sampler state that this version can read")
        try:
            columns = {name.removeprefix(_TABLE): a for name, a in arrays.items() if name.startswith(_TABLE)}
            columns["clip"] = np.where(columns["clip"] == 0, np.inf, columns["clip"])
            table = StepTable(**{**columns, "initial_scale": float(columns["initial_scale"])})  # type: ignore[arg-type]
            state = cls(
                table,
                int(about["row"]),
                arrays["slots"],
                noise.check_seed(int(about["seed"])),
                int(about["first"]),
                *(_named(arrays, name) for name in _OPTIONAL),  # type: ignore[arg-type]
            )
            weights_of_further = enumerate(arrays.get("weights", ()))
            further = [Weighted(_named(arrays, f"{_FURTHER}{i}"), float(weight)) for i, weight in weights_of_further]
            state = replace(state, further=tuple(further))
            _check(state)
        except (KeyError, TypeError, ValueError, ZooError) as error:
            raise DataError(f"{path} contains an inconsistent sampler state: {error}") from error
        return state


def begin(
    program: Iterate,
    table: StepTable,
    event_shape: tuple[int, ...],
    n: int,
    *,
    seed: int,
    first: int = 0,
    condition: Conditions = None,
    other: Conditions = None,
    further: Sequence[Weighted] = (),
    init: ArrayLike | None = None,
    strength: float | None = None,
    mask: ArrayLike | None = None,
    noise: ArrayLike | None = None,
    dtype: FloatType = np.float32,
) -> SamplerState:
    """The state before the first row.

    Args:
        program: shift and scale of the data, and the null class.
        table: the table to run.
        event_shape: shape of one sample.
        n: number of samples.
        seed: key of the noise.
        first: index of the first sample.
        condition: int ``[n]`` or float ``[n, d]``, or None.
        other: classes ``[n]`` to guide away from; None for the null class.
        further: the conditions of a composition after the first, and their weights.
        init: data ``[n, *event]`` (or one event for all) in data units to start from, or None for noise alone.
        strength: the strength of ``table``; at 0, samples are ``init``.
        mask: broadcastable to ``[n, *event]``: 1 where to sample, 0 where to keep ``init``.
        noise: ``[n, *event]``, standard normal noise to start from; None for that of ``seed``.
        dtype: of the state.

    Raises:
        DataError: an array of the wrong shape or with invalid values.
        UsageError: a mask or strength without data.
    """
    if noise is not None and not is_gaussian(program.path):
        raise UsageError("a masked model starts from fully masked texts, so it takes no noise to start from")
    if init is None and (mask is not None or strength is not None):
        raise UsageError(f"{'a mask' if mask is not None else 'strength'} needs data to start from: pass init too")
    start = _initial_noise(noise, event_shape, n, seed, first, dtype)
    if other is None and condition is not None and program.null_class is not None:
        other = each_of(lambda array: np.full_like(array, program.null_class), condition)
    x: Array = dtype(table.initial_scale) * start
    row, known, wanted = 0, None, None
    if init is not None:
        known = (spread(init, event_shape, n, "the data to start from", dtype) - dtype(program.shift)) / dtype(
            program.scale
        )
        base = known
        if mask is not None:
            wanted = spread(mask, event_shape, n, "the mask", dtype)
            if not ((wanted >= 0) & (wanted <= 1)).all():
                raise DataError("a mask has values from 0 (keep) to 1 (sample)")
            # the old content should not influence the repainted part, unless a strength requests it
            base = known if strength is not None and strength < 1 else known * (1 - wanted)
        if strength == 0:
            x, row = known.copy(), len(table)
        else:
            x = x + dtype(table.alpha[0]) * base
    slots = np.zeros((table.slots, n, *event_shape), dtype)
    slots[0] = x
    kept = None if wanted is None else known
    return SamplerState(table, row, slots, seed, first, condition, other, kept, wanted, tuple(further))


def to_data(program: Iterate, state: SamplerState) -> Array:
    """The samples ``[n, *event]`` in data units, clipped to the range of the data if it has one."""
    return in_data_units(program, state.slots[0])


def encoded(state: SamplerState, path: GaussianPath) -> Array:
    """The noise ``[n, *event]`` found by a finished run of :func:`zoo.samplers.inversion.inversion`."""
    noise: Array = state.slots[0] / state.slots.dtype.type(path.alpha_sigma(1.0)[1])
    return noise


def check_event_shape(state: SamplerState, event_shape: tuple[int, ...]) -> None:
    """Refuse a state of another model.

    Raises:
        DataError: its samples have another shape.
    """
    if state.event_shape != event_shape:
        raise DataError(f"the state is of samples of shape {state.event_shape}; this model's are {event_shape}")


def in_data_units(program: Iterate, x: Array) -> Array:
    """States ``[n, *event]`` in data units, clipped likewise."""
    kind = x.dtype.type
    data: Array = kind(program.shift) + kind(program.scale) * x
    if program.data_min is not None and program.data_max is not None:
        data = data.clip(kind(program.data_min), kind(program.data_max))
    return data


def spread(
    values: ArrayLike | Mapping[str, ArrayLike],
    event_shape: tuple[int, ...],
    n: int,
    what: str,
    dtype: FloatType = np.float32,
) -> Array:
    """A view ``[n, *event]`` of an array that can be broadcast to it.

    Raises:
        DataError: it cannot be broadcast, is a mapping of arrays, or its values are not finite numbers.
    """
    try:
        array = np.asarray(values).astype(dtype)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} is not an array of numbers: {error}") from error
    try:
        full = np.broadcast_to(array, (n, *event_shape))
    except ValueError:
        expected = ", ".join(map(str, event_shape))
        raise DataError(f"{what} has shape {array.shape}, expected [{n}, {expected}] or [{expected}]") from None
    if not np.isfinite(array).all():
        raise DataError(f"{what} has values that are not finite")
    return full


def pad(array: Array, n: int, axis: int = 0) -> Array:
    """An array with its last entry repeated until there are ``n``; the array itself if it already has ``n``."""
    missing = n - array.shape[axis]
    return array if missing <= 0 else np.concatenate([array, array.take([-1] * missing, axis)], axis)


class RowInputs:
    """The inputs of the graph ``step`` except for the state, row by row.

    Arrays that do not change between rows are the same objects, so that a runtime can keep them on its device. The
    noise of a row is drawn in parallel with the previous row's evaluation: use it as a context manager.

    Args:
        program: determines whether there is a learned variance.
        state: the samples.
        dtype: of floating-point arrays.
    """

    def __init__(self, program: Iterate, state: SamplerState, dtype: FloatType = np.float32) -> None:
        shape = (state.n, *state.event_shape)
        self._state, self._dtype, self._learned = state, dtype, program.learned_variance
        self._silence = np.zeros(shape, dtype)
        self._known = self._silence if state.known is None else state.known.astype(dtype, copy=False)
        self._mask = np.ones(shape, dtype) if state.mask is None else state.mask.astype(dtype, copy=False)
        self._evaluated: dict[float, tuple[Conditions, Array]] = {}
        #: each column of the table that is an input; an element of it is an array without axes
        self._columns = {
            name: np.asarray(getattr(state.table, name), dtype)
            for name in (
                "time",
                "alpha",
                "sigma",
                "clip",
                "noise_scale",
                "rescale",
                *(("noise_range",) * self._learned),
            )
        }
        self._matrices = state.table.matrix.astype(dtype)
        self._worker = ThreadPoolExecutor(1, "zoo-noise")
        self._coming: dict[int, Future[Array]] = {}

    def __enter__(self) -> RowInputs:
        return self

    def __exit__(self, *_: object) -> None:
        self._worker.shutdown(cancel_futures=True)

    def __call__(self, row: Step) -> dict[str, Array]:
        """Arrays by the names of the graph's inputs; without ``condition`` if there is none."""
        state = self._state
        if row.guidance not in self._evaluated:
            condition, weight = evaluations(state.condition, row.guidance, state.other, state.further)
            self._evaluated[row.guidance] = condition, weight.astype(self._dtype, copy=False)
        condition, weight = self._evaluated[row.guidance]
        inputs = {name: column[row.index, ...] for name, column in self._columns.items()}
        inputs["matrix"] = self._matrices[row.index]
        inputs["noise"] = self._noise(row.index)
        inputs["weights"] = weight
        inputs["known"], inputs["mask"] = self._known, self._mask
        if isinstance(condition, Mapping):
            inputs.update(condition)
        elif condition is not None:
            inputs["condition"] = condition
        return inputs

    def _noise(self, index: int) -> Array:
        scales = self._state.table.noise_scale
        following = index + 1
        fresh = self._silence
        if scales[index]:
            coming = self._coming.pop(index, None)
            fresh = self._drawn(index) if coming is None else coming.result()
        if following < len(scales) and scales[following]:
            self._coming[following] = self._worker.submit(self._drawn, following)
        return fresh

    def _drawn(self, index: int) -> Array:
        state = self._state
        drawn = noise.normal(state.seed, state.n, state.event_shape, first=state.first, step=index, stream=Stream.STEP)
        return drawn.astype(self._dtype, copy=False)


def _initial_noise(
    start: ArrayLike | None, event_shape: tuple[int, ...], n: int, seed: int, first: int, dtype: FloatType
) -> Array:
    if n == 0:  # of a run that is only checked
        return np.zeros((0, *event_shape), dtype)
    if start is None:
        return noise.normal(seed, n, event_shape, first=first).astype(dtype, copy=False)
    return spread(start, event_shape, n, "the noise to start from", dtype)


def _named(arrays: Mapping[str, Array], name: str) -> Conditions:
    """The array of a name in a file, or the arrays below it; None if there are none."""
    below = {key.removeprefix(f"{name}/"): array for key, array in arrays.items() if key.startswith(f"{name}/")}
    return arrays.get(name, below or None)


def _flat(name: str, value: Conditions) -> dict[str, Array]:
    """The inverse of :func:`_named`."""
    if isinstance(value, Mapping):
        return {f"{name}/{part}": array for part, array in value.items()}
    return {} if value is None else {name: value}


def _check(state: SamplerState) -> None:
    slots, shape = state.slots, (state.n, *state.event_shape)
    if slots.ndim < 2 or slots.shape[0] != state.table.slots or slots.dtype.kind != "f":
        raise DataError(f"slots is {slots.dtype}{list(slots.shape)}, expected {state.table.slots} slots of numbers")
    if not 0 <= state.row <= len(state.table) or state.first < 0:
        raise DataError(f"row {state.row} of {len(state.table)} and first sample {state.first}")
    for name in ("known", "mask"):
        array = getattr(state, name)
        if array is not None and array.shape != shape:
            raise DataError(f"{name} has shape {array.shape}, expected {shape}")
    values = {"condition": state.condition, "other": state.other}
    values |= {f"{_FURTHER}{i}": each.condition for i, each in enumerate(state.further)}
    for name, value in values.items():
        if value is None and name.startswith(_FURTHER):
            raise DataError(f"{name} is missing")
        for array in value.values() if isinstance(value, Mapping) else () if value is None else (value,):
            if array.ndim < 1 or len(array) != state.n:
                raise DataError(f"{name} has shape {array.shape}, and expected {state.n} samples")
    if (state.known is None) != (state.mask is None):
        raise DataError("known and mask must be given together")
