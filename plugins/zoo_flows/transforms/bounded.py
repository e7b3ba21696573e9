"""From intervals to the whole line, column by column: a logit of each bounded column, all others as they are."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from zoo.errors import ConfigError, DataError
from zoo.overriding import override
from zoo_flows.transforms.base import Transform

#: share of an interval at each of its ends where the logit does not get steeper: float32 cannot tell more apart
_EDGE = 1e-6


class Bounded(Transform):
    """z = log u - log(1 - u) with u = (x - low)/(high - low) for bounded columns, z = x for the others.

    The inverse never leaves an interval, and outside of one the density is 0, so no mass is lost there: the change of
    variables of Stan's bounded parameters (Carpenter et al. 2017, section 2.7). Within a millionth of an interval from
    its ends, which float32 does not resolve, the slope stays what it is there.

    Args:
        size: number d of columns.
        bounds: low and high by the place of a column, ``{"1": [0.0, 3.0]}``.

    Raises:
        ConfigError: a place that is none, or no interval.
    """

    low: Tensor
    high: Tensor
    bounded: Tensor

    def __init__(self, size: int, bounds: Mapping[str, Sequence[float]]) -> None:
        super().__init__()
        low, high = torch.zeros(size), torch.ones(size)
        bounded = torch.zeros(size, dtype=torch.bool)
        for place, (first, last) in intervals(size, "bounds", bounds).items():
            low[place], high[place], bounded[place] = first, last, True
        self.bounds = {place: (float(low[place]), float(high[place])) for place in bounded.nonzero().flatten().tolist()}
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("high", high, persistent=False)
        self.register_buffer("bounded", bounded, persistent=False)

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        width = self.high - self.low
        u = ((x - self.low) / width).clamp(_EDGE, 1.0 - _EDGE)
        log_u, log_rest = torch.log(u), torch.log(1.0 - u)
        z = torch.where(self.bounded, log_u - log_rest, x)
        slope = torch.where(self.bounded, -log_u - log_rest - torch.log(width), torch.zeros_like(x))
        outside = self.bounded & ((x < self.low) | (x > self.high))
        return z, torch.where(outside, torch.full_like(x, -math.inf), slope).sum(1)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        width = self.high - self.low
        u = torch.sigmoid(z)
        # rounding may lead past an end
        inside = torch.maximum(torch.minimum(self.low + width * u, self.high), self.low)
        edge = u.clamp(_EDGE, 1.0 - _EDGE)
        slope = torch.log(edge) + torch.log(1.0 - edge) + torch.log(width)
        log_det = torch.where(self.bounded, slope, torch.zeros_like(z)).sum(1)
        return torch.where(self.bounded, inside, z), log_det

    @override
    def prepare(self, x: Tensor, context: Tensor | None = None) -> None:
        """Refuse data outside, which have no density.

        Raises:
            DataError: with the column.
        """
        for place, (low, high) in self.bounds.items():
            least, most = float(x[:, place].min()), float(x[:, place].max())
            if least < low or most > high:
                raise DataError(
                    f"column {place} of the data goes from {least:g} to {most:g}, and is bounded to [{low:g}, {high:g}]"
                )


def intervals(size: int, what: str, given: Mapping[str, Sequence[float]]) -> dict[int, tuple[float, float]]:
    """Intervals by the places of columns, from a config.

    Raises:
        ConfigError: a place that is none, or no interval.
    """
    found = {}
    for key, pair in given.items():
        place = int(key) if str(key).isdecimal() else -1
        if not 0 <= place < size:
            raise ConfigError(f"{what} names column {key!r}, and there are columns 0 to {size - 1}")
        numbers = isinstance(pair, (list, tuple)) and len(pair) == 2 and all(isinstance(n, (int, float)) for n in pair)
        if not (numbers and -math.inf < pair[0] < pair[1] < math.inf):
            raise ConfigError(f"{what} of column {place} are two numbers, the lower first, not {pair!r}")
        found[place] = (float(pair[0]), float(pair[1]))
    return found
