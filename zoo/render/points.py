"""Samples in one or two dimensions, over the density of the model that drew them."""

from __future__ import annotations

import io
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array

if TYPE_CHECKING:
    from matplotlib.figure import Figure

Density = Callable[[NDArray[np.float32]], NDArray[np.float64]]
Drawn = TypeVar("Drawn")

_DPI = 150
#: resolutions of the density along the longer side: the first is always computed, a finer one if there is time
_PIXELS = (30, 60, 120, 240)
_CURVE = (75, 150, 300, 600)
_MARGIN = 0.08  # of the samples' extent, on each side
_INK = "#1f2933"
_LINE = "#d1495b"


def draw_scatter(samples: Array, density: Density | None = None, seconds: float | None = None) -> bytes:
    """A PNG of points ``[n, 2]`` at equal aspect, over the density if there is one.

    Args:
        samples: ``[n, 2]``.
        density: log-density of points ``[m, 2]``.
        seconds: time limit for it, which determines its resolution; None for the finest.
    """
    figure, axes = _figure(6.0, 6.0)
    low, high = _extent(samples)
    if density is not None:
        p, box = _finest(lambda pixels: density_on_grid(density, low, high, pixels), _PIXELS, 2, seconds)
        # the square root shows the tails that a linear scale hides, without the flatness of a logarithm
        axes.imshow(np.sqrt(p), origin="lower", extent=box, cmap=_colours(), interpolation="bilinear", aspect="equal")
    colour = _INK if density is None else "#fffdf5"
    size = float(np.clip(6000.0 / max(len(samples), 1), 0.8, 14.0))
    alpha = float(np.clip(60.0 / np.sqrt(max(len(samples), 1)), 0.25, 0.9))
    axes.scatter(samples[:, 0], samples[:, 1], s=size, c=colour, alpha=alpha, linewidths=0)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    for side in axes.spines.values():
        side.set_visible(False)
    return _save(figure)


def draw_histogram(samples: Array, density: Density | None = None, seconds: float | None = None) -> bytes:
    """A PNG of the histogram of numbers ``[n]`` or ``[n, 1]``, the density as a curve; see :func:`draw_scatter`."""
    figure, axes = _figure(6.4, 4.0)
    values = samples.reshape(-1)
    low, high = _extent(values[:, None])
    # Freedman & Diaconis 1981: 2·IQR/n^(1/3)
    axes.hist(
        values, bins=np.histogram_bin_edges(values, "fd" if len(values) > 1 else 1), density=True, color="#9fb8cc"
    )
    if density is not None:

        def curve(points: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
            grid = np.linspace(low[0], high[0], points, dtype=np.float32)
            return grid, _exp(density(grid.reshape(-1, *samples.shape[1:])))

        axes.plot(*_finest(curve, _CURVE, 1, seconds), color=_LINE, linewidth=1.8)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("density")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return _save(figure)


def _finest(drawn: Callable[[int], Drawn], sizes: tuple[int, ...], dimensions: int, seconds: float | None) -> Drawn:
    """The result of ``drawn`` for the largest size that fits the time, or else for the smallest.

    The time of the smallest predicts that of the others, which grows with the size to the power of ``dimensions``.
    """
    if seconds is None:
        return drawn(sizes[-1])
    begin = time.perf_counter()
    coarse = drawn(sizes[0])
    taken = time.perf_counter() - begin
    fitting = [size for size in sizes[1:] if taken * (size / sizes[0]) ** dimensions <= seconds - taken]
    return drawn(fitting[-1]) if fitting else coarse


def density_on_grid(
    density: Density, low: NDArray[np.float64], high: NDArray[np.float64], pixels: int = _PIXELS[-1]
) -> tuple[NDArray[np.float64], tuple[float, float, float, float]]:
    """The density at the centres of square pixels, ``pixels`` along the longer side.

    Returns:
        ``[rows, columns]`` with the first row lowest, and (left, right, bottom, top) of the pixels' outer edges.
    """
    extent = high - low
    pixel = extent.max() / pixels
    columns, rows = (max(1, int(np.ceil(size / pixel))) for size in extent)
    x = low[0] + pixel * (np.arange(columns) + 0.5)
    y = low[1] + pixel * (np.arange(rows) + 0.5)
    points = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2).astype(np.float32)
    box = (float(low[0]), float(low[0] + pixel * columns), float(low[1]), float(low[1] + pixel * rows))
    return _exp(density(points)).reshape(rows, columns), box


def _colours() -> Any:
    """The colour map magma up to its orange, so that pale points stand out where the density is highest."""
    from matplotlib import colormaps
    from matplotlib.colors import ListedColormap

    return ListedColormap(colormaps["magma"](np.linspace(0.0, 0.76, 256)))


def _exp(log_density: NDArray[np.float64]) -> NDArray[np.float64]:
    return np.asarray(np.exp(np.asarray(log_density, np.float64).clip(max=700.0)))


def _extent(points: Array) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Corners of the box around ``[n, d]`` points, with a margin; never empty."""
    low, high = points.min(0).astype(np.float64), points.max(0).astype(np.float64)
    size = high - low
    margin = _MARGIN * np.where(size > 0, size, max(float(size.max()), 1.0))
    return low - margin, high + margin


def _figure(width: float, height: float) -> tuple[Figure, Any]:
    # Figure and its own canvas: no pyplot, which keeps global state and may want a display
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), dpi=_DPI, layout="constrained", facecolor="white")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.tick_params(colors=_INK, labelsize=9, length=3, width=0.8)
    axes.yaxis.label.set_color(_INK)
    axes.locator_params(nbins=5)
    for side in axes.spines.values():
        side.set_color(_INK)
    return figure, axes


def _save(figure: Figure) -> bytes:
    buffer = io.BytesIO()
    figure.savefig(buffer, format="png", dpi=_DPI, bbox_inches="tight", pad_inches=0.12)
    return buffer.getvalue()
