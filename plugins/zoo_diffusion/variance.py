"""Learning the variance of the ancestral sampler's steps (Nichol & Dhariwal 2021, arXiv:2102.09672, section 3.1).

For a step from time t to the time s before it, the posterior q(x_s | x_t, x₀) is a Gaussian whose variance is the least
that a step can have, and σ²_{t|s} is the most. The network's share v ∈ [0, 1] interpolates their logarithms (eq. 15).
"""

from __future__ import annotations

import math

from torch import Tensor

#: steps of the discrete chain whose bound is learned
STEPS = 1000


def bound(x0: Tensor, d: Tensor, where: Tensor, before: tuple[Tensor, Tensor], now: tuple[Tensor, Tensor]) -> Tensor:
    """The step's KL(q ‖ p) in bits/dim: its share of the bound, times the weight of eq. 16, 0.001, and 1,000 steps.

    Args:
        x0: clean states ``[n, *event]``.
        d: denoised states, through which nothing is learned here.
        where: v, ``[n, *event]``.
        before: α and σ at s, which broadcast.
        now: α and σ at t.
    """
    (alpha_s, sigma_s), (alpha_t, sigma_t) = before, now
    most = (sigma_t.square() - (alpha_t / alpha_s).square() * sigma_s.square()).clamp(min=1e-20)  # σ²_{t|s}
    least = (most * (sigma_s / sigma_t).square()).clamp(min=1e-20)
    log_ratio = where * (most.log() - least.log())  # of p's variance over q's
    means = alpha_s * most / sigma_t.square() * (x0 - d)
    kl = 0.5 * (log_ratio + (1 + means.square() / least) * (-log_ratio).exp() - 1)
    return kl.mean() / math.log(2)
