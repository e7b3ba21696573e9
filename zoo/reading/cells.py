"""Texts of a table's cells as typed columns: numbers, dates, booleans or texts, and what is missing."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np

from zoo.arrays import Array
from zoo.dates import days, parsed
from zoo.errors import DataError
from zoo.reading.content import Cells
from zoo.render.delimited import MISSING

#: cells that stand for a missing value, where all other cells of the column are numbers or dates
_MISSING_NUMBERS = MISSING | {"?", "-", "None", "none", "."}
_INTEGER = re.compile(r"[+-]?(0|[1-9]\d{0,17})")
_NUMBER = re.compile(r"[+-]?(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?")
#: date formats, tried in this order; the first that fits all cells is taken
_DATES = (
    *("%Y-%m-%d", "%Y-%m-%dT%H:%M:%S", "%Y-%m-%d %H:%M:%S", "%Y-%m-%dT%H:%M", "%Y-%m-%d %H:%M", "%Y/%m/%d"),
    *("%d.%m.%Y", "%d.%m.%Y %H:%M", "%d/%m/%Y", "%m/%d/%Y", "%d %b %Y", "%d %B %Y"),
)
#: a column of which at most this share is something else is one of numbers with mistakes
_STRAY = 0.1
#: two date formats that may both fit and mean different days
_AMBIGUOUS = ("%d/%m/%Y", "%m/%d/%Y")


def typed(texts: Sequence[str], *, decimal: str = ".") -> Cells:
    """A column of a text file.

    Numbers with leading zeros, such as postal codes, are texts.

    Args:
        texts: its cells.
        decimal: the decimal separator: a point or a comma.
    """
    stripped = [text.strip() for text in texts]
    loose = [text in _MISSING_NUMBERS for text in stripped]
    present = [text for text, gone in zip(stripped, loose, strict=True) if not gone]
    if present:
        # a point is no decimal separator beside a comma that is one, and may well be one of thousands
        numeric = present if decimal == "." else [text.replace(".", "?").replace(decimal, ".") for text in present]
        if all(map(_INTEGER.fullmatch, numeric)):
            return _numbers(np.array([int(text) for text in numeric], np.int64), loose, 0)
        if all(_NUMBER.fullmatch(text) and not _padded(text) for text in numeric):
            return _numbers(np.array([float(text) for text in numeric]), loose, max(map(_decimals, numeric)))
        if (dates := _dates(present)) is not None:
            days, written = dates
            return Cells(_spread(days, loose), np.array(loose), date=written)
    gone = np.array([text in MISSING for text in stripped])
    return Cells(np.array(stripped), gone, note=_ambiguous(present) or _nearly(present, decimal))


def of_values(values: Iterable[Any], heading: str) -> Cells:
    """A column of Python values or an array: of a data frame, a parquet file or an array.

    Raises:
        DataError: values that are neither numbers, texts, dates nor missing.
    """
    array = values if isinstance(values, np.ndarray) else np.array(list(values), object)
    if array.ndim != 1:
        raise DataError(f"column {heading!r} holds arrays of shape {array.shape[1:]}, not single values")
    if array.dtype.kind == "O":
        return _of_objects(array, heading)
    if array.dtype.kind == "M":
        gone = np.isnat(array)
        seconds = array.astype("datetime64[s]").astype(np.float64)
        return _of_moments(np.where(gone, 0.0, seconds / 86_400), gone)
    gone = np.isnan(array) if array.dtype.kind == "f" else np.zeros(len(array), bool)
    if array.dtype.kind == "f":
        good = np.where(gone, 0.0, array)
        whole = bool((good == np.floor(good)).all()) and bool((np.abs(good) < 2**53).all())
        if gone.any() and whole and not gone.all():  # frames keep whole numbers with gaps as floats
            return Cells(good.astype(np.int64), gone, digits=0)
        return Cells(good.astype(np.float64), gone, digits=_digits(array[~gone]))
    if array.dtype.kind in "iu":
        if array.dtype.kind == "u" and len(array) and int(array.max()) > np.iinfo(np.int64).max:
            return Cells(array.astype(np.float64), gone, note="its numbers are too large for 64 bits, and are rounded")
        return Cells(array.astype(np.int64), gone, digits=0)
    if array.dtype.kind in "bU":
        return Cells(array, gone)
    raise DataError(f"column {heading!r} holds {array.dtype}, which is neither numbers, texts nor dates")


def _of_objects(array: Array, heading: str) -> Cells:
    """Python values; those that are not missing decide the type."""
    gone = np.array([value is None or (isinstance(value, float) and value != value) or _nat(value) for value in array])
    present = list(array[~gone])
    if not present:
        return Cells(np.zeros(len(array)), gone)
    for kinds, dtype in (((bool, np.bool_), bool), ((int, np.integer), np.int64), ((int, float, np.number), float)):
        if all(isinstance(value, kinds) for value in present):
            if kinds == (int, np.integer) and not all(-(2**63) <= value < 2**63 for value in present):
                continue  # as floats, like whole numbers of 64 bits without a sign
            inner = of_values(np.array(present, dtype), heading)
            return Cells(_spread(inner.values, gone), gone, digits=inner.digits)
    if all(isinstance(value, str) for value in present):
        return Cells(np.array(["" if g else str(v) for v, g in zip(array, gone, strict=True)]), gone)
    if all(hasattr(value, "isoformat") and hasattr(value, "year") for value in present):
        moments = np.array([_moment(value) for value in present])
        cells = _of_moments(_spread(moments, gone), gone)
        zoned = [value for value in present if getattr(value, "tzinfo", None) is not None]
        if zoned and len(zoned) < len(present):
            raise DataError(f"column {heading!r} holds moments with a time zone, and others without")
        return replace(cells, note="its moments are those of UTC") if zoned else cells
    kinds_found = ", ".join(sorted({type(value).__name__ for value in present})[:3])
    raise DataError(
        f"column {heading!r} holds values of the types {kinds_found}; a column holds numbers, texts or dates"
    )


def _moment(value: Any) -> float:
    moment = value if isinstance(value, datetime) else datetime(value.year, value.month, value.day)
    # moments of several time zones are comparable in one
    return days((moment if moment.tzinfo is None else moment.astimezone(UTC)).replace(tzinfo=None))


def _digits(values: Array) -> int:
    """The most decimals of any number; the shortest decimal of a float32 is that of its own type."""
    digits, rest = 0, values[np.isfinite(values)]
    while len(rest):
        digits = max(digits, *(_decimals(np.format_float_positional(v, trim="-")) for v in rest[:1000]))
        rest = rest[1000:]
        with np.errstate(over="ignore", invalid="ignore"):
            rest = rest[np.round(rest.astype(np.float64), digits).astype(values.dtype) != rest]
    return digits


def _nat(value: Any) -> bool:
    return type(value).__name__ in ("NaTType", "NAType")


def _of_moments(numbers: Array, gone: Array) -> Cells:
    whole = bool((numbers[~gone] % 1 == 0).all())
    return Cells(numbers, np.asarray(gone, bool), date="%Y-%m-%d" if whole else "%Y-%m-%d %H:%M:%S")


def _numbers(present: Array, gone: Sequence[bool], digits: int) -> Cells:
    return Cells(_spread(present, gone), np.array(gone), digits=digits)


def _spread(present: Array, gone: Sequence[bool] | Array) -> Array:
    """A column with these values where it is not missing, and zeros elsewhere."""
    column = np.zeros(len(gone), present.dtype)
    column[~np.asarray(gone, bool)] = present
    return column


def _padded(text: str) -> bool:
    digits = text.lstrip("+-")
    return len(digits) > 1 and digits[0] == "0" and digits[1].isdigit()


def _decimals(text: str) -> int:
    mantissa, _, exponent = text.lower().partition("e")
    return max(0, len(mantissa.partition(".")[2]) - int(exponent or 0))


def _dates(texts: Sequence[str]) -> tuple[Array, str] | None:
    """Days since 1970-01-01, and how they are written; None for texts that are not dates, or are ambiguous."""
    if not any(character.isdigit() for character in texts[0]):
        return None
    for written in _DATES:
        if (read := _as_dates(texts, written)) is None:
            continue
        other = _as_dates(texts, _AMBIGUOUS[1]) if written == _AMBIGUOUS[0] else None
        return None if other is not None and not np.array_equal(other, read) else (read, written)
    return None


def _as_dates(texts: Sequence[str], written: str) -> Array | None:
    try:
        return np.array([parsed(text, written) for text in texts])
    except ValueError:
        return None


def _nearly(present: Sequence[str], decimal: str) -> str:
    """What keeps a column of texts from being one of numbers, if that is not much."""
    others = [text for text in present if not _NUMBER.fullmatch(text.replace(decimal, "."))]
    if not others or len(others) > _STRAY * len(present):
        return ""
    told = f"{len(others)} is no number" if len(others) == 1 else f"{len(others)} are no numbers"
    return f"of its {len(present)} cells {told}, such as {others[0]!r}"


def _ambiguous(present: Sequence[str]) -> str:
    if present and all(_as_dates(present, written) is not None for written in _AMBIGUOUS):
        return "its dates may have the day or the month first: write them as YYYY-MM-DD to have them read as dates"
    return ""
