"""The piecewise-linear map of Müller et al. 2019 (arXiv:1808.03856, section 4.2): a histogram's distribution function.

Of data that stand for whole numbers, with uniform noise in each one's bin, it loses nothing: its density is the
probability of the number, whatever the probabilities are, which is what a categorical distribution models.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.overriding import override
from zoo_flows.transforms.maps import Map
from zoo_flows.transforms.precision import at_least_single

#: the least share of a bin: float32 resolves it, and 256 bins lose at most 2.6e-4 nats a component
_LEAST = 1e-6


@dataclass(frozen=True)
class HistogramMap(Map):
    """z = bound·(2·F(x) - 1) on [-bound, bound], where F is the distribution function of a histogram of equal bins.

    Their shares are the softmax of the parameters, and at least a millionth. Outside it is the identity.

    Attributes:
        bins: of the histogram.
        bound: it acts on [-bound, bound].
    """

    bins: int
    bound: float = 1.0

    @property
    @override
    def count(self) -> int:
        return self.bins

    @override
    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        shares, given = self._shares(parameters), x
        x = x.to(shares.dtype)
        place = ((x + self.bound) * (self.bins / (2.0 * self.bound))).clamp(0.0, self.bins)
        bins = self._bins(shares)
        # whole bins below, and the part of that in which x is
        below = (shares * (place - bins).clamp(0.0, 1.0)).sum(0, keepdim=True)
        # a sum of shares may be rounded to more than 1, and beyond the interval there may be no density
        z = self.bound * (2.0 * below.clamp(max=1.0) - 1.0)
        here = place.detach().floor().clamp(0.0, self.bins - 1.0).long()
        log_slope = torch.log(torch.take_along_dim(shares, here, 0)) + math.log(self.bins)
        outside = x.abs() > self.bound
        return torch.where(outside, x, z).to(given.dtype), torch.where(outside, 0.0, log_slope).to(given.dtype)

    @override
    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        return self.inverse_with_slope(z, parameters)[0]

    @override
    def inverse_with_slope(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        shares, given = self._shares(parameters), z
        z = z.to(shares.dtype)
        u = ((z + self.bound) / (2.0 * self.bound)).clamp(0.0, 1.0)
        ends = torch.cumsum(shares, 0)[:-1]
        below = (u >= ends).to(shares.dtype)
        bin_number = below.sum(0, keepdim=True)
        here = (self._bins(shares) == bin_number.detach()).to(shares.dtype)
        share, start = (shares * here).sum(0, keepdim=True), (ends * here[1:]).sum(0, keepdim=True)
        place = bin_number + ((u - start) / share).clamp(0.0, 1.0)
        x = 2.0 * self.bound / self.bins * place - self.bound
        outside = z.abs() > self.bound
        log_slope = -torch.log(share) - math.log(self.bins)
        return torch.where(outside, z, x).to(given.dtype), torch.where(outside, 0.0, log_slope).to(given.dtype)

    @override
    def fitted(self, x: Tensor) -> Tensor:
        """The histogram of all values together, with one more in every bin."""
        place = (x + self.bound) * (self.bins / (2.0 * self.bound))
        counts = torch.bincount(place.floor().clamp(0, self.bins - 1).long(), minlength=self.bins) + 1
        logarithms = torch.log(counts.to(x.dtype))
        return logarithms - logarithms.mean()

    def _shares(self, parameters: Tensor) -> Tensor:
        """``[bins, ...]``, with sum 1, in 32 bits or more."""
        wide = parameters.to(at_least_single(parameters.dtype))
        return torch.softmax(wide, 0) * (1.0 - self.bins * _LEAST) + _LEAST

    def _bins(self, shares: Tensor) -> Tensor:
        """Their numbers, ``[bins, 1, ...]``."""
        numbers = torch.arange(self.bins, dtype=shares.dtype, device=shares.device)
        return numbers.reshape(-1, *[1] * (shares.ndim - 1))
