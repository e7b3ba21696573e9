"""Coupling (Dinh et al. 2017, arXiv:1605.08803, section 3.2) with rational-quadratic splines (Durkan et al. 2019)."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo_flows.transforms import rational_quadratic
from zoo_flows.transforms.base import Transform
from zoo_flows.transforms.networks import ResidualMLP


class SplineCoupling(Transform):
    """The first part of a vector chooses the splines that transform the second, and stays as it is::

        z₁ = x₁        z₂ = spline(x₂; knots(network(x₁, context)))

    Both directions cost one evaluation of the network. The parts are slices, not masks, so nothing is computed to be
    multiplied by 0; a linear layer or a permutation in between gives every component its turn.

    Args:
        size: length d of the vector, from 2 up; the first part takes half of it, rounded down.
        context: length of the context; 0 for none.
        bins: of each spline.
        bound: the splines act on [-bound, bound].
        hidden: width of the network.
        blocks: residual blocks of the network.
        dropout: inside the network.
    """

    def __init__(
        self,
        size: int,
        *,
        context: int = 0,
        bins: int = 8,
        bound: float = 3.0,
        hidden: int = 64,
        blocks: int = 2,
        dropout: float = 0.0,
    ) -> None:
        super().__init__()
        if size < 2:
            raise ConfigError(f"coupling needs vectors of 2 components or more, not {size}")
        self.bins, self.bound = bins, bound
        self.sizes = [size // 2, size - size // 2]
        outputs = self.sizes[1] * rational_quadratic.parameter_count(bins)
        self.network = ResidualMLP(
            self.sizes[0], outputs, context=context, hidden=hidden, blocks=blocks, dropout=dropout
        )

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :class:`Transform`."""
        x1, x2 = torch.split(x, self.sizes, dim=1)
        z2, log_slope = rational_quadratic.spline(x2, self._knots(x1, context), bound=self.bound)
        return torch.cat([x1, z2], dim=1), log_slope.sum(1)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """See :class:`Transform`."""
        z1, z2 = torch.split(z, self.sizes, dim=1)
        x2, log_slope = rational_quadratic.inverse_spline(z2, self._knots(z1, context), bound=self.bound)
        return torch.cat([z1, x2], dim=1), log_slope.sum(1)

    def _knots(self, first: Tensor, context: Tensor | None) -> rational_quadratic.Knots:
        parameters = torch.unflatten(self.network(first, context), 1, (self.sizes[1], -1))
        return rational_quadratic.knots(parameters, bins=self.bins, bound=self.bound)
