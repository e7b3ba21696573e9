"""Normal bases: the standard one, and one whose means and deviations are learned."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.overriding import override
from zoo_flows.bases.base import Base, standard_log_prob
from zoo_flows.transforms.maps import AffineMap

_AFFINE = AffineMap()


class StandardNormal(Base):
    """N(0, I).

    Args:
        size: length d of z.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = self.noise_size = size

    @override
    def from_noise(self, noise: Tensor, context: Tensor | None = None) -> Tensor:
        return noise

    @override
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        return standard_log_prob(z)


class DiagonalNormal(Base):
    """Independent normals, which a context moves and scales; for classes, a normal for each.

    (z - mean)/deviation is an affine map of z, with its parameters; zeros give N(0, I).

    Args:
        size: length d of z.
        context: length of the context; 0 for none.
    """

    def __init__(self, size: int, *, context: int = 0) -> None:
        super().__init__()
        self.size = self.noise_size = size
        self.standardising = nn.Parameter(torch.zeros(_AFFINE.count, 1, size))
        self.context = nn.Linear(context, _AFFINE.count * size, bias=False) if context else None
        if self.context is not None:
            nn.init.zeros_(self.context.weight)

    @override
    def from_noise(self, noise: Tensor, context: Tensor | None = None) -> Tensor:
        return _AFFINE.inverse(noise.unsqueeze(0), self._maps(context)).squeeze(0)

    @override
    def log_prob(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        noise, log_slope = _AFFINE.forward(z.unsqueeze(0), self._maps(context))
        return standard_log_prob(noise.squeeze(0)) + log_slope.squeeze(0).sum(1)

    def _maps(self, context: Tensor | None) -> Tensor:
        if self.context is None or context is None:
            return self.standardising
        of_context: Tensor = self.context(context)
        return self.standardising + torch.unflatten(of_context, 1, (-1, self.size)).movedim(1, 0)
