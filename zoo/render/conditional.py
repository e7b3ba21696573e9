"""Conditions of samples as columns of a file: in words, and under the headings of the table that they came from."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.arrays import Array
from zoo.dates import formatted
from zoo.modality import Column, Table
from zoo.render.files import PART

if TYPE_CHECKING:
    from zoo.render.files import Extras

#: cells of a column: an array ``[n, ...]`` of numbers, or a list of words and numbers, with None where one is missing
Cells = Array | list[Any]

#: the most numbers of a value of several axes, such as a picture, that a row of text has
_FEW = 64
_HEADING = re.compile(rf"condition\d*|{PART}.*")


def is_conditional(heading: str) -> bool:
    """Whether :func:`columns` calls a column so that is not the user's own."""
    return _HEADING.fullmatch(heading) is not None


def columns(n: int, extras: Extras) -> dict[str, Cells]:
    """The condition of ``n`` samples by headings.

    Rows of a table have the columns that were given, with their words, dates and empty cells. Other conditions are
    called ``condition`` if they are classes, by their names or else their numbers; ``condition0``, ``condition1``, ...
    or what a table calls them if they are vectors; and ``condition/<part>`` if they are parts.
    """
    condition = extras.condition
    if condition is None:
        return {}
    own = _own(condition, n, extras.given_columns) if isinstance(extras.modality, Table) else None
    if own is not None:
        return own
    if isinstance(condition, Mapping):
        return {
            f"{PART}{name}": _part(values, n, extras.part_labels.get(name, ())) for name, values in condition.items()
        }
    if condition.ndim == 2:
        headings: Sequence[str] = extras.labels if isinstance(extras.modality, Table) else ()
        if len(headings) != condition.shape[1]:
            headings = [f"condition{i}" for i in range(condition.shape[1])]
        return {heading: condition[:, i] for i, heading in enumerate(headings)}
    return {"condition": _words(condition, extras.labels)}


def in_row(cells: Cells) -> bool:
    """Whether a row of text has a cell of these, or one for each of its numbers; pictures have too many."""
    return isinstance(cells, list) or cells.ndim <= 2 or math.prod(cells.shape[1:]) <= _FEW


def left_out(n: int, extras: Extras) -> list[str]:
    """The headings of :func:`columns` that rows of text have no place for."""
    return [heading for heading, cells in columns(n, extras).items() if not in_row(cells)]


def _part(values: Array, n: int, labels: Sequence[str]) -> Cells:
    whole = _whole(values, n)
    return _words(whole, labels) if whole.ndim == 1 else whole


def _whole(values: Array, n: int) -> Array:
    """An array ``[n, ...]`` of one that may have a single value for all samples."""
    return values if len(values) == n else np.broadcast_to(values, (n, *values.shape[1:]))


def _words(classes: Array, labels: Sequence[str]) -> Cells:
    return [labels[int(value)] for value in classes] if labels else classes


def _own(condition: Array | Mapping[str, Array], n: int, own: Sequence[Column]) -> dict[str, Cells] | None:
    """The user's own columns, in the order in which they were given; None if the condition is not made of all of them.

    It is made as :func:`zoo.reading.building.condition_of` says: of classes alone or as parts, then of all numbers.
    """
    classes = [column for column in own if column.values and not column.marks]
    numbers = [column for column in own if column not in classes]
    several = len(classes) + bool(numbers)
    parts = [_whole(values, n) for values in (condition.values() if isinstance(condition, Mapping) else [condition])]
    if not own or len(parts) != several:
        return None
    vector = parts.pop() if numbers else np.zeros((n, 0), np.float32)
    if vector.shape != (n, len(numbers)) or any(part.shape != (n,) for part in parts):
        return None
    cells: dict[str, Cells] = {}
    for column in own:
        if column in classes:
            cells[column.name] = _words(parts[classes.index(column)], column.values)
        elif not column.marks:
            cells[column.name] = _numbers(vector[:, numbers.index(column)], column)
    for place, column in enumerate(numbers):
        if column.marks:
            missing = vector[:, place] >= 0.5
            cells[column.marks] = [None if gone else c for c, gone in zip(cells[column.marks], missing, strict=True)]
    return cells


def _numbers(values: Array, column: Column) -> Cells:
    """Numbers as they are, which need not be those that a user might have written; dates as they are written."""
    if not column.date:
        return values
    step = column.grain or 0.0
    exact = values.astype(np.float64)
    rounded = np.round(exact / step) * step if step else exact  # float32 may be a little below a day
    return [formatted(float(value) + column.origin, column.date) for value in rounded]
