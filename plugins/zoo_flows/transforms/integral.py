"""The unconstrained monotonic map: an integral of a positive function (Wehenkel & Louppe 2019, arXiv:1908.05164)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor, nn

from zoo.overriding import override
from zoo_flows.transforms.bracket import IterativeMap


class IntegralMap(IterativeMap, nn.Module):
    """z = shift + ∫₀ˣ g(t; h) dt with a network's g > 0, by Gauss-Legendre quadrature with fixed nodes::

        g = exp(u/(1 + |u|/ln(largest)))        u = network(t, h)

    Beyond ±bound z continues as a straight line with the slope there, so the nodes cover every x. The slope is
    g itself: log-determinants, and gradients for x, are those of the integral, from which the quadrature differs by
    less, the smoother g is; hence tanh between the layers.

    Parameters of a component are the signal h and the shift. The network is one for all components, and its last layer
    starts at 0, where the map is the identity.

    Args:
        signal: length of h.
        hidden: widths of the network's hidden layers.
        nodes: of the quadrature.
        bound: see above.
        largest: the largest slope; the smallest is its inverse.
    """

    def __init__(
        self,
        signal: int = 16,
        *,
        hidden: Sequence[int] = (32, 32),
        nodes: int = 32,
        bound: float = 5.0,
        largest: float = 1e3,
    ) -> None:
        super().__init__()
        self.signal, self.bound, self.largest = signal, bound, largest
        self.time = nn.Linear(1, hidden[0], bias=False)
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([signal, *hidden, 1]))
        nn.init.zeros_(self._layer(-1).weight)
        nn.init.zeros_(self._layer(-1).bias)
        at, weights = np.polynomial.legendre.leggauss(nodes)
        # of [0, 1], in float64, which a buffer would lose
        self.nodes, self.weights = (0.5 * (1.0 + at)).tolist(), (0.5 * weights).tolist()

    @property
    @override
    def count(self) -> int:
        return self.signal + 1

    def prepared(self, parameters: Tensor) -> tuple[Tensor, Tensor]:
        """The first layer applied to the signal, and the shift."""
        signal, shift = torch.split(parameters, [self.signal, 1])
        return self._linear(0, signal), shift

    def ends(self, z: Tensor, prepared: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Between 0 and the bound; or beyond it, where the line is known."""
        low, high = torch.full_like(z, -self.bound), torch.full_like(z, self.bound)
        least, slope_low = self.values(low, prepared)
        largest, slope_high = self.values(high, prepared)
        up = z > prepared[1]
        first = torch.where(up, torch.where(z > largest, high, 0.0), low - torch.relu(least - z) / slope_low)
        last = torch.where(up, high + torch.relu(z - largest) / slope_high, torch.where(z < least, low, 0.0))
        return first, last

    @override
    def values(self, x: Tensor, prepared: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        signal, shift = prepared
        inside = x.clamp(-self.bound, self.bound)
        nodes, weights = (
            torch.tensor(each, dtype=x.dtype, device=x.device).view(-1, *[1] * (x.dim() - 1))
            for each in (self.nodes, self.weights)
        )
        # gradients for x are the integrand, and enter by the last term
        g = self._integrand(torch.cat([inside.detach() * nodes, inside]), signal)
        inner, slope = torch.split(g, [len(self.nodes), 1])
        mean = (weights * inner).sum(0, keepdim=True)
        z = shift + inside.detach() * mean + (x - inside).detach() * slope
        return (z + (x - x.detach()) * slope if x.requires_grad else z), slope

    def _integrand(self, at: Tensor, signal: Tensor) -> Tensor:
        """g ``[q, ...]`` at ``[q, ...]`` for the signal after the first layer, ``[h, ...]``."""
        axes = [1] * at.dim()
        u = torch.tanh(signal.unsqueeze(1) + self.time.weight.to(at.dtype).view(-1, *axes) * at)
        for index in range(1, len(self.layers) - 1):
            u = torch.tanh(self._linear(index, u))
        u = self._linear(-1, u).squeeze(0)
        return torch.exp(u / (1.0 + u.abs() / math.log(self.largest)))

    def _linear(self, index: int, value: Tensor) -> Tensor:
        """A layer, of units that stand along the first axis, in the precision of what it is given."""
        layer = self._layer(index)
        weight, bias = layer.weight.to(value.dtype), layer.bias.to(value.dtype)
        out = weight @ value.flatten(1) + bias.unsqueeze(1)
        return out.view(layer.out_features, *value.shape[1:])

    def _layer(self, index: int) -> nn.Linear:
        layer = self.layers[index]
        assert isinstance(layer, nn.Linear)
        return layer
