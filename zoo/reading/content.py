"""What readers return: rows of a table by their headings, or samples as one array."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.data.lazy import Lazy
from zoo.errors import DataError
from zoo.modality import Modality

#: words that name splits, in lower case, in columns, folders and files
SPLIT_WORDS = {
    **dict.fromkeys(("train", "training", "fit"), "train"),
    **dict.fromkeys(("validation", "valid", "val", "dev", "eval"), "validation"),
    **dict.fromkeys(("test", "testing", "holdout"), "test"),
}


@dataclass(frozen=True)
class Cells:
    """One column of a table.

    Attributes:
        values: ``[n]``: float64, int64, bool, or text (kind U); dates are days since 1970-01-01 in float64.
        missing: ``[n]``, true where there is no value; the value there means nothing.
        date: how a date is written, for :meth:`datetime.datetime.strftime`; empty for a column without dates.
        digits: the most decimals that a number is written with, or None if that is not known.
        note: what a user should know about how it was read, in one sentence, or empty.
    """

    values: Array
    missing: NDArray[np.bool_]
    date: str = ""
    digits: int | None = None
    note: str = ""

    @property
    def present(self) -> Array:
        """The values that are not missing."""
        return self.values[~self.missing]


@dataclass(frozen=True)
class Rows:
    """A table.

    Attributes:
        columns: by heading, in the order of the file; all of one length.
        splits: ``[n]`` names of the split that each row belongs to, or None if the source does not say.
        headed: whether the headings are the user's own, so that samples are written with them.
        notes: what a user should know about how they were read, one sentence each.
    """

    columns: Mapping[str, Cells]
    splits: NDArray[np.str_] | None = None
    headed: bool = True
    notes: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        """Refuse a table without columns or rows, or with columns of different lengths."""
        lengths = {len(cells.values) for cells in self.columns.values()}
        if not lengths or lengths == {0}:
            raise DataError("the table has no rows")
        if len(lengths) > 1:
            raise DataError(f"the columns of the table have different lengths: {sorted(lengths)}")

    def __len__(self) -> int:
        return len(next(iter(self.columns.values())).values)


@dataclass(frozen=True)
class Samples:
    """Samples other than rows of a table: pictures, recordings, texts, arrays.

    Attributes:
        x: ``[n, *event]``, in memory or not.
        condition: classes or vectors of the samples, or arrays by the names of parts; or None.
        labels: names of the classes.
        levels: number of values of discrete data, or None.
        modality: the meaning of a sample's numbers, where its shape does not tell.
        grain: the width that all numbers were rounded to, or None.
        splits: as of :class:`Rows`.
        notes: what a user should know about how they were read, one sentence each.
        headings: names of the numbers of a sample ``[d]``, by which options bound them; empty for other samples.
    """

    x: Array | Lazy
    condition: Array | Mapping[str, Array] | None = None
    labels: tuple[str, ...] = ()
    levels: int | None = None
    modality: Modality | None = None
    grain: float | None = None
    splits: NDArray[np.str_] | None = None
    notes: tuple[str, ...] = field(default=())
    headings: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.x)
