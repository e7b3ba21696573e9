"""From an interval to [-1, 1]."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.overriding import override
from zoo_flows.transforms.base import Transform, constant_log_det


class Interval(Transform):
    """z = 2·(x - low)/(high - low) - 1, which is [-1, 1] for values in the interval, and goes on outside.

    Args:
        low: its beginning.
        high: its end.
    """

    def __init__(self, low: float, high: float) -> None:
        super().__init__()
        self.middle, self.radius = 0.5 * (low + high), 0.5 * (high - low)

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (x - self.middle) / self.radius, -self._log_det(x)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z * self.radius + self.middle, self._log_det(z)

    def _log_det(self, x: Tensor) -> Tensor:
        return constant_log_det(torch.full_like(x[:1].sum(), x.shape[1] * math.log(self.radius)), x)
