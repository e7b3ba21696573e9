"""Figures of samples: made without pyplot, with limits that outliers do not move."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

INK = "#1f2933"
_DPI = 150
_MARGIN = 0.08  # of the samples' extent, on each side
#: points in that share at either end do not widen a picture by more than half of what the others take
_OUTLYING, _LEAST = 0.005, 20


def new_figure(width: float, height: float, rows: int = 1, columns: int = 1, **options: Any) -> tuple[Figure, Any]:
    """A figure of so many inches, and its axes ``[rows, columns]``; ``options`` are those of ``Figure.subplots``."""
    # Figure and its own canvas: no pyplot, which keeps global state and may want a display
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    grid = figure.subplots(rows, columns, squeeze=False, **options)
    for axes in grid.flat:
        axes.tick_params(colors=INK, labelsize=9, length=3, width=0.8)
        axes.xaxis.label.set_color(INK)
        axes.yaxis.label.set_color(INK)
        axes.locator_params(nbins=5)
        for side in axes.spines.values():
            side.set_color(INK)
    return figure, grid


def saved(figure: Figure) -> bytes:
    """The figure as a PNG."""
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight", pad_inches=0.12)
    return buffer.getvalue()


def extent_of(points: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of the box around ``[n, d]`` points, with a margin; never empty.

    Outliers, at most 0.5% of the points at either end, do not shrink the rest: the box ends half the extent of the
    others beyond them.
    """
    ordered = np.sort(points.astype(np.float64), axis=0)
    low, high = ordered[0], ordered[-1]
    if len(points) >= _LEAST:
        out = int(np.ceil(_OUTLYING * len(points)))
        inner_low, inner_high = ordered[out], ordered[-1 - out]
        reach = 0.5 * (inner_high - inner_low)
        low = np.where(reach > 0, np.maximum(low, inner_low - reach), low)
        high = np.where(reach > 0, np.minimum(high, inner_high + reach), high)
    size = high - low
    margin = _MARGIN * np.where(size > 0, size, max(float(size.max()), 1.0))
    return low - margin, high + margin


def tell_outside(axes: Any, points: Array, low: NDArray[np.float64], high: NDArray[np.float64]) -> None:
    """Say how many points a picture does not show."""
    outside = int(((points < low) | (points > high)).any(axis=1).sum())
    if outside:
        axes.set_title(f"{outside} of {len(points)} outside", fontsize=9, color=INK, loc="right")
