"""Rows of a table in readable form: headings, categories by name, numbers with their decimals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from zoo import dates, noise
from zoo.arrays import Array
from zoo.errors import DataError
from zoo.modality import Column, Table
from zoo.noise import Stream
from zoo.render import delimited


def values(samples: Array, table: Table) -> NDArray[np.float64]:
    """Samples ``[n, columns]`` as valid numbers of the table: rounded down to its grain, within its range."""
    rows = np.asarray(samples, np.float64)
    return np.stack([_entries(rows[:, i], column) for i, column in enumerate(table.columns)], axis=1)


def texts(samples: Array, table: Table) -> tuple[list[str], list[list[str]]]:
    """Headings, and the cells of each sample. Cells that a column marks as missing are empty."""
    numbers = values(samples, table)
    cells = {column.name: _written(numbers[:, i], column) for i, column in enumerate(table.columns)}
    for i, column in enumerate(table.columns):
        if column.marks:
            missing = numbers[:, i] >= 1.0
            cells[column.marks] = ["" if m else c for c, m in zip(cells[column.marks], missing, strict=True)]
            del cells[column.name]
    return list(cells), [list(row) for row in zip(*cells.values(), strict=True)]


def numbers(columns: Mapping[str, Sequence[str]], table: Table, source: str) -> Array:
    """Cells, as :func:`texts` writes them, parsed as numbers ``[n, columns]``, with categories as indices.

    Args:
        columns: texts by heading; headings that the table does not have are ignored.
        table: the expected table.
        source: their origin, for errors.

    Raises:
        DataError: a column is missing, or has an invalid cell, such as an empty one in a column of numbers: a density
            of a row is one of all its numbers.
    """
    if missing := [column.name for column in table.columns if not column.marks and column.name not in columns]:
        raise DataError(
            f"{source} has no column {missing[0]!r}",
            hint="The columns are " + ", ".join(column.name for column in table.columns if not column.marks) + ".",
        )
    rows = len(next(iter(columns.values())))
    read = [
        np.zeros(rows) if column.marks else _read(columns[column.name], column, f"{source}, column {column.name!r}")
        for column in table.columns
    ]
    return np.stack(read, axis=1)


def rounding(x: Array, table: Table, seed: int) -> NDArray[np.float64] | None:
    """Uniform noise ``[n, columns]`` of each column's grain, to add to rounded numbers before scoring, if any are."""
    if not any(column.grain for column in table.columns):
        return None
    widths = np.array([column.grain or 0.0 for column in table.columns])
    return np.asarray(noise.uniform(seed, len(x) if x.ndim else 0, widths.shape, stream=Stream.DEQUANTIZE) * widths)


def _entries(x: NDArray[np.float64], column: Column) -> NDArray[np.float64]:
    if column.grain is not None:
        # a float32 slightly below a number with these decimals stands for that number
        steps = np.floor(x / column.grain + 1e-4)
        x = steps * column.grain
    low = -np.inf if column.minimum is None else column.minimum
    return x.clip(low, np.inf if column.maximum is None else column.maximum)


def _written(x: NDArray[np.float64], column: Column) -> list[str]:
    if column.values:
        return [column.values[int(v)] for v in x]
    if column.date:
        return [dates.formatted(v + column.origin, column.date) for v in x]
    if column.grain is None:
        return [str(v) for v in x.astype(np.float32)]  # the shortest decimals that are read as the same numbers
    decimals = max(0, -int(np.floor(np.log10(column.grain) + 1e-6)))
    # no "-0.0"
    return [f"{v + 0.0:.{decimals}f}" for v in x.round(decimals)]


def _read(texts: Sequence[str], column: Column, where: str) -> NDArray[np.float64]:
    if column.values:
        return _places(texts, column.values, where)
    if not column.date:
        return delimited.numbers(texts, where)
    read = np.empty(len(texts))
    for i, text in enumerate(texts):
        try:
            read[i] = dates.parsed(text, column.date) - column.origin
        except ValueError:
            raise DataError(f"{where}: {text!r} is not a date written as {column.date}") from None
    return read


def _places(texts: Sequence[str], categories: Sequence[str], where: str) -> NDArray[np.float64]:
    """Places of categories, which blanks around them do not change; what stands for a missing cell is the empty one."""
    places = {name: float(i) for i, name in enumerate(categories)}
    if "" in places:
        places = {**dict.fromkeys(delimited.MISSING, places[""]), **places}
    if unknown := next((text for text in texts if text not in places and text.strip() not in places), None):
        raise DataError(f"{where}: {unknown!r} is not one of {', '.join(categories)}")
    return np.array([places[text if text in places else text.strip()] for text in texts])
