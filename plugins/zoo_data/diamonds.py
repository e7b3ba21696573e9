"""Diamonds that were for sale: a table of numbers and ordered categories with many rows."""

from __future__ import annotations

import csv
import importlib.util
import io
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.data import Dataset, Split
from zoo.data.fetch import Remote, fetch
from zoo.errors import DataError
from zoo.files import reason_of, sha256
from zoo.modality import Column, Table

#: the file of ggplot2, which is in the package plotnine too
_FILE = Remote(
    "diamonds.csv",
    ("https://raw.githubusercontent.com/tidyverse/ggplot2/v3.5.1/data-raw/diamonds.csv",),
    sha256="9574730b03aba241d899c4a97511c5061b19358fab89510774fb6c24168345c4",
)
#: from the worst to the best
CATEGORIES = {
    "cut": ("Fair", "Good", "Very Good", "Premium", "Ideal"),
    "color": ("J", "I", "H", "G", "F", "E", "D"),
    "clarity": ("I1", "SI2", "SI1", "VS2", "VS1", "VVS2", "VVS1", "IF"),
}
#: what numbers are rounded to
GRAINS = {"carat": 0.01, "depth": 0.1, "table": 0.1, "price": 1.0, "x": 0.01, "y": 0.01, "z": 0.01}
_COLUMNS = ("carat", "cut", "color", "clarity", "depth", "table", "price", "x", "y", "z")
#: of a stone, in mm: none is as long
_LONGEST = 20.0
_SPLIT_SEED = 0
_VALIDATION, _TEST = 0.1, 0.2


def diamonds() -> Dataset:
    """53,917 diamonds: carat, cut, color, clarity, depth and table in per cent, price in dollars, and sides in mm.

    Rows are float32 ``[n, 10]``; cut, color and clarity are ordered categories, counted from the worst. Every number
    was rounded, and has that grain, see :class:`zoo.modality.Column`. Of the 53,940 rows of the file 20 state a side of
    0 mm and three one of more than 30 mm; they are left out. Shuffled by a fixed seed, a fifth of the rows is for
    testing and a tenth for validation.

    The file is taken from the package plotnine, if that is installed.

    Raises:
        DataError: it cannot be had, or is not the published one.
    """
    rows = _read(_path())
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(rows))
    test, validation, train = np.split(order, [int(len(rows) * _TEST), int(len(rows) * (_TEST + _VALIDATION))])
    low, high = rows[train].min(0), rows[train].max(0)
    columns = tuple(
        Column.categories(name, CATEGORIES[name])
        if name in CATEGORIES
        else Column(name, grain=GRAINS[name], minimum=float(low[i]), maximum=float(high[i]))
        for i, name in enumerate(_COLUMNS)
    )
    splits = [Split(rows[chosen].astype(np.float32)) for chosen in (train, validation, test)]
    grain = np.array([GRAINS.get(name, 1.0) for name in _COLUMNS], np.float32)
    return Dataset("diamonds", *splits, grain=grain, modality=Table(columns))  # type: ignore[misc, arg-type]


def _path() -> Path:
    """The file in the package plotnine, which is not imported; else where data sets are kept."""
    spec = importlib.util.find_spec("plotnine")
    for folder in (spec.submodule_search_locations or ()) if spec is not None else ():
        path = Path(folder) / "data" / _FILE.name
        if path.is_file() and sha256(path) == _FILE.sha256:
            return path
    return fetch("diamonds", _FILE)


def _read(path: Path) -> NDArray[np.float64]:
    """The rows ``[n, 10]`` that can be diamonds."""
    places = {name: {value: i for i, value in enumerate(values)} for name, values in CATEGORIES.items()}
    try:
        listed = list(csv.DictReader(io.StringIO(path.read_text("utf-8"))))
        rows = np.array(
            [[places[name][row[name]] if name in places else float(row[name]) for name in _COLUMNS] for row in listed]
        )
    except (OSError, UnicodeDecodeError, KeyError, ValueError, TypeError, csv.Error) as error:
        raise DataError(f"{path} is not the table of diamonds: {reason_of(error)}") from error
    sides = rows[:, -3:]
    return np.asarray(rows[(sides.min(1) > 0) & (sides.max(1) < _LONGEST)])
