"""Samples in one or two dimensions, over the density of the model that drew them."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.render.figures import INK, extent_of, new_figure, saved, tell_outside

Density = Callable[[NDArray[np.float32]], NDArray[np.float64]]
Drawn = TypeVar("Drawn")

#: resolutions of the density along the longer side: the first is always computed, a finer one if there is time
_PIXELS = (30, 60, 120, 240)
_CURVE = (75, 150, 300, 600)
#: a density is cut off where its edge has more than this share of its peak, and looked at on so many pixels
_CUT, _LOOKS, _COARSE = 0.02, 8, 16
_FEW = 500  # samples that may not show how far a density reaches
_LINE = "#d1495b"


def draw_scatter(
    samples: Array, density: Density | None = None, seconds: float | None = None, names: Sequence[str] = ()
) -> bytes:
    """A PNG of points ``[n, 2]`` at equal aspect, over the density if there is one.

    Args:
        samples: ``[n, 2]``.
        density: log-density of points ``[m, 2]``.
        seconds: time limit for it, which determines its resolution; None for the finest.
        names: of the two numbers, beside the axes; or none.
    """
    figure, ((axes,),) = new_figure(6.0, 6.0)
    low, high = extent_of(samples)
    if density is not None:
        low, high = _whole(density, low, high, len(samples), seconds)
        p, box = _finest(lambda pixels: density_on_grid(density, low, high, pixels), _PIXELS, 2, seconds)
        # the square root shows the tails that a linear scale hides, without the flatness of a logarithm
        axes.imshow(np.sqrt(p), origin="lower", extent=box, cmap=_colours(), interpolation="bilinear", aspect="equal")
    colour = INK if density is None else "#fffdf5"
    size = float(np.clip(6000.0 / max(len(samples), 1), 0.8, 14.0))
    alpha = float(np.clip(60.0 / np.sqrt(max(len(samples), 1)), 0.25, 0.9))
    axes.scatter(samples[:, 0], samples[:, 1], s=size, c=colour, alpha=alpha, linewidths=0)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(low[1], high[1])
    axes.set_aspect("equal")
    tell_outside(axes, samples, low, high)
    if names:
        axes.set_xlabel(names[0])
        axes.set_ylabel(names[1])
    for side in axes.spines.values():
        side.set_visible(False)
    return saved(figure)


def draw_histogram(samples: Array, density: Density | None = None, seconds: float | None = None) -> bytes:
    """A PNG of the histogram of numbers ``[n]`` or ``[n, 1]``, the density as a curve; see :func:`draw_scatter`."""
    figure, ((axes,),) = new_figure(6.4, 4.0)
    values = samples.reshape(-1)
    low, high = extent_of(values[:, None])
    shown = values[(values >= low[0]) & (values <= high[0])]
    # Freedman & Diaconis 1981: 2·IQR/n^(1/3)
    edges = np.histogram_bin_edges(shown, "fd" if len(shown) > 1 else 1)
    shares = np.full(len(shown), 1.0 / (len(values) * (edges[1] - edges[0])))
    axes.hist(shown, bins=edges, weights=shares, color="#9fb8cc")
    tell_outside(axes, values[:, None], low, high)
    if density is not None:

        def of_numbers(x: NDArray[np.float32]) -> NDArray[np.float64]:
            return density(x.reshape(-1, *samples.shape[1:]))

        low, high = _whole(of_numbers, low, high, len(values), seconds)

        def curve(points: int) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
            grid = np.linspace(low[0], high[0], points, dtype=np.float32)
            return grid, _exp(density(grid.reshape(-1, *samples.shape[1:])))

        axes.plot(*_finest(curve, _CURVE, 1, seconds), color=_LINE, linewidth=1.8)
    axes.set_xlim(low[0], high[0])
    axes.set_ylim(bottom=0)
    axes.set_ylabel("density")
    for side in ("top", "right"):
        axes.spines[side].set_visible(False)
    return saved(figure)


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


def _whole(
    density: Density, low: NDArray[np.float64], high: NDArray[np.float64], n: int, seconds: float | None
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """The box of a few samples, enlarged until the density has fallen at its edges, or half of the time is up."""
    begin = time.perf_counter()
    for _ in range(_LOOKS if n < _FEW else 0):
        sides = [a + (b - a) * (np.arange(_COARSE) + 0.5) / _COARSE for a, b in zip(low, high, strict=True)]
        grid = np.stack(np.meshgrid(*sides, indexing="ij"), axis=-1)
        p = _exp(density(grid.reshape(-1, len(low)).astype(np.float32))).reshape(grid.shape[:-1])
        rest = [tuple(set(range(p.ndim)) - {axis}) for axis in range(p.ndim)]
        cut = _CUT * p.max()
        lower = np.array([p.max(axis=others)[0] > cut for others in rest])
        upper = np.array([p.max(axis=others)[-1] > cut for others in rest])
        if not (lower.any() or upper.any()):
            break
        step = 0.5 * (high - low)
        low, high = low - step * lower, high + step * upper
        if seconds is not None and time.perf_counter() - begin > seconds / 2:
            break
    return low, high
