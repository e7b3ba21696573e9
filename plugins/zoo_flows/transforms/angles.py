"""Periodic values as angles."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.overriding import override
from zoo_flows.transforms.base import Transform, constant_log_det
from zoo_flows.transforms.circular import wrapped


class Angles(Transform):
    """Values of one period, from ``low`` up, to angles from -π up to π; others count as the value that they repeat.

    Args:
        low: where the period begins that samples lie in.
        period: its length.
    """

    def __init__(self, low: float = -math.pi, period: float = 2.0 * math.pi) -> None:
        super().__init__()
        if not (0.0 < period < math.inf) or not math.isfinite(low):
            raise ConfigError(f"a period needs a beginning and a length above 0, not {low} and {period}")
        self.low, self.speed = float(low), 2.0 * math.pi / period

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return wrapped((x - self.low) * self.speed - math.pi), self._log_det(x)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (z + math.pi) / self.speed + self.low, -self._log_det(z)

    def _log_det(self, x: Tensor) -> Tensor:
        return constant_log_det(torch.full_like(x[:1].sum(), x.shape[1] * math.log(self.speed)), x)
