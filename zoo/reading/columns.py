"""What kind of column each column of a table is: continuous, integer, categorical, boolean, date, constant, id or text.

Nothing is guessed silently: :func:`described` says what was recognised and why, ``zoo data`` shows it, and the option
``kinds`` overrides it.
"""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np

from zoo import records
from zoo.arrays import Array
from zoo.dates import formatted
from zoo.errors import DataError
from zoo.reading.content import Cells

Kind = Literal["continuous", "integer", "categorical", "boolean", "date", "constant", "id", "text"]
KINDS: tuple[str, ...] = get_args(Kind)
#: kinds that identify rows or carry no information, and so are left out of models
LEFT_OUT = ("constant", "id", "text")

_TRUTHS = ({"false", "true"}, {"no", "yes"}, {"n", "y"}, {"f", "t"}, {"0", "1"}, {"off", "on"})
_IDENTIFIES = re.compile(r"(^|[\W_])(id|uuid|guid|index|key)$|^Unnamed: 0$", re.IGNORECASE)
#: more distinct texts than this are not categories
_CATEGORIES = 1000
#: in fewer rows than this, consecutive whole numbers are not taken for row numbers
_COUNTED = 10
#: float32 has 24 bits: a grain is kept where a column's range has no more steps than this
STEPS = 2**22
#: numbers rounded to steps finer than this share of their range are as good as continuous
_FINE = 1e-5
#: of float32, at least, between the least and the largest number of a column
_STEPS = 2**16


@dataclass(frozen=True)
class Described:
    """A column as it was recognised.

    Attributes:
        name: its heading.
        kind: of :data:`KINDS`.
        rows: number of rows.
        missing: how many of its cells have no value.
        distinct: number of different values.
        grain: the width that its numbers were rounded to, in days for dates; or None.
        values: names of its categories, as written in the file.
        minimum: the smallest value, as written in the file; None for categories and texts.
        maximum: the largest.
        note: what a user should know, in one sentence, or empty.
    """

    name: str
    kind: str
    rows: int
    missing: int
    distinct: int
    grain: float | None = None
    values: tuple[str, ...] = ()
    minimum: float | str | None = None
    maximum: float | str | None = None
    note: str = ""

    @property
    def used(self) -> bool:
        """Whether a model sees it."""
        return self.kind not in LEFT_OUT

    def describe(self) -> dict[str, object]:
        """As JSON values."""
        described: dict[str, object] = records.write(self)
        return described


def described(name: str, cells: Cells, stated: str | None = None) -> Described:
    """Recognise a column.

    Args:
        name: its heading.
        cells: its values.
        stated: the kind that a user says it is, instead of what would be recognised.

    Raises:
        DataError: a stated kind that its values cannot have.
    """
    present = cells.present
    unique = np.unique(present)
    kind, why = (stated, "as stated") if stated else _recognised(name, cells, present, unique)
    common = {"name": name, "rows": len(cells.values), "missing": int(cells.missing.sum()), "distinct": len(unique)}
    note = "; ".join(text for text in (cells.note, why) if text)
    if kind in ("categorical", "boolean"):
        texts = tuple(map(str, _ordered(written(unique, cells), kind)))
        if len(set(texts)) < 2:
            raise DataError(f"column {name!r} has {len(texts)} category, and a model needs two or more")
        return Described(kind=kind, values=texts, note=note, **common)  # type: ignore[arg-type]
    if kind in LEFT_OUT:
        return Described(kind=kind, note=note, **common)  # type: ignore[arg-type]
    if present.dtype.kind not in "fiu":
        raise DataError(f"column {name!r} cannot be {kind}: it holds {_words(present)}, such as {str(present[0])!r}")
    rounded = grain_of(present.astype(np.float64), cells)
    low, high = unique[[0]], unique[[-1]]
    return Described(
        kind=kind,
        grain=None if stated == "continuous" else rounded,
        minimum=written(low, cells)[0] if cells.date else float(low[0]),
        maximum=written(high, cells)[0] if cells.date else float(high[0]),
        note=note,
        **common,  # type: ignore[arg-type]
    )


