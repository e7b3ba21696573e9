"""Our side of the comparison: the target, its denoiser in closed form, and our tables run on it in float64."""

from __future__ import annotations

import inspect
from contextlib import AbstractContextManager
from math import expm1, inf
from typing import Any
from unittest import mock

import numpy as np

from zoo.paths import path_from
from zoo.samplers import BUILTIN, dpm_solver_pp
from zoo.samplers.loop import run_table

#: a mixture of three round normal distributions in the plane
WEIGHTS = np.array([0.3, 0.5, 0.2])
MEANS = np.array([[-1.0, 0.4], [0.6, -0.3], [0.2, 1.1]])
STDS = np.array([0.5, 0.35, 0.6])

_RANDOM = np.random.default_rng(2022)
START = _RANDOM.normal(size=(2, 2))
NOISE = _RANDOM.normal(size=(100, 2, 2))


def mixture(x: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
    """E[x₀ | x_t] of the target."""
    variance = alpha**2 * STDS**2 + sigma**2
    from_mean = x[:, None, :] - alpha * MEANS
    log_weight = np.log(WEIGHTS) - np.log(variance) - 0.5 * (from_mean**2).sum(-1) / variance
    weight = np.exp(log_weight - log_weight.max(1, keepdims=True))
    posterior = MEANS + (alpha * STDS**2 / variance)[:, None] * from_mean
    mean: np.ndarray = ((weight / weight.sum(1, keepdims=True))[..., None] * posterior).sum(1)
    return mean


def trajectory(sampler: str, options: dict[str, Any], path: dict[str, Any], times: np.ndarray) -> list[np.ndarray]:
    """Every state that the network is shown, and the result.

    Args:
        sampler: name of one of ours.
        options: its options.
        path: description of the path.
        times: where on it the steps begin.
    """
    gaussian = path_from(path)
    if "max_gain" in inspect.signature(BUILTIN[sampler]).parameters:
        options = {"max_gain": inf, **options}  # the public implementations lower no order because of a step's gain
    table = BUILTIN[sampler](gaussian, len(times), spacing=list(times), **options)
    states: list[np.ndarray] = []

    def denoise(x: np.ndarray, row: Any) -> np.ndarray:
        states.append(x)
        return mixture(x, row.alpha, row.sigma)

    if sampler == "edm":  # our first state has the first churn in it
        level = float(gaussian.alpha_sigma(times[0])[1])
        start = level * START + np.sqrt(table.initial_scale**2 - level**2) * NOISE[0]
        rows = [0, *np.repeat(np.arange(1, len(times)), 2)]  # the churn of step i + 1 comes after rows 2i and 2i + 1
        result = run_table(table, denoise, start, lambda i: NOISE[rows[i + 1]] if i + 1 < len(rows) else NOISE[0])
    else:
        result = run_table(table, denoise, table.sigma[0] * START, lambda i: NOISE[i])
    return [*states, result]


def halved() -> AbstractContextManager[Any]:
    """Our DPM-Solver++ of order 3 with half its third-order term, as the public implementations have it."""
    whole = dpm_solver_pp._higher_terms

    def half(d: Any, history: Any, here: Any, there: Any) -> Any:
        if len(history) < 2:
            return whole(d, history, here, there)
        (p1, d1), (p2, d2) = history
        h = here.log_noise - there.log_noise
        r0, r1 = (p1.log_noise - here.log_noise) / h, (p2.log_noise - p1.log_noise) / h
        curve = ((d - d1) / r0 - (d1 - d2) / r1) / (r0 + r1)
        phi_2 = expm1(-h) / h + 1.0
        return whole(d, history, here, there) - 0.5 * there.alpha * (1.0 - 2.0 * phi_2 / h) * curve

    return mock.patch.object(dpm_solver_pp, "_higher_terms", half)


def difference(a: list[np.ndarray], b: list[np.ndarray]) -> float:
    """Largest difference over the trajectory, relative to the largest value of the state it is in."""
    if len(a) != len(b):
        return float("inf")
    return max(float(np.abs(x - y).max() / np.abs(y).max()) for x, y in zip(a, b, strict=True))
