"""The logistic base: uniform variables as logits."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.overriding import override
from zoo_flows.bases.base import Base

#: of erfc(x) = t·exp(-x² + polynomial of t), t = 1/(1 + x/2): relative error at most 1.2e-7 for all x from 0 up (Press
#: et al. 1992, Numerical Recipes in C, section 6.2)
_ERFC = (
    *(-1.26551223, 1.00002368, 0.37409196, 0.09678418, -0.18628806),
    *(0.27886807, -1.13520398, 1.48851587, -0.82215223, 0.17087277),
)


class Logistic(Base):
    """Independent components with density σ(z)·σ(-z), σ the logistic function: logits of uniform variables.

    Args:
        size: length d of z.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = self.noise_size = size

    @override
    def from_noise(self, noise: Tensor, context: Tensor | None = None) -> Tensor:
        """log Φ(noise) - log Φ(-noise).

        The smaller tail is computed itself, to the last digits of float32: as 1 - Φ it would lose them.
        """
        distance = noise.abs() * math.sqrt(0.5)
        t = 1.0 / (1.0 + 0.5 * distance)
        polynomial = torch.zeros_like(t)
        for coefficient in reversed(_ERFC):
            polynomial = polynomial * t + coefficient
        log_tail = torch.log(0.5 * t) - distance * distance + polynomial
        logit = torch.log(1.0 - torch.exp(log_tail)) - log_tail
        return torch.where(noise < 0.0, -logit, logit)

    @override
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        # 1 + exp(-|z|) has its digits, and exp never overflows
        distance = z.abs()
        return -(distance + 2.0 * torch.log(1.0 + torch.exp(-distance))).sum(1)