def written(values: Array, cells: Cells) -> list[str]:
    """Values of a column as its file writes them."""
    if cells.date:
        return [formatted(float(value), cells.date) for value in values]
    if values.dtype.kind == "f":
        return [
            f"{value:.{cells.digits or 0}f}" if cells.digits is not None else repr(float(value)) for value in values
        ]
    return [str(value) for value in values]


def grain_of(x: Array, cells: Cells) -> float | None:
    """The width that numbers were rounded to; None for numbers that are as good as continuous.

    Whole numbers that are all multiples of a number, such as incomes in hundreds, have that number as their grain;
    other numbers the width of their last decimal; dates a day, an hour, a minute or a second.

    Args:
        x: the numbers that are not missing.
        cells: how they were written.
    """
    if not len(x):
        return None
    span = float(np.ptp(x))
    if cells.date:
        steps = (1.0, 1 / 24, 1 / 1440, 1 / 86_400)
        return next(step for step in steps if step == steps[-1] or _multiples(x, step))
    if cells.values.dtype.kind in "iu":
        grain = float(math.gcd(*(int(value) for value in np.unique(x)))) or 1.0
    elif cells.digits is None:
        return None
    else:
        grain = 10.0**-cells.digits
    return grain if span and max(_FINE, 1 / STEPS) <= grain / span else None


def _multiples(x: Array, step: float) -> bool:
    """Whether moments, in days, are multiples of a step, up to a hundredth of a second."""
    return bool((np.abs(x - np.round(x / step) * step) < 1e-7).all())


def _recognised(name: str, cells: Cells, present: Array, unique: Array) -> tuple[str, str]:
    """The kind of a column, and why, where that is not obvious."""
    n, distinct = len(present), len(unique)
    if distinct <= 1:
        value = written(unique, cells)[0] if distinct else ""
        return "constant", f"always {value}" if distinct else "it has no values"
    if cells.date:
        return "date", ""
    if present.dtype.kind == "b" or {str(value).lower() for value in unique} in _TRUTHS:
        return "boolean", ""
    if present.dtype.kind in "iu":
        counts = n >= _COUNTED and int(unique[-1]) - int(unique[0]) == n - 1
        if distinct == n and (counts or _IDENTIFIES.search(name)):
            return "id", "each row has a different number"
        return "integer", ""
    if present.dtype.kind == "f":
        return "continuous", ""
    if distinct <= min(_CATEGORIES, max(2, n // 2)):
        return "categorical", ""
    if distinct == n:
        return "id", "each row has a different text"
    return "text", f"{distinct} different texts in {n} rows are too many for categories"


def _ordered(texts: list[str], kind: str) -> list[str]:
    """Categories in order: sorted as numbers if all are numbers, else as texts; false before true."""
    try:
        return sorted(texts, key=float)
    except ValueError:
        return sorted(texts, key=str.lower) if kind == "boolean" else sorted(texts)


def _words(values: Array) -> str:
    return {"U": "texts", "b": "true and false"}.get(values.dtype.kind, str(values.dtype))


def collapsed(columns: Mapping[str, Array]) -> list[str]:
    """Notes on columns of numbers, by their headings, whose different numbers are not different in float32.

    Raises:
        DataError: numbers that float32 does not have.
    """
    notes = []
    for name, values in columns.items():
        if infinite := int(np.isinf(values).sum()):
            raise DataError(
                f"column {name!r} has infinite numbers, {infinite:,} of them: leave their cells or rows out"
            )
        if len(values) and not float(np.abs(values).max()) <= float(np.finfo(np.float32).max):
            raise DataError(f"column {name!r} has numbers beyond float32, which ends at 3.4e38: rescale it")
        distinct, left = len(np.unique(values)), len(np.unique(values.astype(np.float32)))
        # of many numbers with all digits of float64 some always meet in float32, which is no loss if its steps are fine
        step = float(np.spacing(np.float32(np.abs(values).max()))) if len(values) else 0.0
        if left < distinct and step * _STEPS > float(np.ptp(values)):
            notes.append(
                f"column {name!r} has {distinct:,} different numbers, of which float32 keeps {left:,} apart: subtract "
                "a constant that they have in common, or take a larger unit"
            )
    return notes
