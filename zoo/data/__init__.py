"""Data sets: arrays in memory, split, with their metadata. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zoo.arrays import Array, array_of_rows, is_ragged
from zoo.data.lazy import Lazy
from zoo.errors import DataError
from zoo.lengths import Length
from zoo.modality import Modality

__all__ = ["Dataset", "Split", "check_finite", "fitted", "ragged"]

_LARGEST = float(np.finfo(np.float32).max)
#: rows of a file that are looked at in one piece
_ROWS = 65_536


@dataclass(frozen=True)
class Split:
    """Samples and, if there are any, their classes or context vectors.

    Events, tokens and sequences of lengths of their own are a list of arrays, one for each sample, which is kept as an
    array ``[n]`` of Python objects; :func:`ragged` makes one of a padded array.

    Attributes:
        x: ``[n, *event]``, any real dtype; a :class:`~zoo.data.lazy.Lazy` stays in its files until rows are asked for;
            or of different lengths, each without its mask or its end.
        condition: whole numbers or labels ``[n]``, or numbers ``[n, d]``; arrays ``[n, *shape]`` of named parts, tokens
            filled up by their padding, or as texts ``[n]``, tokens and sequences also of lengths of their own; or None.

    Raises:
        DataError: values that are not arrays, samples that are not numbers, an empty split, or a condition of another
            length.
    """

    x: Array
    condition: Array | Mapping[str, Array] | None = None

    def __post_init__(self) -> None:
        """Refuse what is not numbers, an empty split, or a condition of another length."""
        object.__setattr__(self, "x", _array(self.x, "the samples"))
        kind = np.dtype(getattr(self.x, "dtype", np.float32))
        if kind.kind not in "biuf" and not is_ragged(self.x):
            told = "texts" if kind.kind in "US" else f"of the type {kind}"
            raise DataError(f"the samples of a split are numbers, not {told}")
        if len(self.x) == 0:
            raise DataError("a split of a data set is empty")
        if isinstance(self.condition, Mapping):
            parts = {str(name): _array(part, f"part {name} of the conditions") for name, part in self.condition.items()}
            object.__setattr__(self, "condition", parts)
        elif self.condition is not None:
            object.__setattr__(self, "condition", _array(self.condition, "the conditions"))
        if isinstance(self.condition, Mapping):
            if other := [name for name, part in self.condition.items() if len(part) != len(self.x)]:
                raise DataError(f"{len(self.x)} samples come with {len(self.condition[other[0]])} of part {other[0]}")
        elif self.condition is not None and len(self.condition) != len(self.x):
            raise DataError(f"{len(self.x)} samples come with {len(self.condition)} conditions")

    def __len__(self) -> int:
        return len(self.x)

    def condition_at(self, samples: slice | NDArray[np.int64]) -> Array | dict[str, Array] | None:
        """The conditions of some samples, or None."""
        if isinstance(self.condition, Mapping):
            return {name: part[samples] for name, part in self.condition.items()}
        return None if self.condition is None else self.condition[samples]


@dataclass(frozen=True)
class Dataset:
    """A data set in memory.

    Attributes:
        name: as registered.
        train: for fitting models.
        validation: for choices such as early stopping.
        test: for reported results only.
        levels: for discrete data, the number of values 0 … levels - 1; None for continuous data. Training
            dequantises discrete data with uniform noise, so a sample lies in [0, levels) and its density has unit bins.
        grain: for rounded numbers, such as measurements in a table, the rounding widths, of the shape of an event;
            None for continuous data, or data with levels. Training and scoring add uniform noise of these widths, since
            the density of rounded numbers is unbounded.
        modality: the meaning of a sample's numbers, where its shape does not tell.
        labels: names of the classes.
        entropy: differential entropy in nats if known, the smallest possible negative log-likelihood.
        extra: other metadata, as JSON values.
    """

    name: str
    train: Split
    validation: Split
    test: Split
    levels: int | None = None
    grain: NDArray[np.float32] | None = None
    modality: Modality | None = None
    labels: tuple[str, ...] = ()
    entropy: float | None = None
    extra: dict[str, object] = field(default_factory=dict)

    @property
    def widths(self) -> NDArray[np.float32] | float | None:
        """Widths of the dequantisation noise: 1 for levels, the grain, or None for continuous data."""
        return 1.0 if self.levels else self.grain

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(np.shape(self.train.x)[1:])


def ragged(values: Sequence[ArrayLike] | Array, lengths: ArrayLike | None = None, *, axis: int = 0) -> Array:
    """Events, tokens or rows of a sequence, of a length of its own for each sample, for :class:`Split`.

    A list of arrays of different lengths needs it not; one whose arrays may by chance be of one length does.

    Args:
        values: a list of arrays, one for each sample; or with ``lengths`` an array ``[n, ...]`` that is padded.
        lengths: of each sample ``[n]``; None for arrays that are of their own lengths.
        axis: of one sample, along which it is padded.

    Returns:
        an array ``[n]`` of arrays, as Python objects; parts of a padded array share its memory.

    Raises:
        DataError: lengths that are none.
    """
    if lengths is None:
        return array_of_rows([_row(row, f"the values, row {i}") for i, row in enumerate(values)])
    padded, ends = np.asanyarray(values), np.asarray(lengths)
    size = padded.shape[1 + axis] if padded.ndim > 1 + axis else 0
    if ends.shape != (len(padded),) or not ((ends >= 0) & (ends <= size) & (ends % 1 == 0)).all():
        raise DataError(f"lengths are whole numbers from 0 to {size}, one for each of {len(padded)} samples")
    whole = [slice(None)] * axis
    return array_of_rows([row[(*whole, slice(int(end)))] for row, end in zip(padded, ends, strict=True)])


def fitted(data: Dataset, event_shape: tuple[int, ...], length: Length | None) -> Dataset:
    """A data set whose events are as a model has them: those of lengths of their own filled up, with masks or ends.

    Args:
        data: the data set, which is returned if its events are of one shape.
        event_shape: of the model.
        length: how the model's events end, or None.

    Raises:
        DataError: events of lengths of their own for a model whose events are of one length, or that do not fit.
    """
    splits = {name: split for name in ("train", "validation", "test") if is_ragged((split := getattr(data, name)).x)}
    if splits and length is None:
        raise DataError(
            f"data set {data.name} has events of lengths of their own, and the model's all have the shape {event_shape}"
        )
    assert length is not None or not splits
    joined = {
        name: replace(split, x=length.filled(split.x, event_shape, f"the {name} split of data set {data.name}"))
        for name, split in splits.items()
        if length is not None
    }
    return replace(data, **joined) if joined else data


def _array(values: object, what: str) -> Array:
    """Values as an array with an axis of samples; an array is returned unchanged."""
    if isinstance(values, Lazy):
        return values  # type: ignore[return-value] # it is indexed as an array is
    try:
        array: Array = np.asanyarray(values)
    except (TypeError, ValueError) as error:
        # arrays of different lengths
        if not isinstance(values, (list, tuple)) or not all(
            isinstance(row, (np.ndarray, list, tuple)) for row in values
        ):
            raise DataError(f"{what} of a split are not an array: {' '.join(str(error).split())[:200]}") from error
        array = array_of_rows(values)
    if is_ragged(array):
        return array_of_rows([_row(row, f"{what} of a split, row {i}") for i, row in enumerate(array)])
    if array.ndim == 0 or array.dtype.kind == "O":
        shown = type(values).__name__ if array.ndim == 0 else "Python objects"
        raise DataError(f"{what} of a split are numbers or texts with a row for each sample, not {shown}")
    return array


def _row(values: object, what: str) -> Array:
    """Numbers of one sample whose length is its own."""
    try:
        row: Array = np.asanyarray(values)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what}, are not an array: {' '.join(str(error).split())[:200]}") from error
    if row.ndim == 0 or row.dtype.kind not in "iuf":
        raise DataError(f"{what}, are numbers of one sample, not {row.dtype}{list(row.shape)}")
    return row


def check_finite(values: Array, what: str, names: Sequence[str] = ()) -> None:
    """Refuse numbers that are not finite in float32, the precision of models.

    Args:
        values: ``[n, ...]``, one row per sample.
        what: the name of the values, for the message.
        names: of the columns of ``[n, d]``, or empty.

    Raises:
        DataError: with the value, its row and its column.
    """
    if is_ragged(values):
        _check_rows(values, what)
        return
    if values.dtype.kind in "biu":
        return  # pictures in files are not read just to look at them
    if isinstance(values, (Lazy, np.memmap)):
        for start in range(0, len(values), _ROWS):
            check_finite(np.array(values[start : start + _ROWS]), f"{what}, from row {start} on,", names)
        return
    good = _finite(values)
    if good.all():
        return
    row, *place = (int(i) for i in np.unravel_index(int(good.argmin()), good.shape))
    where = f", column {place[0]}" if len(place) == 1 else f", at {place}" if place else ""
    if len(place) == 1 and names:
        where += f" ({names[place[0]]})"
    others = good.size - int(np.count_nonzero(good)) - 1
    raise _not_finite(what, values[row, *place], f"row {row}{where}", others)


def _check_rows(rows: Array, what: str) -> None:
    """The same of arrays of lengths of their own."""
    for i, row in enumerate(rows):
        good = _finite(row)
        if not good.all():
            place = [int(k) for k in np.unravel_index(int(good.argmin()), good.shape)]
            others = good.size - int(np.count_nonzero(good)) - 1
            raise _not_finite(what, row[tuple(place)], f"row {i}, at {place}", others)


def _finite(values: Array) -> NDArray[np.bool_]:
    """Which numbers are finite in float32."""
    good: NDArray[np.bool_] = np.isfinite(values) if values.dtype.kind == "f" else np.ones(values.shape, np.bool_)
    return good & (np.abs(values) <= _LARGEST) if values.dtype.kind == "f" and values.dtype.itemsize > 4 else good


def _not_finite(what: str, value: object, where: str, others: int) -> DataError:
    more = f", and {others:,} more" if others else ""
    return DataError(
        f"{what} have the value {value} in {where}, counted from 0{more}",
        hint="Remove such rows, or replace the values by numbers that float32 can represent.",
    )
