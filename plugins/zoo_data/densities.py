"""Densities in the plane, drawn by NumPy, most with an entropy that is known: the yardstick of density models.

All take the same first options: how many samples each split has, and the seed they are drawn with. Classes say which
moon, arm, circle or Gaussian a sample came from.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Float64Array
from zoo.data import Dataset, Split
from zoo.errors import ConfigError
from zoo_data.mixtures import IsotropicMixture

#: (generator, how many) -> x [n, 2], class [n]
Draw = Callable[[np.random.Generator, int], tuple[Float64Array, NDArray[np.int64]]]

TRAIN, VALIDATION, TEST = 100_000, 10_000, 20_000
#: below this the entropy is not computed: the grid that resolves the noise gets too large
_SHARPEST = 0.02


def moons(
    *, train: int = TRAIN, validation: int = VALIDATION, test: int = TEST, seed: int = 0, noise: float = 0.05
) -> Dataset:
    """Two interleaved half circles of radius 1, blurred by a Gaussian of standard deviation ``noise``."""

    def centers(t: Float64Array, which: NDArray[np.int64]) -> Float64Array:
        upper = np.stack([np.cos(t), np.sin(t)], -1)
        lower = np.stack([1.0 - np.cos(t), 0.5 - np.sin(t)], -1)
        return np.where(which[:, None] == 0, upper, lower)

    return _blurred_curves("moons", centers, math.pi, (train, validation, test), seed, noise)


def circles(
    *,
    train: int = TRAIN,
    validation: int = VALIDATION,
    test: int = TEST,
    seed: int = 0,
    noise: float = 0.05,
    factor: float = 0.5,
) -> Dataset:
    """Circles of radius 1 and ``factor``, blurred by a Gaussian of standard deviation ``noise``."""
    if not 0 < factor < 1:
        raise ConfigError(f"factor, the radius of the inner circle, must be between 0 and 1, not {factor!r}")

    def centers(t: Float64Array, which: NDArray[np.int64]) -> Float64Array:
        return np.stack([np.cos(t), np.sin(t)], -1) * np.where(which == 0, 1.0, factor)[:, None]

    return _blurred_curves("circles", centers, 2 * math.pi, (train, validation, test), seed, noise)


def eight_gaussians(
    *,
    train: int = TRAIN,
    validation: int = VALIDATION,
    test: int = TEST,
    seed: int = 0,
    radius: float = 4 / math.sqrt(2),
    noise: float = 0.5 / math.sqrt(2),
) -> Dataset:
    """Eight Gaussians of standard deviation ``noise`` on a circle, in the scale of Grathwohl et al. 2019 (FFJORD)."""
    _check_noise(noise)
    angles = np.arange(8) * math.pi / 4
    places = radius * np.stack([np.cos(angles), np.sin(angles)], -1)

    def draw(rng: np.random.Generator, n: int) -> tuple[Float64Array, NDArray[np.int64]]:
        which = rng.integers(8, size=n)
        return places[which] + noise * rng.standard_normal((n, 2)), which

    entropy = IsotropicMixture(places, np.full(8, 1 / 8), noise).entropy() if noise >= _SHARPEST else None
    return _dataset("eight-gaussians", draw, (train, validation, test), seed, entropy)


def checkerboard(*, train: int = TRAIN, validation: int = VALIDATION, test: int = TEST, seed: int = 0) -> Dataset:
    """Uniform on the dark squares, of side 2, of a 4×4 board over [-4, 4]²: an area of 32. A class a square."""

    def draw(rng: np.random.Generator, n: int) -> tuple[Float64Array, NDArray[np.int64]]:
        square = rng.integers(8, size=n)
        column, half = square // 2, square % 2
        corner = np.stack([column, 2 * half + column % 2], -1)
        return 2.0 * (corner + rng.random((n, 2))) - 4.0, square

    return _dataset("checkerboard", draw, (train, validation, test), seed, math.log(32.0))


def pinwheel(
    *,
    train: int = TRAIN,
    validation: int = VALIDATION,
    test: int = TEST,
    seed: int = 0,
    arms: int = 5,
    radial: float = 0.3,
    tangential: float = 0.1,
    twist: float = 0.25,
) -> Dataset:
    """Gaussian arms, each point turned by ``twist``·exp(its place along the arm) (Johnson et al. 2016, section 1)."""
    if arms < 1 or not (radial > 0 and tangential > 0):
        raise ConfigError(
            f"a pinwheel needs 1 arm or more, and sizes above 0, not {arms}, {radial!r} and {tangential!r}"
        )

    def draw(rng: np.random.Generator, n: int) -> tuple[Float64Array, NDArray[np.int64]]:
        which = rng.integers(arms, size=n)
        along = 1.0 + radial * rng.standard_normal(n)
        across = tangential * rng.standard_normal(n)
        angle = 2 * math.pi * which / arms + twist * np.exp(along)
        x = along * np.cos(angle) - across * np.sin(angle)
        y = along * np.sin(angle) + across * np.cos(angle)
        return 2.0 * np.stack([x, y], -1), which

    return _dataset("pinwheel", draw, (train, validation, test), seed, None)


def _blurred_curves(
    name: str,
    centers: Callable[[Float64Array, NDArray[np.int64]], Float64Array],
    length: float,
    sizes: tuple[int, int, int],
    seed: int,
    noise: float,
) -> Dataset:
    """Two curves, parametrised evenly over [0, length], each taken by half of the samples."""
    _check_noise(noise)

    def draw(rng: np.random.Generator, n: int) -> tuple[Float64Array, NDArray[np.int64]]:
        which = rng.integers(2, size=n)
        return centers(length * rng.random(n), which) + noise * rng.standard_normal((n, 2)), which

    entropy = None
    if noise >= _SHARPEST:
        # the line integral over each curve by Gauss-Legendre quadrature, its nodes less than half a noise apart
        t, weights = np.polynomial.legendre.leggauss(max(64, math.ceil(2.0 * length / noise)))
        t, weights = np.tile(0.5 * length * (t + 1.0), 2), np.tile(weights / 4.0, 2)
        places = centers(t, np.repeat([0, 1], len(t) // 2))
        entropy = IsotropicMixture(places, weights, noise).entropy()
    return _dataset(name, draw, sizes, seed, entropy)


def _dataset(name: str, draw: Draw, sizes: tuple[int, int, int], seed: int, entropy: float | None) -> Dataset:
    if min(sizes) < 1 or seed < 0:
        raise ConfigError(f"splits need 1 sample or more and a seed of 0 or more, not {sizes} and {seed}")
    # a generator for each split: asking for more training samples leaves the test split as it is
    drawn = (draw(np.random.default_rng([seed, i]), n) for i, n in enumerate(sizes))
    train, validation, test = (Split(x.astype(np.float32), which.astype(np.int32)) for x, which in drawn)
    return Dataset(name, train, validation, test, entropy=entropy)


def _check_noise(noise: float) -> None:
    if not (noise > 0 and math.isfinite(noise)):
        raise ConfigError(f"noise must be a standard deviation above 0, not {noise!r}")
