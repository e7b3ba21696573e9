"""Increasing maps of the real line, one for each component: what a network's outputs are the parameters of.

Pure mathematics without weights, so that couplings and autoregressive transforms share it, and so that a graph that is
written rather than traced needs each only once: equal maps are equal values.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from zoo_flows.transforms import rational_quadratic

#: log of the largest slope of an affine map; the least is its inverse
_LOG_LIMIT = math.log(1e3)


class Map(Protocol):
    """z = f(x; parameters), increasing in x; zeros as parameters give the identity. Hashable, and equal if the same."""

    @property
    def count(self) -> int:
        """P: how many parameters a component takes."""

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """``[...]`` and parameters ``[..., P]`` to z and log dz/dx, both ``[...]``."""

    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """``[...]`` and parameters ``[..., P]`` to x and log dx/dz, both ``[...]``."""


@dataclass(frozen=True)
class AffineMap:
    """z = x·exp(s) + t with parameters (t, u), where s = u/(1 + \\|u\\|/ln 1000).

    The logarithm s of the slope is about u when small and never beyond ±ln 1000, so that neither direction overflows.
    """

    @property
    def count(self) -> int:
        """See :class:`Map`."""
        return 2

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Map`."""
        shift, log_slope = _shift_and_log_slope(parameters)
        return x * torch.exp(log_slope) + shift, log_slope.expand_as(x)

    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Map`."""
        shift, log_slope = _shift_and_log_slope(parameters)
        return (z - shift) * torch.exp(-log_slope), -log_slope.expand_as(z)


def _shift_and_log_slope(parameters: Tensor) -> tuple[Tensor, Tensor]:
    shift, u = parameters.unbind(-1)
    return shift, u / (1.0 + u.abs() / _LOG_LIMIT)


@dataclass(frozen=True)
class SplineMap:
    """The monotonic rational-quadratic spline of :mod:`~zoo_flows.transforms.rational_quadratic`.

    Attributes:
        bins: of the spline.
        bound: it acts on [-bound, bound]; outside it is the identity.
    """

    bins: int = 8
    bound: float = 3.0

    @property
    def count(self) -> int:
        """See :class:`Map`."""
        return rational_quadratic.parameter_count(self.bins)

    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Map`."""
        return rational_quadratic.spline(x, self._knots(parameters), bound=self.bound)

    def inverse(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """See :class:`Map`."""
        return rational_quadratic.inverse_spline(z, self._knots(parameters), bound=self.bound)

    def _knots(self, parameters: Tensor) -> rational_quadratic.Knots:
        return rational_quadratic.knots(parameters, bins=self.bins, bound=self.bound)
