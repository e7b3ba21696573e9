"""Simulators of the benchmark of simulation-based inference (Lueckmann et al. 2021, arXiv:2101.04653), in NumPy.

An event holds parameters, drawn from their prior, and its condition is what a simulator observed given them: a model of
such data is an amortised posterior, for any observation. ``train`` and ``validation`` together are the budget of
simulations, as the benchmark counts them; the test split, for measuring alone, is beyond it.

The benchmark's package ``sbibm`` has ten observations of each task with samples of their posteriors, which
:mod:`zoo_data.reference` compares with those of a model.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from dataclasses import replace

import numpy as np

from zoo.arrays import Float64Array
from zoo.data import Dataset, Split
from zoo.errors import ConfigError
from zoo.modality import Column, Table

#: (generator, parameters [n, d]) -> observations [n, k]
Simulator = Callable[[np.random.Generator, Float64Array], Float64Array]

TRAIN, VALIDATION, TEST = 90_000, 10_000, 10_000
#: added to the variances of SLCP, as in the benchmark
_JITTER = 1e-6


def two_moons(*, train: int = TRAIN, validation: int = VALIDATION, test: int = TEST, seed: int = 0) -> Dataset:
    """Two parameters whose posterior is two crescents: the task T.8 of the benchmark.

    Parameters ``[n, 2]`` are uniform in [-1, 1], and so is their table's range; observations ``[n, 2]``.
    """
    return _dataset("two-moons", simulate_two_moons, 2, 1.0, (train, validation, test), seed)


def slcp(
    *, train: int = TRAIN, validation: int = VALIDATION, test: int = TEST, seed: int = 0, orders: int = 1
) -> Dataset:
    """Simple likelihood, complex posterior, with four modes (Papamakarios et al. 2019): the task T.3 of the benchmark.

    Parameters ``[n, 5]`` are uniform in [-3, 3]; the condition has one part, ``points`` ``[n, 4, 2]``.

    Args:
        train: simulations to train on.
        validation: simulations to validate on.
        test: simulations to measure on.
        seed: of all of them.
        orders: in how many orders of its points, out of 24, training sees each simulation. Points are independent given
            the parameters, so a simulation is as good in any order; the number of simulations stays what it is.

    Raises:
        ConfigError: a size, seed or number of orders out of range.
    """
    if not 1 <= orders <= 24:
        raise ConfigError(f"four points have 1 to 24 orders, not {orders}")
    data = _dataset("slcp", simulate_slcp, 5, 3.0, (train, validation, test), seed)

    def of_points(split: Split, chosen: list[tuple[int, ...]]) -> Split:
        observed = np.asarray(split.condition).reshape(-1, 4, 2)
        points = np.concatenate([observed[:, order] for order in chosen])
        return Split(np.tile(split.x, (len(chosen), 1)), {"points": points})

    every = list(itertools.permutations(range(4)))
    return replace(
        data,
        train=of_points(data.train, every[:: 24 // orders][:orders]),
        validation=of_points(data.validation, every[:1]),
        test=of_points(data.test, every[:1]),
    )


def simulate_two_moons(rng: np.random.Generator, parameters: Float64Array) -> Float64Array:
    """A point of a crescent, moved by the parameters.

    x = (r·cos a + 1/4, r·sin a) + (-|θ₁ + θ₂|, θ₂ - θ₁)/√2, with a from U(-π/2, π/2) and r from N(0.1, 0.01²).

    Args:
        rng: of the angles and radii.
        parameters: ``[n, 2]``.

    Returns:
        ``[n, 2]``.
    """
    n = len(parameters)
    angle = rng.uniform(-0.5 * math.pi, 0.5 * math.pi, n)
    radius = rng.normal(0.1, 0.01, n)
    crescent = np.stack([radius * np.cos(angle) + 0.25, radius * np.sin(angle)], 1)
    first, second = parameters[:, 0], parameters[:, 1]
    moved = np.stack([-np.abs(first + second), second - first], 1) / math.sqrt(2.0)
    return np.asarray(crescent + moved)


def simulate_slcp(rng: np.random.Generator, parameters: Float64Array) -> Float64Array:
    """Four points of a normal distribution in the plane.

    Its mean is (θ₁, θ₂), its deviations are s₁ = θ₃² and s₂ = θ₄², and its correlation is tanh θ₅; 10⁻⁶ is added to
    both variances.

    Args:
        rng: of the points.
        parameters: ``[n, 5]``.

    Returns:
        ``[n, 8]``: the points one after the other.
    """
    first, second = parameters[:, 2] ** 2, parameters[:, 3] ** 2
    # the Cholesky factor of the covariance
    upper = np.sqrt(first**2 + _JITTER)
    across = np.tanh(parameters[:, 4]) * first * second / upper
    lower = np.sqrt(second**2 + _JITTER - across**2)
    z = rng.standard_normal((len(parameters), 4, 2))
    x = parameters[:, None, 0] + upper[:, None] * z[..., 0]
    y = parameters[:, None, 1] + across[:, None] * z[..., 0] + lower[:, None] * z[..., 1]
    return np.stack([x, y], -1).reshape(len(parameters), 8)


def _dataset(
    name: str, simulate: Simulator, parameters: int, bound: float, sizes: tuple[int, int, int], seed: int
) -> Dataset:
    """Parameters from U(-bound, bound), and what is observed given them."""
    if min(sizes) < 1 or seed < 0:
        raise ConfigError(f"splits need 1 sample or more and a seed of 0 or more, not {sizes} and {seed}")

    def drawn(split: int, n: int) -> Split:
        # a generator for each split: more simulations to train on leave the test split as it is
        rng = np.random.default_rng([seed, split])
        x = rng.uniform(-bound, bound, (n, parameters))
        return Split(x.astype(np.float32), simulate(rng, x).astype(np.float32))

    train, validation, test = (drawn(split, n) for split, n in enumerate(sizes))
    columns = tuple(Column(f"parameter_{i + 1}", minimum=-bound, maximum=bound) for i in range(parameters))
    return Dataset(name, train, validation, test, modality=Table(columns))
