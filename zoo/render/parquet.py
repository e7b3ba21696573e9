"""Samples in Parquet files: columns of a table, of a vector, or of lists; needs pyarrow."""

from __future__ import annotations

import datetime as dt
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.arrays import Array
from zoo.dates import days, formatted
from zoo.errors import DataError
from zoo.modality import Table, Text
from zoo.render import conditional, tables, text
from zoo.render.columnar import decoded, encoded
from zoo.render.delimited import Delimited

if TYPE_CHECKING:
    from zoo.modality import Modality
    from zoo.render.files import Extras


def write(samples: Array, extras: Extras) -> bytes:
    """Samples as columns: those of a table by their headings, a text, a vector's numbers, or lists; then conditions."""
    if isinstance(extras.modality, Table):
        columns = _of_table(samples, extras.modality)
    elif isinstance(extras.modality, Text) and samples.ndim == 2:
        columns = {"text": text.texts(samples, extras.modality)}
    elif samples.ndim == 2:
        columns = {f"x{i}": samples[:, i] for i in range(samples.shape[1])}
    else:
        columns = {"samples" if samples.ndim > 1 else "x": samples}
    if extras.length is not None:
        columns["length"] = np.asarray(extras.length.lengths(samples))
    columns |= conditional.columns(len(samples), extras)
    return encoded(columns, extras.about)


def _of_table(samples: Array, table: Table) -> dict[str, Any]:
    """Columns of numbers, and of words and dates as texts; missing cells are null."""
    headings, rows = tables.texts(samples, table)
    described = {column.name: column for column in table.columns}
    columns: dict[str, Any] = {}
    for i, heading in enumerate(headings):
        cells = [row[i] for row in rows]
        column = described[heading]
        if column.values or column.date:
            columns[heading] = [cell or None for cell in cells]
        else:
            whole = column.grain is not None and float(column.grain).is_integer()
            columns[heading] = [None if not cell else int(cell) if whole else float(cell) for cell in cells]
    return columns


def read(path: Path, event_shape: tuple[int, ...] | None = None, modality: Modality | None = None) -> dict[str, Array]:
    """Samples and conditions of a file: of a table by its headings, else as :func:`write` writes them.

    Raises:
        DataError: it is damaged, or holds no such columns.
    """
    columns = decoded(path)
    conditions = {name: np.asarray(v) for name, v in columns.items() if conditional.is_conditional(name)}
    arrays = _conditions(conditions)
    others = {name: values for name, values in columns.items() if name not in conditions and name != "length"}
    if isinstance(modality, Table):
        dates = {column.name: column.date for column in modality.columns}
        cells = {name: [_cell(value, dates.get(name, "")) for value in values] for name, values in others.items()}
        return {"samples": tables.numbers(cells, modality, str(path)), **arrays}
    if isinstance(modality, Text) and "text" in others and event_shape is not None:
        return {"samples": text.numbers(list(others["text"]), modality, event_shape[0], str(path)), **arrays}
    if event_shape is None:
        return arrays
    return {"samples": _samples(others, event_shape, path), **arrays}


def table(path: Path, dates: Mapping[str, str] | None = None) -> Delimited:
    """The columns of a file that have single values, as texts; what is missing is empty.

    Args:
        path: the file.
        dates: how dates are written, by headings; others as ISO 8601 has them, with a blank before the time.
    """
    columns = {name: values for name, values in decoded(path).items() if np.ndim(values[:1]) == 1}
    dates = dates or {}
    cells = [[_cell(value, dates.get(name, "")) for value in values] for name, values in columns.items()]
    return Delimited(tuple(columns), [list(row) for row in zip(*cells, strict=True)], True, ",")


def lists(path: Path) -> dict[str, Array | list[Array]]:
    """The columns of a file whose cells are lists of numbers: an array ``[rows, ...]``, or one a row if they differ.

    Raises:
        DataError: the file is damaged.
    """
    cells = {name: _lists(values) for name, values in decoded(path).items()}
    return {name: values for name, values in cells.items() if values is not None}


def _lists(values: Any) -> Array | list[Array] | None:
    """Lists of numbers as arrays; None of anything else, or where one is missing."""
    if isinstance(values, np.ndarray):
        return values if values.ndim > 1 else None
    if not values or not all(isinstance(row, list) for row in values):
        return None
    try:
        rows = [np.asarray(row) for row in values]
    except ValueError:  # lists within whose lengths differ
        return None
    if not all(row.dtype.kind in "iuf" for row in rows):
        return None
    return np.stack(rows) if len({row.shape for row in rows}) == 1 else rows


def numbers(path: Path) -> dict[str, Array]:
    """``condition`` of a file, or else as ``samples`` its columns of numbers ``[rows, columns]``, or its only lists.

    Raises:
        DataError: the file is damaged, or has no condition and columns of something else.
    """
    arrays = read(path)
    if "condition" in arrays:
        return arrays
    others = {name: values for name, values in decoded(path).items() if not conditional.is_conditional(name)}
    if len(others) == 1 and isinstance(whole := _lists(next(iter(others.values()))), np.ndarray):
        return {"samples": whole}
    for name, values in others.items():
        if not isinstance(values, np.ndarray) or values.ndim != 1:
            raise DataError(f"{path}, column {name}: its cells are not numbers")
    return {**arrays, **({"samples": np.stack(list(others.values()), axis=1)} if others else {})}


def _conditions(columns: Mapping[str, Array]) -> dict[str, Array]:
    """``condition`` and ``condition/<part>``; columns condition0, condition1, ... are one vector."""
    arrays = {name: values for name, values in columns.items() if name == "condition" or "/" in name}
    numbered = [values for name, values in columns.items() if name not in arrays]
    return {"condition": np.stack(numbered, axis=1), **arrays} if numbered else arrays


def _samples(columns: Mapping[str, Any], event_shape: tuple[int, ...], path: Path) -> Array:
    if set(columns) == {"samples"}:
        return np.asarray(columns["samples"]).reshape(-1, *event_shape)
    wrong = [name for name, values in columns.items() if not isinstance(values, np.ndarray) or values.ndim != 1]
    if wrong or len(columns) != int(np.prod(event_shape)):
        told = f"column {wrong[0]!r} is none of numbers" if wrong else f"it has {len(columns)} columns of data"
        raise DataError(f"{path} holds no events of shape {event_shape}: {told}")
    return np.stack(list(columns.values()), axis=1).reshape(-1, *event_shape)


def _cell(value: object, date: str = "") -> str:
    """A cell as text, as of a .csv file; a date as it is written there."""
    if value is None:
        return ""
    if not isinstance(value, dt.date):
        return str(value)
    moment = value if isinstance(value, dt.datetime) else dt.datetime(value.year, value.month, value.day)
    # those of several time zones are comparable in one
    moment = moment if moment.tzinfo is None else moment.astimezone(dt.UTC).replace(tzinfo=None)
    whole = moment.time() == dt.time()
    return formatted(days(moment), date or ("%Y-%m-%d" if whole else "%Y-%m-%d %H:%M:%S"))
