"""Increasing maps of the real line, one for each component: what a network's outputs are the parameters of.

Pure mathematics without weights, so that couplings and autoregressive transforms share it, and so that a graph that is
written rather than traced needs each only once: equal maps are equal values.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.overriding import override
from zoo_flows.transforms import rational_quadratic

#: share of values beyond the outermost knots of a fitted spline
_RARE = 2e-3
#: values that quantiles are taken of
_ENOUGH = 200_000

#: how many times as wide as the narrowest bin of a fitted spline the mean one is
_NARROW = 16.0

#: largest slope of an affine map, unless said otherwise
LARGEST_SLOPE = 1e3


class Map(ABC):
    """z = f(x; parameters), increasing in x; zeros as parameters give the identity. Hashable, and equal if the same.

    Parameters stand along the first axis, ``[P, ...]``, and values have a first axis of 1, ``[1, ...]``.
    """

    @property
    @abstractmethod
    def count(self) -> int:
        """P: how many parameters a component takes."""

    @abstractmethod
    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """z and log dz/dx."""

    @abstractmethod
    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        """x, such that f(x) = z."""

    @abstractmethod
    def inverse_with_slope(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """x and log dx/dz."""

    def fitted(self, x: Tensor) -> Tensor:
        """Parameters ``[P]`` under which values ``[n]`` of about unit scale are nearer to normal; zeros by default."""
        return x.new_zeros(self.count)


@dataclass(frozen=True)
class AdditiveMap(Map):
    """z = x + t with the parameter t: it keeps volumes (Dinh et al. 2015, section 3.2)."""

    @property
    @override
    def count(self) -> int:
        return 1

    @override
    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return x + parameters, torch.zeros_like(x)

    @override
    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        return z - parameters

    @override
    def inverse_with_slope(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return z - parameters, torch.zeros_like(z)


@dataclass(frozen=True)
class AffineMap(Map):
    """z = x·exp(s) + t with parameters (t, u), where s = u/(1 + \\|u\\|/ln(largest)).

    The logarithm s of the slope is about u when small and never beyond ±ln(largest), so that neither direction
    overflows.

    Attributes:
        largest: slope; the least is its inverse.
    """

    largest: float = LARGEST_SLOPE

    @property
    @override
    def count(self) -> int:
        return 2

    @override
    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        shift, u = parameters.chunk(2)
        log_slope = self._limited(u, 1.0)
        return x * torch.exp(log_slope) + shift, log_slope.expand_as(x)

    @override
    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        shift, u = parameters.chunk(2)
        return (z - shift) * torch.exp(self._limited(u, -1.0))

    @override
    def inverse_with_slope(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return self.inverse(z, parameters), self._limited(torch.split(parameters, 1)[1], -1.0).expand_as(z)

    def _limited(self, u: Tensor, sign: float) -> Tensor:
        """The logarithm s of the slope, or -s: in as few operations as there are, since d steps in a row do it."""
        return u / torch.rsub(u.abs(), sign, alpha=-sign / math.log(self.largest))


@dataclass(frozen=True)
class SplineMap(Map):
    """The monotonic rational-quadratic spline of :mod:`~zoo_flows.transforms.rational_quadratic`.

    Attributes:
        bins: of the spline.
        bound: it acts on [-bound, bound]; outside it is the identity.
    """

    bins: int = 8
    bound: float = 3.0

    @property
    @override
    def count(self) -> int:
        return rational_quadratic.parameter_count(self.bins)

    @override
    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return rational_quadratic.along_first_axis(x, self._knots(parameters), bound=self.bound)

    @override
    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        return self.inverse_with_slope(z, parameters)[0]

    @override
    def inverse_with_slope(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return rational_quadratic.inverse_along_first_axis(z, self._knots(parameters), bound=self.bound)

    @override
    def fitted(self, x: Tensor) -> Tensor:
        """A quarter of the knots stand where values do, the others evenly between the least and the largest.

        So the spline begins with the marginal distribution, and has bins where a network is to tell values apart,
        however rare each is.
        """
        if len(x) > _ENOUGH:  # at random: every k-th would be of some components alone
            x = x[torch.randint(len(x), (_ENOUGH,), generator=torch.Generator().manual_seed(0)).to(x.device)]
        x = x.double().sort().values
        even = torch.linspace(0.0, 1.0, 4 * self.bins, dtype=x.dtype)
        spots = torch.cat([x[(even * (len(x) - 1)).long()], *[x[0] + (x[-1] - x[0]) * even] * 3]).sort().values
        inner = spots[torch.linspace(0, len(spots) - 1, self.bins - 1).round().long()]
        inner = inner.clamp(-0.98 * self.bound, 0.98 * self.bound)
        # apart at least as far as bins can be narrow
        inner = _apart(inner, 2.0 * self.bound / self.bins / _NARROW)
        below = torch.searchsorted(x, inner) / len(x)
        z = torch.special.ndtri(below.clamp(_RARE, 1.0 - _RARE))
        z = _apart(z.clamp(-0.98 * self.bound, 0.98 * self.bound), 2.0 * self.bound / self.bins / _NARROW)
        ends = x.new_tensor([-self.bound, self.bound])
        knots = [torch.cat([ends[:1], each, ends[1:]]).float() for each in (inner, z)]
        return rational_quadratic.parameters_between(*knots, bound=self.bound)

    def _knots(self, parameters: Tensor) -> rational_quadratic.Knots:
        return rational_quadratic.knots(parameters, bins=self.bins, bound=self.bound)


def _apart(values: Tensor, gap: float) -> Tensor:
    """Increasing values ``[n]``, moved as little as it takes for neighbours to be a gap apart."""
    steps = gap * torch.arange(len(values), dtype=values.dtype)
    return (values - steps).cummax(0).values + steps
