"""log |det(I + J)| without J: the unbiased estimator of residual flows (Chen et al. 2019, arXiv:1906.02735).

A probe v of random signs estimates a trace (Hutchinson 1990); a random number of terms, each divided by the probability
that it is reached, estimates a series without end (Russian roulette). The value is eq. 6, its gradient eq. 8, which
keeps no term of the series for the backward pass::

    log det(I + J)  =  E  Σₖ (-1)ᵏ⁺¹/k · vᵀJᵏv / P(N ≥ k)
    its gradient    =  E  (Σₖ (-1)ᵏ vᵀJᵏ / P(N ≥ k)) · ∂J · v
"""

from __future__ import annotations

import math
from collections.abc import Callable

import torch
from torch import Tensor

#: terms that are always there, which take variance away
_SURE = 4


def estimated_log_det(pull_back: Callable[[Tensor], Tensor], like: Tensor, *, bound: float) -> Tensor:
    """An unbiased estimate of log |det(I + J)| ``[n]``, with an unbiased gradient.

    Torch's generator draws the probes, and how many terms there are.

    Args:
        pull_back: v ``[n, d]`` to vᵀJ ``[n, d]``, linear, differentiable in what J is made of.
        like: a tensor ``[n, d]``.
        bound: of J's spectral norm, below 1.
    """
    # the k-th term's variance goes with bound²ᵏ/P(N ≥ k), so that goes on more often than by bound²
    going_on = 0.5 * (1.0 + bound**2)
    terms = _SURE + int(math.log(1.0 - torch.rand(()).item()) / math.log(going_on))
    with torch.no_grad():
        probe = torch.randint(0, 2, like.shape, device=like.device).to(like.dtype) * 2.0 - 1.0
        power, inverse = probe, probe
        value = torch.zeros_like(like[:, 0])
        for k in range(1, terms + 1):
            power = -pull_back(power)
            term = power / going_on ** max(k - _SURE, 0)
            value = value - (term * probe).sum(1) / k
            inverse = inverse + term
    gradient = (pull_back(inverse) * probe).sum(1)
    return value + (gradient - gradient.detach())
