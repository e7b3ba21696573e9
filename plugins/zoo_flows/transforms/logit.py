"""From bounded data to the whole line (Dinh et al. 2017, section 4.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.overriding import override
from zoo_flows.transforms.base import Transform


class Logit(Transform):
    """Dequantised levels in [0, levels) to their logits, component by component::

        u = α + (1 - 2α)·x/levels        z = log u - log(1 - u)

    Outside [0, levels] it continues as a straight line with the slope at the edge. So it is a bijection of the whole
    line: nothing overflows, nothing is clamped silently, and every density is proper. Inside it is the usual logit,
    and so are the densities of data.

    Args:
        levels: number of values of the data, 2 or more.
        alpha: distance of u from 0 and 1, in (0, 1/2).
    """

    def __init__(self, levels: float, alpha: float = 0.01) -> None:
        super().__init__()
        if not levels >= 2:
            raise ConfigError(f"discrete data must have 2 levels or more, not {levels!r}")
        if not 0.0 < alpha < 0.5:
            raise ConfigError(f"the logit's alpha must be between 0 and 1/2, not {alpha!r}")
        self.levels, self.alpha = float(levels), float(alpha)
        self.span = 1.0 - 2.0 * self.alpha
        self.edge = math.log(1.0 - self.alpha) - math.log(self.alpha)  # the logit of x = levels
        self.edge_slope = self.span / (self.alpha * (1.0 - self.alpha))

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        fraction = x / self.levels
        inside = fraction.clamp(0.0, 1.0)
        u = self.alpha + self.span * inside
        log_u, log_rest = torch.log(u), torch.log(1.0 - u)
        z = log_u - log_rest + self.edge_slope * (fraction - inside)
        # in the tails u stays at the edge, and so does the slope
        return z, (math.log(self.span / self.levels) - log_u - log_rest).sum(1)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        inside = z.clamp(-self.edge, self.edge)
        u = torch.sigmoid(inside)
        x = self.levels * ((u - self.alpha) / self.span + (z - inside) / self.edge_slope)
        return x, (torch.log(u) + torch.log(1.0 - u) - math.log(self.span / self.levels)).sum(1)
