"""Rows of a table as people write them: headings, categories by name, numbers with their own decimals."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo import noise
from zoo.errors import DataError
from zoo.modality import Column, Table
from zoo.noise import Stream


def values(samples: NDArray[Any], table: Table) -> NDArray[np.float64]:
    """Samples ``[n, columns]`` as numbers that can stand in the table: rounded down to its grain, within its range."""
    given = np.asarray(samples, np.float64)
    return np.stack([_entries(given[:, i], column) for i, column in enumerate(table.columns)], axis=1)


def texts(samples: NDArray[Any], table: Table) -> tuple[list[str], list[list[str]]]:
    """Headings, and for each sample what is written under them."""
    numbers = values(samples, table)
    written = [_written(numbers[:, i], column) for i, column in enumerate(table.columns)]
    return [column.name for column in table.columns], [list(row) for row in zip(*written, strict=True)]


def numbers(columns: Mapping[str, Sequence[str]], table: Table, source: str) -> NDArray[Any]:
    """What :func:`texts` wrote, or anybody else, as numbers ``[n, columns]``: categories by their places.

    Args:
        columns: texts under each heading; headings that the table does not have are left out.
        table: what is expected.
        source: where they come from, for errors.

    Raises:
        DataError: a column is missing, or holds what cannot stand there.
    """
    if missing := [column.name for column in table.columns if column.name not in columns]:
        raise DataError(
            f"{source} has no column {missing[0]!r}",
            hint="The columns are " + ", ".join(column.name for column in table.columns) + ".",
        )
    read = [_read(columns[column.name], column, f"{source}, column {column.name!r}") for column in table.columns]
    return np.stack(read, axis=1)


def rounding(n: int, table: Table, seed: int) -> NDArray[np.float64]:
    """Uniform noise ``[n, columns]`` of each column's grain, which models see numbers that were rounded with."""
    widths = np.array([column.grain or 0.0 for column in table.columns])
    return np.asarray(noise.uniform(seed, n, widths.shape, stream=Stream.DEQUANTIZE) * widths)


def _entries(x: NDArray[np.float64], column: Column) -> NDArray[np.float64]:
    if column.grain is not None:
        # a float32 a little below a number of so many decimals stands for that number
        steps = np.floor(x / column.grain + 1e-4)
        x = steps * column.grain
    low = -np.inf if column.minimum is None else column.minimum
    return x.clip(low, np.inf if column.maximum is None else column.maximum)


def _written(x: NDArray[np.float64], column: Column) -> list[str]:
    if column.values:
        return [column.values[int(v)] for v in x]
    if column.grain is None:
        return [repr(float(np.float32(v))) for v in x]
    decimals = max(0, -int(np.floor(np.log10(column.grain) + 1e-6)))
    # no "-0.0"
    return [f"{v + 0.0:.{decimals}f}" for v in x.round(decimals)]


def _read(given: Sequence[str], column: Column, where: str) -> NDArray[np.float64]:
    if column.values:
        places = {name: float(i) for i, name in enumerate(column.values)}
        if unknown := next((text for text in given if text not in places), None):
            raise DataError(f"{where}: {unknown!r} is none of {', '.join(column.values)}")
        return np.array([places[text] for text in given])
    read = np.empty(len(given))
    for i, text in enumerate(given):
        try:
            read[i] = float(text)
        except ValueError:
            raise DataError(f"{where}: {text!r} is not a number") from None
    return read
