"""The base of columns some of which are angles: uniform for these, normal for the others."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.overriding import override
from zoo_flows.bases.base import Base, uniform

_HALF_LOG_TWO_PI = 0.5 * math.log(2.0 * math.pi)


class MixedBase(Base):
    """Independent: uniform on [-π, π] for angles, beyond which the density is 0, and N(0, 1) for the others.

    Args:
        circular: of each component whether it is an angle.
    """

    circular: Tensor

    def __init__(self, circular: Sequence[bool]) -> None:
        super().__init__()
        self.size = self.noise_size = len(circular)
        self.register_buffer("circular", torch.tensor(list(circular)), persistent=False)

    @override
    def from_noise(self, noise: Tensor, context: Tensor | None = None) -> Tensor:
        return torch.where(self.circular, math.pi * (2.0 * uniform(noise) - 1.0), noise)

    @override
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        angle = torch.where(z.abs() <= math.pi, -math.log(2.0 * math.pi), -math.inf).to(z.dtype)
        return torch.where(self.circular, angle, -0.5 * z.square() - _HALF_LOG_TWO_PI).sum(1)
