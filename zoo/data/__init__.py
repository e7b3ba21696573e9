"""Data sets: arrays in memory, split, with their metadata. No torch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.data.lazy import Lazy
from zoo.errors import DataError
from zoo.modality import Modality

__all__ = ["Dataset", "Split", "check_finite"]

_LARGEST = float(np.finfo(np.float32).max)
#: rows of a file that are looked at in one piece
_ROWS = 65_536


@dataclass(frozen=True)
class Split:
    """Samples and, if there are any, their classes or context vectors.

    Attributes:
        x: ``[n, *event]``, any real dtype; a :class:`~zoo.data.lazy.Lazy` stays in its files until rows are asked for.
        condition: whole numbers or labels ``[n]``, or numbers ``[n, d]``; arrays ``[n, *shape]`` of named parts, tokens
            filled up by their padding, or as texts ``[n]``; or None.

    Raises:
        DataError: what is no array, an empty split, or a condition of another length.
    """

    x: Array
    condition: Array | Mapping[str, Array] | None = None

    def __post_init__(self) -> None:
        """Refuse what is not arrays, an empty split, or a condition of another length."""
        object.__setattr__(self, "x", _array(self.x, "the samples"))
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


def _array(values: object, what: str) -> Array:
    """Values as an array with an axis of samples; an array stays the one that it is."""
    if isinstance(values, Lazy):
        return values  # type: ignore[return-value] # it is indexed as an array is
    try:
        array: Array = np.asanyarray(values)
    except (TypeError, ValueError) as error:
        raise DataError(f"{what} of a split are not an array: {' '.join(str(error).split())[:200]}") from error
    if array.ndim == 0 or array.dtype.kind == "O":
        shown = type(values).__name__ if array.ndim == 0 else "Python objects"
        raise DataError(f"{what} of a split are numbers or texts with a row for each sample, not {shown}")
    return array


def check_finite(values: Array, what: str, names: Sequence[str] = ()) -> None:
    """Refuse numbers that are not finite in float32, the precision of models.

    Args:
        values: ``[n, ...]``, one row per sample.
        what: the name of the values, for the message.
        names: of the columns of ``[n, d]``, or empty.

    Raises:
        DataError: with the value, its row and its column.
    """
    if values.dtype.kind != "f":
        return
    if isinstance(values, (Lazy, np.memmap)):
        for start in range(0, len(values), _ROWS):
            check_finite(np.array(values[start : start + _ROWS]), f"{what}, from row {start} on,", names)
        return
    good = np.isfinite(values)
    if values.dtype.itemsize > 4:
        good &= np.abs(values) <= _LARGEST
    if good.all():
        return
    row, *place = (int(i) for i in np.unravel_index(int(good.argmin()), good.shape))
    where = f", column {place[0]}" if len(place) == 1 else f", at {place}" if place else ""
    if len(place) == 1 and names:
        where += f" ({names[place[0]]})"
    others = good.size - int(np.count_nonzero(good)) - 1
    more = f", and {others:,} more" if others else ""
    raise DataError(
        f"{what} have the value {values[row, *place]} in row {row}{where}, counted from 0{more}",
        hint="Remove such rows, or replace the values by numbers that float32 can represent.",
    )
