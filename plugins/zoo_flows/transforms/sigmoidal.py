"""The deep sigmoidal map of neural autoregressive flows (Huang et al. 2018, arXiv:1804.00779)."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
from torch import Tensor

from zoo.overriding import override
from zoo_flows.transforms.bracket import IterativeMap

#: how much of the map is the identity: no slope is below it, whatever the weights
_LINEAR = 1e-3
#: largest shift of sigmoids that begin apart
_APART = 0.6


@dataclass(frozen=True)
class SigmoidalMap(IterativeMap):
    """The logit of a mixture of K sigmoids, and a little of the identity::

        z = (1 - ε)·y + ε·x        y = logit(Σ wₖ·σ(cₖ))        cₖ = aₖ·(x + mₖ)

    with weights w on the simplex and a above 0; the paper's bₖ is aₖ·mₖ. It increases from -∞ to ∞, in straight lines
    at the ends, so nothing is clipped. ε = 1/1000 keeps slopes from vanishing between steep sigmoids. Of Σ wₖ·σ(cₖ) and
    Σ wₖ·σ(-cₖ) the logarithms are summed, which neither overflow nor cancel. With p and q, the sigmoids' shares of the
    one and of the other, the slope has no difference in it either::

        dy/dx = Σ pₖ·aₖ·σ(-cₖ) + Σ qₖ·aₖ·σ(cₖ)

    Since y lies between the least and the largest cₖ, x lies between the roots of K straight lines, and is found there
    (:mod:`~zoo_flows.transforms.bracket`).

    Parameters of a component are K logarithms of slopes, K shifts and K logits of weights. Zeros give the identity, in
    which all sigmoids are the same. What is the same gets the same gradient, so training begins at :meth:`apart`.

    Attributes:
        units: K.
        largest: slope a; the least is its inverse. The logarithm of a slope is u/(1 + \\|u\\|/ln(largest)).
    """

    units: int = 8
    largest: float = 100.0

    @property
    @override
    def count(self) -> int:
        return 3 * self.units

    @override
    def ends(self, z: Tensor, prepared: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        slopes, shifts, _ = prepared
        roots = (z - (1.0 - _LINEAR) * slopes * shifts) / ((1.0 - _LINEAR) * slopes + _LINEAR)
        return roots.amin(0, keepdim=True), roots.amax(0, keepdim=True)

    def prepared(self, parameters: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Slopes, shifts and logits, ``[K, ...]`` each; see :class:`~zoo_flows.transforms.bracket.IterativeMap`."""
        u, shifts, logits = parameters.chunk(3)
        slopes = torch.exp(u / (1.0 + u.abs() / math.log(self.largest)))
        return slopes, shifts, logits

    def apart(self) -> Tensor:
        """Parameters ``[3·K]`` that differ from sigmoid to sigmoid, of a map within 0.1 of the identity."""
        parameters = torch.zeros(3, self.units)
        if self.units > 1:
            parameters[1] = torch.linspace(-_APART, _APART, self.units)
        return parameters.flatten()

    @override
    def values(self, x: Tensor, prepared: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        slopes, shifts, logits = prepared
        c = slopes * (x + shifts)
        softplus = torch.relu(c) + torch.log(1.0 + torch.exp(-c.abs()))
        below = logits - softplus  # of wₖ·σ(-cₖ), up to what both have
        above_sum, above_slope = _mixed(below + c, slopes * torch.sigmoid(-c))
        below_sum, below_slope = _mixed(below, slopes * torch.sigmoid(c))
        y, slope = above_sum - below_sum, above_slope + below_slope
        return (1.0 - _LINEAR) * y + _LINEAR * x, (1.0 - _LINEAR) * slope + _LINEAR


def _mixed(logits: Tensor, values: Tensor) -> tuple[Tensor, Tensor]:
    """log Σ exp(logits), and the mean of values with these weights, over the first axis."""
    largest = logits.amax(0, keepdim=True).detach()
    weights = torch.exp(logits - largest)
    total = weights.sum(0, keepdim=True)
    return largest + torch.log(total), (weights * values).sum(0, keepdim=True) / total
