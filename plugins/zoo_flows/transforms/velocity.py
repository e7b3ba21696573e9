"""The velocity field of a continuous flow: a network of x and of time whose derivatives are carried along by hand.

Forward mode: beside the values of a layer go their derivatives along some directions v, each layer's from those of the
layer before by the chain rule. With all unit vectors for directions that is the Jacobian, and its trace is exact;
with one random direction it is Hutchinson's estimate. No automatic differentiation is needed, so the divergence exports
like any other computation, and training differentiates it once like any other.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional as F


class Activation(NamedTuple):
    """A smooth function, and its slope, computed from x and the function's value."""

    value: Callable[[Tensor], Tensor]
    slope: Callable[[Tensor, Tensor], Tensor]


def _silu_slope(x: Tensor, y: Tensor) -> Tensor:
    gate = torch.sigmoid(x)
    return gate + y * (1.0 - gate)


ACTIVATIONS = {
    "tanh": Activation(torch.tanh, lambda x, y: 1.0 - y * y),
    # torch's threshold of 20, from which it takes x, shows in float64
    "softplus": Activation(lambda x: F.softplus(x, threshold=40.0), lambda x, y: torch.sigmoid(x)),
    "silu": Activation(F.silu, _silu_slope),
}
#: the features of time have these numbers of half periods in [0, 1]
_FREQUENCIES = 4


class VelocityMLP(nn.Module):
    """f(x, t; context) of vectors, a perceptron whose hidden layers are scaled and shifted by time and context.

    A scale is 1 + the output of a linear layer that starts at 0, as the last layer does, so at first f is 0. With
    shifts alone, f changes too little from noise to data: on moons, the distance from the entropy was three times as
    large.

    Args:
        size: length d of the vector.
        context: length of the context; 0 for none.
        hidden: width of the hidden layers.
        layers: number of hidden layers, 1 or more.
        activation: of :data:`ACTIVATIONS`.
    """

    def __init__(
        self, size: int, *, context: int = 0, hidden: int = 64, layers: int = 3, activation: str = "silu"
    ) -> None:
        super().__init__()
        self.size, self.hidden = size, hidden
        self.activation = ACTIVATIONS[activation]
        self.first = nn.Linear(size, hidden)
        self.inner = nn.ModuleList(nn.Linear(a, b) for a, b in pairwise([hidden] * layers))
        self.last = nn.Linear(hidden, size)
        #: scales of all hidden layers, then shifts
        self.time = nn.Linear(1 + 2 * _FREQUENCIES, 2 * layers * hidden, bias=False)
        self.context = nn.Linear(context, 2 * layers * hidden, bias=False) if context else None
        for modulation in (self.time, self.context) if self.context else (self.time,):
            nn.init.zeros_(modulation.weight[: layers * hidden])
        nn.init.zeros_(self.last.weight)
        nn.init.zeros_(self.last.bias)

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> Tensor:
        """The velocity.

        Args:
            x: ``[n, d]``.
            t: time in [0, 1], ``[n]``, or ``[1]`` for all.
            context: ``[n, c]``, or None.

        Returns:
            ``[n, d]``.
        """
        return self._through(x, t, context, None)[0]

    def pushed(self, x: Tensor, t: Tensor, context: Tensor | None, directions: Tensor) -> tuple[Tensor, Tensor]:
        """The velocity and its derivatives along directions.

        Args:
            x: ``[n, d]``.
            t: as for :meth:`forward`.
            context: ``[n, c]``, or None.
            directions: v, ``[k, n, d]``, or ``[k, 1, d]`` for all.

        Returns:
            f ``[n, d]``, and ∂f/∂x·v ``[k, n, d]``.
        """
        value, derivatives = self._through(x, t, context, directions)
        assert derivatives is not None
        return value, derivatives

    def _through(
        self, x: Tensor, t: Tensor, context: Tensor | None, along: Tensor | None
    ) -> tuple[Tensor, Tensor | None]:
        modulation = self.time(_features(t))
        if self.context is not None and context is not None:
            modulation = modulation + self.context(context)
        scales, shifts = (each.split(self.hidden, dim=1) for each in modulation.chunk(2, dim=1))
        value = x
        for layer, scale, shift in zip((self.first, *self.inner), scales, shifts, strict=True):
            before = layer(value) * (1.0 + scale) + shift
            value = self.activation.value(before)
            if along is not None:
                along = F.linear(along, layer.weight) * ((1.0 + scale) * self.activation.slope(before, value))
        return self.last(value), None if along is None else F.linear(along, self.last.weight)


def unit_vectors(x: Tensor) -> Tensor:
    """The directions ``[d, 1, d]`` along which derivatives make up the Jacobian, for ``x`` ``[n, d]``."""
    return torch.eye(x.shape[1], dtype=x.dtype, device=x.device).unsqueeze(1)


def random_signs(x: Tensor) -> Tensor:
    """One direction ``[1, n, d]`` for each of ``x`` ``[n, d]``, of components ±1 (Hutchinson 1990)."""
    return (torch.randint(0, 2, x.shape, device=x.device).to(x.dtype) * 2.0 - 1.0).unsqueeze(0)


def _features(t: Tensor) -> Tensor:
    """Time, and sines and cosines of it: ``[n]`` to ``[n, 9]``."""
    t = t.unsqueeze(1)
    angles = t * (math.pi * torch.arange(1, _FREQUENCIES + 1, dtype=t.dtype, device=t.device))
    return torch.cat([t, torch.cos(angles), torch.sin(angles)], dim=1)
