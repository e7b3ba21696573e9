"""The radial transform (Rezende & Mohamed 2015, arXiv:1505.05770, section 4.1)."""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from zoo.overriding import override
from zoo_flows.transforms.base import Transform
from zoo_flows.transforms.root import invertible

#: log of the largest α; the least is its inverse
_LOG_LIMIT = math.log(1e3)


class Radial(Transform):
    """Space stretched, or pressed, around a centre x₀, which a context moves (eq. 14)::

        z = x + h·(x - x₀)        h = β/(α + r)        r = ‖x - x₀‖        α > 0        β > -α
        log |det ∂z/∂x| = (d - 1)·log(1 + h) + log(1 + α·β/(α + r)²)

    Going back needs r, of which ‖z - x₀‖ = r + h·r is known: the positive root of a quadratic.

    Args:
        size: length d of the vector.
        context: length of the context; 0 for none.
    """

    def __init__(self, size: int, *, context: int = 0) -> None:
        super().__init__()
        self.centre = nn.Parameter(torch.randn(size))
        self.log_alpha = nn.Parameter(torch.zeros(1))
        self.strength = nn.Parameter(torch.zeros(1))  # that of which 0 makes β = 0
        self.context = nn.Linear(context, size, bias=False) if context else None

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        alpha, beta = self._alpha_beta()
        away = x - self._centre(context)
        r = _length(away)
        return x + beta / (alpha + r) * away, self._log_det(r)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        alpha, beta = self._alpha_beta()
        away = z - self._centre(context)
        distance = _length(away)
        # r² + b·r - α·distance = 0; of two forms of the one root, each cancels for one sign of b
        b = alpha + beta - distance
        discriminant = torch.sqrt(b.square() + 4.0 * alpha * distance)
        positive = b >= 0
        ahead = 2.0 * alpha * distance / torch.where(positive, b + discriminant, 1.0)
        r = torch.where(positive, ahead, 0.5 * (discriminant - b))
        return z - beta / (alpha + r + beta) * away, -self._log_det(r)

    def _alpha_beta(self) -> tuple[Tensor, Tensor]:
        alpha = torch.exp(self.log_alpha / (1.0 + self.log_alpha.abs() / _LOG_LIMIT))
        return alpha, alpha * invertible(self.strength)

    def _centre(self, context: Tensor | None) -> Tensor:
        if self.context is None or context is None:
            return self.centre
        shift: Tensor = self.context(context)
        return self.centre + shift

    def _log_det(self, r: Tensor) -> Tensor:
        alpha, beta = self._alpha_beta()
        far = alpha + r
        along = torch.log(1.0 + alpha * beta / far.square())
        return ((self.centre.shape[0] - 1) * torch.log(1.0 + beta / far) + along).squeeze(1)


def _length(away: Tensor) -> Tensor:
    """‖away‖ ``[n, 1]``, whose gradient at 0 is 0 rather than not a number."""
    square = away.square().sum(1, keepdim=True)
    return torch.where(square > 0, torch.sqrt(torch.where(square > 0, square, 1.0)), 0.0)
