"""The uniform base, of periodic variables."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.overriding import override
from zoo_flows.bases.base import Base, uniform


class Uniform(Base):
    """Independent and uniform on [-bound, bound]; beyond it the density is 0.

    Args:
        size: length d of z.
        bound: half of the length of the interval.
    """

    def __init__(self, size: int, *, bound: float = math.pi) -> None:
        super().__init__()
        self.size = self.noise_size = size
        self.bound = bound

    @override
    def from_noise(self, noise: Tensor, context: Tensor | None = None) -> Tensor:
        return self.bound * (2.0 * uniform(noise) - 1.0)

    @override
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        inside = z.abs() <= self.bound
        # the constant apart: where makes float32 of numbers
        beyond = torch.where(inside, 0.0, -math.inf).to(z.dtype).sum(1)
        return beyond - self.size * math.log(2.0 * self.bound)
