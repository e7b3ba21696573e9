"""Every sampler at its own defaults, in few steps, around an exact denoiser, beside Euler's method on the same grid.

The target is a mixture of normal distributions in the plane whose values are about 4. ``sampler_orders.py`` writes the
table of docs/samplers.md from it, and tests/core/test_sampler_sweep.py holds every sampler to :data:`FACTOR`.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

from zoo.paths import PATHS, GaussianPath
from zoo.samplers import GAUSSIAN, SPACINGS, Grid
from zoo.samplers.consistency import CONSISTENCY
from zoo.samplers.loop import run_table
from zoo.samplers.plugin import zoo_samplers

STEPS = (5, 7, 10, 20, 50)
#: how many times as far as Euler's method a sampler may be from where it should be
FACTOR = 2.0
#: and how far without regard to Euler's: where that is exact, and for energy distances of so few samples
FLOOR, ENERGY_FLOOR = 0.1, 0.3
#: the largest number that a sample may have
LARGEST = 8.0
WEIGHTS = np.array([0.3, 0.5, 0.2])
MEANS = 3.0 * np.array([[-1.0, 0.4], [0.6, -0.3], [0.2, 1.1]])
STDS = np.array([0.5, 0.35, 0.6])
_RANDOM = np.random.default_rng(0)
START = _RANDOM.normal(size=(60, 2))
_PART = _RANDOM.choice(3, 200, p=WEIGHTS)
TARGET = MEANS[_PART] + STDS[_PART, None] * _RANDOM.normal(size=(200, 2))

STOCHASTIC = {sampler.name for sampler in zoo_samplers() if sampler.stochastic}
#: samplers of an ODE or SDE. Those of consistency models take D for a jump to data, which that of a diffusion is not.
HELD = tuple(name for name in GAUSSIAN if name not in CONSISTENCY)


class Deviation(NamedTuple):
    """What a sampler made: the root mean square distance from the ODE's solution, or the energy distance from the
    target where the sampler adds noise; the same of Euler's method; and the largest |x|.
    """

    error: float
    euler: float
    largest: float


def paths() -> list[GaussianPath]:
    """Every Gaussian path with its defaults."""
    return [path_class() for path_class in PATHS.values()]


def spacings(path: GaussianPath) -> dict[str, Any]:
    """Every spacing by name, with the bound that it needs on a path that ends in pure noise."""
    return {
        name: {"name": name, "noise_max": 80.0}
        if path.zero_terminal_snr and name in ("karras", "exponential", "uniform-lambda")
        else name
        for name in SPACINGS
    }


def sweep(
    path: GaussianPath, samplers: Sequence[str] = HELD, steps: Sequence[int] = STEPS, **options: Any
) -> Iterator[tuple[str, str, int, Deviation]]:
    """(sampler, spacing, steps, deviation) for all of them on a path; ``options`` go to those that take them."""
    solved: dict[float, np.ndarray] = {}
    for spacing, asked in spacings(path).items():
        for count in steps:
            point = Grid(path, count, asked).points[0]
            level = min(point.log_noise, 11.0)
            if level not in solved:
                solved[level] = solution(level)
            euler = _run("euler", path, count, asked, point.sigma)
            by_energy, by_distance = energy_distance(euler), distance(euler, solved[level])
            for name in samplers:
                x = _run(name, path, count, asked, point.sigma, **options)
                if name in STOCHASTIC:
                    errors = energy_distance(x), by_energy
                else:
                    errors = distance(x, solved[level]), by_distance
                yield name, spacing, count, Deviation(*errors, float(np.abs(x).max()))


def fails(sampler: str, deviation: Deviation) -> bool:
    """Whether that is worse than is allowed."""
    floor = ENERGY_FLOOR if sampler in STOCHASTIC else FLOOR
    return not (deviation.error <= FACTOR * deviation.euler + floor and deviation.largest <= LARGEST)


def _run(name: str, path: GaussianPath, steps: int, spacing: Any, sigma: float, **options: Any) -> np.ndarray:
    noise = np.random.default_rng(1).normal(size=(4 * steps + 8, *START.shape))
    table = GAUSSIAN[name](path, steps, spacing=spacing, **options)
    scale = table.initial_scale if name in STOCHASTIC else sigma
    return run_table(table, lambda x, row: mixture(x, row.alpha, row.sigma), scale * START, lambda row: noise[row])


def mixture(x: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
    """E[x₀ | x_t] of the target."""
    variance = alpha**2 * STDS**2 + sigma**2
    from_mean = x[:, None, :] - alpha * MEANS
    log_weight = np.log(WEIGHTS) - np.log(variance) - 0.5 * (from_mean**2).sum(-1) / variance
    weight = np.exp(log_weight - log_weight.max(1, keepdims=True))
    posterior = MEANS + (alpha * STDS**2 / variance)[:, None] * from_mean
    mean: np.ndarray = ((weight / weight.sum(1, keepdims=True))[..., None] * posterior).sum(1)
    return mean


def solution(log_noise: float, steps: int = 120) -> np.ndarray:
    """Data that the probability-flow ODE makes of ``START`` at a noise level: Runge-Kutta of order 4 down to 0.001."""
    h, y = (np.log(1e-3) - log_noise) / steps, np.exp(log_noise) * START

    def slope(s: float, y: np.ndarray) -> np.ndarray:
        return y - mixture(y, 1.0, float(np.exp(s)))

    for s in log_noise + h * np.arange(steps):
        k1 = slope(s, y)
        k2 = slope(s + h / 2, y + h / 2 * k1)
        k3 = slope(s + h / 2, y + h / 2 * k2)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(s + h, y + h * k3))
    return y


def distance(x: np.ndarray, y: np.ndarray) -> float:
    """Root mean square distance of samples from where each should be."""
    return float(np.sqrt(((x - y) ** 2).sum(1).mean()))


def energy_distance(x: np.ndarray) -> float:
    """√(2·E|x - y| - E|x - x'| - E|y - y'|), y of the target (Székely & Rizzo 2013)."""

    def mean(a: np.ndarray, b: np.ndarray) -> float:
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2.0 * a @ b.T
        return float(np.sqrt(np.maximum(squares, 0.0)).mean())

    return float(np.sqrt(max(0.0, 2.0 * mean(x, TARGET) - mean(x, x) - mean(TARGET, TARGET))))
