"""Splines of the circle (Rezende et al. 2020, Normalizing flows on tori and spheres, arXiv:2002.02428, section 2.1)."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from zoo.overriding import override
from zoo_flows.transforms import rational_quadratic
from zoo_flows.transforms.maps import Map


@dataclass(frozen=True)
class CircularMap(Map):
    """A rotation of angles, then a rational-quadratic spline whose ends meet with one slope.

    It is a :class:`~zoo_flows.transforms.maps.Map` of the circle: angles are taken modulo 2π, and come out in [-π, π].

    Attributes:
        bins: of the spline.
    """

    bins: int = 8

    @property
    @override
    def count(self) -> int:
        """The rotation, and the spline."""
        return 1 + rational_quadratic.circular_parameter_count(self.bins)

    @override
    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        rotation, knots = self._rotation_and_knots(parameters)
        z, log_slope = rational_quadratic.along_first_axis(wrapped(x + rotation), knots, bound=math.pi, tails=False)
        # what rounding leaves outside would have no density
        return z.clamp(-math.pi, math.pi), log_slope

    @override
    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        return self.inverse_with_slope(z, parameters)[0]

    @override
    def inverse_with_slope(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        rotation, knots = self._rotation_and_knots(parameters)
        inner, log_slope = rational_quadratic.inverse_along_first_axis(wrapped(z), knots, bound=math.pi, tails=False)
        return wrapped(inner - rotation), log_slope

    def _rotation_and_knots(self, parameters: Tensor) -> tuple[Tensor, rational_quadratic.Knots]:
        rotation, spline = torch.split(parameters, [1, self.count - 1])
        return rotation, rational_quadratic.circular_knots(spline, bins=self.bins, bound=math.pi)


def wrapped(angle: Tensor) -> Tensor:
    """The same angle from -π up to π, rounding included."""
    turns = torch.floor((angle + math.pi) / (2.0 * math.pi))
    return (angle - 2.0 * math.pi * turns).clamp(-math.pi, math.pi)


class OfAngles(nn.Module):
    """A conditioner that sees the cosines and sines of angles, and so the same of -π and π.

    Args:
        network: makes the network from its number of inputs and outputs.
        inputs: how many angles.
        outputs: of the network.
    """

    def __init__(self, network: Callable[[int, int], nn.Module], inputs: int, outputs: int) -> None:
        super().__init__()
        self.network = network(2 * inputs, outputs)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """Angles ``[n, inputs]`` and ``[n, context]`` to ``[n, outputs]``."""
        out: Tensor = self.network(torch.cat([torch.cos(x), torch.sin(x)], dim=1), context)
        return out
