"""Samples of a few numbers, such as rows of a table or parameters of a posterior: every two of them, and each alone."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.dates import formatted
from zoo.modality import Column, Modality, Table
from zoo.render import tables
from zoo.render.figures import INK, extent_of, new_figure, saved

#: how many numbers of a sample are shown so; fewer are points or a histogram, and more have panels too small to read
LEAST, MOST = 3, 6
#: inches of a panel, letters of a heading and of a category's name, names of categories at an axis, and bars
_PANEL, _HEADING, _NAME, _NAMES, _BINS = 1.9, 22, 12, 12, 30
#: how far points of a category lie from its place, at most, so that they do not hide each other
_SPREAD = 0.3
_BAR = "#9fb8cc"


@dataclass(frozen=True)
class _Shown:
    """A column as it is drawn.

    Attributes:
        column: what it is.
        values: ``[n]``; NaN where a cell is missing.
        low: where its axis begins.
        high: where it ends.
    """

    column: Column
    values: NDArray[np.float64]
    low: float
    high: float


def fits(event_shape: tuple[int, ...], modality: Modality | None) -> bool:
    """Whether samples are drawn so: three to six numbers, plain ones or those of a table's row.

    A column that says where another one is missing has no panels.
    """
    if len(event_shape) != 1 or not (modality is None or isinstance(modality, Table)):
        return False
    columns = event_shape[0] if modality is None else sum(not column.marks for column in modality.columns)
    return event_shape[0] >= LEAST and columns <= MOST


def draw_pairs(samples: Array, table: Table | None = None) -> bytes:
    """A PNG of samples ``[n, d]``: points of every two columns, and below the diagonal's histograms their headings.

    Categories are bars, and points around their places, with their names at the axes; dates are written as such. Cells
    that another column marks as missing have no points. Outliers do not shrink the rest, and are counted.
    """
    shown = _columns(samples, table)
    count = len(shown)
    figure, grid = new_figure(_PANEL * count, _PANEL * count, count, count)
    outside = np.zeros(len(samples), bool)
    for each in shown:
        outside |= (each.values < each.low) | (each.values > each.high)
    places = [_spread(each, i) for i, each in enumerate(shown)]
    for row, column in np.ndindex(count, count):
        axes = grid[row, column]
        if column > row:
            axes.set_axis_off()
            continue
        if column == row:
            _histogram(axes, shown[row])
        else:
            _points(axes, places[column], places[row])
            axes.set_ylim(shown[row].low, shown[row].high)
        axes.set_xlim(shown[column].low, shown[column].high)
        _labels(axes, shown, row, column)
    figure.align_labels()
    if outside.any():
        told = f"{int(outside.sum())} of {len(samples)} outside"
        figure.text(0.99, 0.99, told, ha="right", va="top", fontsize=9, color=INK)
    return saved(figure)


def _columns(samples: Array, table: Table | None) -> list[_Shown]:
    rows = np.asarray(samples, np.float64)
    if table is None:
        return [_shown(Column(f"x{i}"), column) for i, column in enumerate(rows.T)]
    rows = tables.values(rows, table)
    missing = {column.marks: rows[:, i] >= 1.0 for i, column in enumerate(table.columns) if column.marks}
    return [
        _shown(column, np.where(missing.get(column.name, False), np.nan, rows[:, i]))
        for i, column in enumerate(table.columns)
        if not column.marks
    ]


def _shown(column: Column, values: NDArray[np.float64]) -> _Shown:
    if column.values:
        return _Shown(column, values, -0.5, len(column.values) - 0.5)
    present = values[~np.isnan(values)]
    low, high = extent_of(present[:, None] if len(present) else np.zeros((1, 1)))
    return _Shown(column, values, float(low[0]), float(high[0]))


def _spread(shown: _Shown, number: int) -> NDArray[np.float64]:
    """Where points lie along an axis: those of categories around their places, at random but always the same."""
    if not shown.column.values:
        return shown.values
    return shown.values + np.random.default_rng(number).uniform(-_SPREAD, _SPREAD, len(shown.values))


def _points(axes: Any, across: NDArray[np.float64], up: NDArray[np.float64]) -> None:
    n = max(len(across), 1)
    size, alpha = float(np.clip(1500.0 / n, 0.6, 9.0)), float(np.clip(30.0 / np.sqrt(n), 0.2, 0.9))
    axes.scatter(across, up, s=size, c=INK, alpha=alpha, linewidths=0)


def _histogram(axes: Any, shown: _Shown) -> None:
    present = shown.values[~np.isnan(shown.values)]
    if shown.column.values:
        counts = np.bincount(present.astype(np.int64), minlength=len(shown.column.values))
        axes.bar(np.arange(len(counts)), counts, 0.8, color=_BAR)
    else:
        axes.hist(present, bins=_edges(shown), color=_BAR)
    axes.set_yticks([])
    axes.set_ylim(bottom=0)


def _edges(shown: _Shown) -> list[float]:
    """The edges of bars; of rounded numbers each has as many steps, so that none is taller for holding one more."""
    grain = shown.column.grain
    if grain is None or (shown.high - shown.low) / grain > 20 * _BINS:
        return [float(edge) for edge in np.linspace(shown.low, shown.high, _BINS + 1)]
    width = grain * max(1.0, np.ceil((shown.high - shown.low) / grain / _BINS))
    first = grain * (np.floor(shown.low / grain) - 0.5)
    return [float(edge) for edge in np.arange(first, shown.high + width, width)]


def _labels(axes: Any, shown: Sequence[_Shown], row: int, column: int) -> None:
    """Headings and ticks at the left and below, where they stand for a whole row or column of panels."""
    last, first = row == len(shown) - 1, column == 0
    axes.tick_params(labelsize=7, labelbottom=last, labelleft=first and row > 0)
    _ticks(axes.xaxis, shown[column].column, turned=True)
    if row > column:
        _ticks(axes.yaxis, shown[row].column, turned=False)
    if last:
        axes.set_xlabel(_short(shown[column].column.name, _HEADING), fontsize=9)
    if first:
        axes.set_ylabel(_short(shown[row].column.name, _HEADING), fontsize=9)


def _ticks(axis: Any, column: Column, *, turned: bool) -> None:
    """Ticks at categories with their names, and dates as they are written."""
    from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator

    angle = {"rotation": 45, "ha": "right", "rotation_mode": "anchor"} if turned else {}
    if column.values:
        step = -(-len(column.values) // _NAMES)
        places = list(range(0, len(column.values), step))
        axis.set_major_locator(FixedLocator(places))
        axis.set_ticklabels([_short(column.values[i] or "(empty)", _NAME) for i in places], **angle)
    elif column.date:
        axis.set_major_locator(MaxNLocator(3))
        axis.set_major_formatter(FuncFormatter(lambda day, _: formatted(day + column.origin, column.date)))
        for label in axis.get_ticklabels():
            label.set(**angle)
    else:
        axis.set_major_locator(MaxNLocator(4))


def _short(text: str, most: int) -> str:
    """A text that fits beside a panel; a dollar sign would begin a formula."""
    return (text if len(text) <= most else f"{text[: most - 1]}…").replace("$", r"\$")
