"""Data sets: arrays in memory, split, with what is known of their units. No torch."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DataError
from zoo.modality import Modality

__all__ = ["Dataset", "Split", "check_finite"]

_LARGEST = float(np.finfo(np.float32).max)


@dataclass(frozen=True)
class Split:
    """Samples and, where there are any, their classes or context vectors.

    Attributes:
        x: ``[n, *event]``, any real dtype.
        condition: int32 ``[n]`` or float32 ``[n, d]``, or None.
    """

    x: NDArray[Any]
    condition: NDArray[Any] | None = None

    def __post_init__(self) -> None:
        """Refuse an empty split or a condition of another length."""
        if len(self.x) == 0:
            raise DataError("a split of a data set is empty")
        if self.condition is not None and len(self.condition) != len(self.x):
            raise DataError(f"{len(self.x)} samples come with {len(self.condition)} conditions")

    def __len__(self) -> int:
        return len(self.x)


@dataclass(frozen=True)
class Dataset:
    """A data set in memory.

    Attributes:
        name: as registered.
        train: what models are fitted to.
        validation: what choices are made by (early stopping).
        test: what results are quoted on, and nothing else.
        levels: for discrete data the number of values, which are 0 … levels - 1; None for continuous data. Training
            dequantises discrete data with uniform noise, so a sample lies in [0, levels) and its density has unit bins.
        grain: for numbers that were rounded, such as measurements in a table, the widths to which they were, of the
            shape of an event; None for what is continuous, or has levels. Training and scoring add uniform noise of
            these widths, since a density of rounded numbers can be made as large as one likes.
        modality: what the numbers of a sample mean, where its shape does not say.
        labels: names of the classes.
        entropy: differential entropy in nats where it is known, the best negative log-likelihood there can be.
        extra: whatever else is known, as JSON values.
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
    extra: dict[str, Any] = field(default_factory=dict)

    @property
    def widths(self) -> NDArray[np.float32] | float | None:
        """Of the noise that makes discrete data continuous: 1 for levels, the grain, or None for continuous data."""
        return 1.0 if self.levels else self.grain

    @property
    def event_shape(self) -> tuple[int, ...]:
        """Shape of one sample."""
        return tuple(np.shape(self.train.x)[1:])


def check_finite(values: NDArray[Any], what: str, names: Sequence[str] = ()) -> None:
    """Refuse numbers that are not finite in float32, in which models compute.

    Args:
        values: ``[n, ...]``, a row for each sample.
        what: they are, for the message.
        names: of the columns of ``[n, d]``, or none.

    Raises:
        DataError: with the value, its row and its column.
    """
    if values.dtype.kind != "f":
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
        hint="Leave such rows out, or put numbers in their place that float32 can hold.",
    )
