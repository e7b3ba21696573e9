"""A picture of a table: a small histogram of every column."""

from __future__ import annotations

import io
import math
from collections.abc import Sequence

import numpy as np

from zoo.reading.columns import Described, written
from zoo.reading.content import Cells, Rows

_ACROSS, _MOST, _BARS = 4, 48, 12


def histograms(rows: Rows, columns: Sequence[Described]) -> bytes:
    """A PNG with a histogram of each column, the missing cells in its title; at most 48 columns.

    Args:
        rows: the table.
        columns: its columns, as they were recognised.
    """
    from matplotlib.figure import Figure

    shown = list(columns[:_MOST])
    across = min(_ACROSS, len(shown))
    down = math.ceil(len(shown) / across)
    figure = Figure(figsize=(3.0 * across, 2.2 * down), layout="constrained")
    axes = np.atleast_1d(figure.subplots(down, across, squeeze=False)).ravel()
    for axis, column in zip(axes, shown, strict=False):
        _draw(axis, rows.columns[column.name], column)
    for axis in axes[len(shown) :]:
        axis.set_axis_off()
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=100)
    return buffer.getvalue()


def _draw(axis: object, cells: Cells, column: Described) -> None:
    from matplotlib.axes import Axes

    assert isinstance(axis, Axes)
    missing = f", {column.missing:,} missing" if column.missing else ""
    name = column.name if len(column.name) <= 24 else f"{column.name[:23]}…"
    axis.set_title(f"{name.replace('$', chr(92) + '$')}\n{column.kind}{missing}", fontsize=8)
    axis.tick_params(labelsize=6)
    axis.set_yticks([])
    present = cells.present
    if column.values:
        texts, counts = np.unique(np.array(written(present, cells)), return_counts=True)
        order = np.argsort(-counts)[:_BARS]
        axis.bar(range(len(order)), counts[order], color="#1f77b4")
        labels = [str(t)[:10].replace("$", "\\$") for t in texts[order]]
        axis.set_xticks(range(len(order)), labels, rotation=45, ha="right")
    elif column.used and len(present):
        numbers = present.astype(np.float64)
        axis.hist(numbers, bins=30, color="#1f77b4")
        if cells.date:
            ends = numbers.min(), numbers.max()
            axis.set_xticks(ends, written(np.array(ends), cells))
    else:
        axis.text(0.5, 0.5, "left out", ha="center", va="center", fontsize=8, transform=axis.transAxes)
