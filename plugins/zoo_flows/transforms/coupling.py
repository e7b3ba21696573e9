"""Coupling (Dinh et al. 2015, arXiv:1410.8516; Dinh et al. 2017, arXiv:1605.08803, section 3.2), with any map.

An additive map makes NICE's coupling, an affine one RealNVP's, a spline that of neural spline flows; a convolutional
network makes one of the channels of an image.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.overriding import override
from zoo_flows.transforms.base import Transform
from zoo_flows.transforms.maps import Map
from zoo_flows.transforms.precision import conditioned


class Coupling(Transform):
    """The first part of a vector chooses the maps that transform the second, and stays as it is::

        z₁ = x₁        z₂ = map(x₂; network(x₁, context))

    Both directions cost one evaluation of the network. The parts are slices, not masks, so nothing is computed only
    to be multiplied by 0; a linear layer or a permutation in between gives every component its turn.

    Args:
        size: length d of the vector, or number of channels of an image, from 2 up; the first part takes half of it,
            rounded down.
        map: of each component of the second part.
        network: makes the conditioner from its number of inputs and outputs; it is called with the first part and the
            context.
        swap: let the second part choose the maps of the first.
    """

    def __init__(self, size: int, map: Map, network: Callable[[int, int], nn.Module], *, swap: bool = False) -> None:
        super().__init__()
        if size < 2:
            raise ConfigError(f"coupling needs vectors of 2 components or more, not {size}")
        self.map, self.swap = map, swap
        self.sizes = [size // 2, size - size // 2]
        read, mapped = reversed(self.sizes) if swap else self.sizes
        self.network = network(read, mapped * map.count)

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        read, mapped = self._parts(x)
        out, log_slope = self.map.forward(mapped.unsqueeze(0), self._conditioned(read, context))
        return self._joined(read, out.squeeze(0)), _summed(log_slope)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        read, mapped = self._parts(z)
        out, log_slope = self.map.inverse_with_slope(mapped.unsqueeze(0), self._conditioned(read, context))
        return self._joined(read, out.squeeze(0)), _summed(log_slope)

    def _parts(self, value: Tensor) -> tuple[Tensor, Tensor]:
        """The part that is read, and the part that is mapped."""
        first, second = torch.split(value, self.sizes, dim=1)
        return (second, first) if self.swap else (first, second)

    def _joined(self, read: Tensor, mapped: Tensor) -> Tensor:
        return torch.cat([mapped, read] if self.swap else [read, mapped], dim=1)

    def _conditioned(self, read: Tensor, context: Tensor | None) -> Tensor:
        """``[P, n, …]``: the parameters of each component of the mapped part."""
        parameters = conditioned(self.network, read, context)
        return torch.unflatten(parameters, 1, (-1, self.map.count)).movedim(2, 0)


def _summed(log_slope: Tensor) -> Tensor:
    """Log-slopes ``[1, n, …]`` of all components of a sample together, ``[n]``."""
    each = log_slope.squeeze(0)
    return (each if each.ndim == 2 else each.flatten(1)).sum(1)
