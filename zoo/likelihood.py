"""Log-density of a diffusion by its probability-flow ODE, in NumPy around any evaluator of the denoiser.

In y = x/α and the log noise level s = ln(σ/α), the probability-flow ODE of every Gaussian path is the same
(Karras et al. 2022, eq. 1), and so is the change of log-density along it (Chen et al. 2018, eq. 8; Song et al. 2021,
eq. 39)::

    dy/ds        = y - D(x, t)
    d log p(y)/ds = -(d - α·tr ∂D/∂x)            d = number of dimensions

It is integrated from the data, taken to lie at the path's smallest noise level, to the largest, where x is normal with
variance σ² plus α² times that of data of unit scale. A path that ends in pure noise, where σ/α is infinite, is left at
the noise level e¹⁰, at which one part in 10⁹ of the variance is data. The trace is Hutchinson's estimate
probeᵀ·J·probe with one Rademacher probe per sample held fixed along the path (Grathwohl et al. 2019, section 3.1).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo import noise
from zoo.errors import UsageError
from zoo.paths import Path

Array = NDArray[np.float64]
#: (state float32 [n, *event], time, α, σ, probe float32) -> (D [n, *event], probeᵀ·∂D/∂x·probe [n])
Evaluator = Callable[[NDArray[np.float32], float, float, float, NDArray[np.float32]], tuple[Any, Any]]

#: where a path of infinite noise level is left
LOG_NOISE_MAX = 10.0


def hutchinson_log_prob(
    evaluate: Evaluator,
    state: Array,
    path: Path,
    *,
    seed: int = 0,
    steps: int = 32,
    probes: int = 1,
    first: int = 0,
    progress: Callable[[int, int], None] | None = None,
) -> Array:
    """Log-density of states, by the classical Runge-Kutta method of order 4 on an even grid of log noise levels.

    Args:
        evaluate: the denoiser and its trace estimate.
        state: float64 ``[n, *event]``.
        path: the Gaussian path.
        seed: key of the probes, which are drawn on :attr:`zoo.noise.Stream.PROBE`.
        steps: number of Runge-Kutta steps, four evaluations each.
        probes: estimates averaged for each sample.
        first: index of the first sample.
        progress: called with (steps done, steps in all).

    Returns:
        float64 ``[n]``, nats per state.

    Raises:
        UsageError: ``steps`` or ``probes`` below 1.
    """
    if steps < 1 or probes < 1:
        raise UsageError(f"steps and probes must be 1 or more, not {steps} and {probes}")
    n, event = len(state), state.shape[1:]
    dims = math.prod(event)
    start, end = (min(-0.5 * float(path.log_snr(t)), LOG_NOISE_MAX) for t in (path.t_min, 1.0))
    total = np.zeros(n)
    for p in range(probes):
        probe = noise.rademacher(seed, n, event, first=first, step=p)

        def slope(s: float, y: Array, probe: NDArray[np.float32] = probe) -> tuple[Array, Array]:
            t = path.time_at(-2.0 * s).clip(0.0, 1.0)
            alpha, sigma = (float(a) for a in path.alpha_sigma(t))
            d, trace = evaluate((alpha * y).astype(np.float32), float(path.network_time(t)), alpha, sigma, probe)
            return y - np.asarray(d, np.float64), alpha * np.asarray(trace, np.float64) - dims

        alpha0 = float(path.alpha_sigma(path.t_min)[0])
        y, change = state / alpha0, np.zeros(n)
        h = (end - start) / steps
        for i in range(steps):
            s = start + i * h
            k1, l1 = slope(s, y)
            k2, l2 = slope(s + h / 2, y + h / 2 * k1)
            k3, l3 = slope(s + h / 2, y + h / 2 * k2)
            k4, l4 = slope(s + h, y + h * k3)
            y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
            change = change + h / 6 * (l1 + 2 * l2 + 2 * l3 + l4)
            if progress is not None:
                progress(p * steps + i + 1, probes * steps)
        alpha1, sigma1 = (float(a) for a in path.alpha_sigma(path.time_at(-2.0 * end)))
        # x, in units of its standard deviation
        scale1 = alpha1 / math.hypot(alpha1, sigma1)
        x = scale1 * y
        prior = -0.5 * (x**2).reshape(n, -1).sum(1) - 0.5 * dims * math.log(2 * math.pi) + dims * math.log(scale1)
        # `change` is the change of log p(y) from data to noise, so it is taken off; y = x/α scales the density by α
        total += prior - change - dims * math.log(alpha0)
    return total / probes
