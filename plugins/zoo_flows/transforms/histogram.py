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

#: the least share of a bin: 256 bins lose at most 2.6e-6 nats a component
_LEAST = 1e-8
#: the least share on either side of a value: of an end of the interval, where the logit would be infinite
_EDGE = 1e-12


@dataclass(frozen=True)
class HistogramMap(Map):
    """z = log F(x) - log(1 - F(x)), where F is the distribution function of a histogram of equal bins.

    Their shares are the softmax of the parameters, and at least 1e-8. If z has a logistic distribution, x has that of
    the histogram: a uniform variable's two tails keep all their digits as a logit. Both are summed from their own end,
    since nearly all of the mass may lie in one bin, and x in another.

    Outside the interval the density is 0; zeros as parameters give the uniform distribution in it.

    Attributes:
        bins: of the histogram.
        bound: its interval is [-bound, bound].
    """

    bins: int
    bound: float = 1.0

    @property
    @override
    def count(self) -> int:
        return self.bins

    @override
    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        shares, dtype = self._shares(parameters), x.dtype
        x = x.to(shares.dtype)
        place = ((x + self.bound) * (self.bins / (2.0 * self.bound))).clamp(0.0, float(self.bins))
        # of each bin, the part below x
        part = (place - self._bins(shares)).clamp(0.0, 1.0)
        below, above = ((shares * each).sum(0, keepdim=True).clamp(_EDGE, 1.0) for each in (part, 1.0 - part))
        log_below, log_above = torch.log(below), torch.log(above)
        # clamped as whole numbers, of which a NaN is some
        here = place.detach().floor().long().clamp(0, self.bins - 1)
        log_share = torch.log(torch.gather(shares.expand(-1, *here.shape[1:]), 0, here))
        log_slope = log_share + math.log(self.bins / (2.0 * self.bound)) - log_below - log_above
        log_slope = torch.where(x.abs() > self.bound, -math.inf, log_slope)
        return (log_below - log_above).to(dtype), log_slope.to(dtype)

    @override
    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        return self.inverse_with_slope(z, parameters)[0]

    @override
    def inverse_with_slope(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        shares, dtype = self._shares(parameters), z.dtype
        z = z.to(shares.dtype)
        # the smaller one has its digits; a sigmoid of ONNX Runtime has none left of it from 18 on
        distance = z.abs()
        tail = torch.exp(-distance)
        low = z < 0.0
        below, above = (torch.where(each, tail, 1.0) / (1.0 + tail) for each in (low, ~low))
        # sums from the end that is nearer
        up, down = _sums(shares), _sums(shares.flip(0)).flip(0)
        beyond = torch.where(low, (below >= up[:-1]).to(shares.dtype), (above <= down[1:]).to(shares.dtype))
        number = beyond.sum(0, keepdim=True)
        here = (self._bins(shares) == number.detach()).to(shares.dtype)
        share = (shares * here).sum(0, keepdim=True)
        from_left = (below - (up[:-1] * here[1:]).sum(0, keepdim=True)) / share
        from_right = (above - (down[1:] * here[:-1]).sum(0, keepdim=True)) / share
        part = torch.where(low, from_left, 1.0 - from_right).clamp(0.0, 1.0)
        x = 2.0 * self.bound / self.bins * (number + part) - self.bound
        log_density = -distance - 2.0 * torch.log(1.0 + tail)
        log_slope = log_density - torch.log(share) - math.log(self.bins / (2.0 * self.bound))
        return x.to(dtype), log_slope.to(dtype)

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


def _sums(shares: Tensor) -> Tensor:
    """Sums of the first bins, ``[bins, ...]``: blocks first, whose sums round a few times instead of bins times."""
    bins = shares.shape[0]
    block = math.isqrt(bins - 1) + 1
    blocks = -(-bins // block)
    padded = torch.cat([shares, shares.new_zeros(blocks * block - bins, *shares.shape[1:])])
    within = torch.cumsum(torch.unflatten(padded, 0, (blocks, block)), 1)
    before = torch.cumsum(within[:-1, -1:], 0)
    return torch.cat([within[:1], within[1:] + before]).flatten(0, 1)[:bins]
