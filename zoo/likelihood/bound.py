"""The variational bound of a diffusion's discrete chain, in NumPy, given any evaluator of the denoiser.

The ancestral sampler with the posterior's variance is a Markov chain from noise to data, and -log p(x₀) of its samples
is at most (Ho et al. 2020, eq. 5; in this form Kingma et al. 2021, eqs. 11-14)::

    L = KL(q(x_T | x₀) ‖ p(x_T))  +  Σᵢ ½·(SNR(sᵢ) - SNR(tᵢ))·E‖x₀ - D(x_tᵢ, tᵢ)‖²  +  E[-log p(x₀ | x_least)]

with sᵢ the time before tᵢ. The chain's N steps are uniform in the log-SNR, which makes the bound tightest for large N;
its last step to the data is a normal with the smallest noise level. The sum is estimated by stratified
sampling of its terms, one from each of as many equal parts, each with its own noise. This is unbiased, and exact in the
choice of terms if all are taken.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from zoo import noise
from zoo.arrays import Array, Float64Array
from zoo.errors import UsageError
from zoo.likelihood import log_noise_ends
from zoo.paths import GaussianPath

#: (x_t float32 [n, *event], time, α, σ) -> D [n, *event]
Denoiser = Callable[[NDArray[np.float32], float, float, float], Array]


def variational_bound(
    denoise: Denoiser,
    state: Float64Array,
    path: GaussianPath,
    *,
    steps: int = 1000,
    terms: int = 100,
    seed: int = 0,
    first: int = 0,
) -> Float64Array:
    """A lower bound of the chain's log-density.

    Args:
        denoise: the denoiser.
        state: float64 ``[n, *event]``.
        path: the Gaussian path.
        steps: N, the length of the chain.
        terms: number of terms of the sum to evaluate, up to N.
        seed: key of the noise and of the choice of terms, drawn on :attr:`zoo.noise.Stream.BOUND`.
        first: index of the first sample.

    Returns:
        float64 ``[n]``, nats per state: unbiased estimates of a lower bound of the log-density. The same terms are
        evaluated for all samples.

    Raises:
        UsageError: ``steps`` below 1, or ``terms`` not in 1 … steps.
    """
    if steps < 1 or not 1 <= terms <= steps:
        raise UsageError(
            f"a bound needs 1 step or more, and terms from 1 to the number of steps, not {steps} and {terms}"
        )
    n, event = len(state), state.shape[1:]
    dims = math.prod(event)
    highest, lowest = (-2.0 * log_noise for log_noise in log_noise_ends(path))
    grid = np.linspace(highest, lowest, steps + 1)
    # the KL divergence at the end, against the prior of the ODE's likelihood
    alpha, sigma = (float(a) for a in path.alpha_sigma(path.time_at(lowest)))
    variance = alpha**2 + sigma**2
    squares = (state**2).reshape(n, -1).sum(1)
    loss = 0.5 * (alpha**2 * squares / variance + dims * (sigma**2 / variance - 1 - math.log(sigma**2 / variance)))
    offsets = noise.uniform(seed, 1, (terms,), stream=noise.Stream.BOUND)[0]
    for term in range(terms):
        low, high = term * steps // terms, (term + 1) * steps // terms
        index = low + min(int(offsets[term] * (high - low)), high - low - 1)
        before, now = grid[index], grid[index + 1]
        t = float(np.clip(path.time_at(now), 0.0, 1.0))
        alpha, sigma = (float(a) for a in path.alpha_sigma(t))
        eps = noise.normal(seed, n, event, first=first, step=1 + index, stream=noise.Stream.BOUND)
        noisy = (alpha * state + sigma * eps).astype(np.float32)
        d = np.asarray(denoise(noisy, float(path.network_time(t)), alpha, sigma), np.float64)
        errors = ((state - d) ** 2).reshape(n, -1).sum(1)
        loss = loss + (high - low) * 0.5 * (math.exp(before) - math.exp(now)) * errors
    # E[-log N(x₀; x/α, (σ/α)²)] at the smallest noise level is the entropy of that normal
    bound: Float64Array = -(loss + 0.5 * dims * (math.log(2 * math.pi) + 1 - highest))
    return bound
