"""How a network is told the time and the condition."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class Sinusoids(nn.Module):
    """Sines and cosines of geometrically spaced frequencies (Vaswani et al. 2017, section 3.5).

    Frequency i of half is 10000^(-i/(half - shift)). The DDPM networks of Ho et al. have shift 1, so that the last is
    exactly 1/10000, and most later ones shift 0. They are rounded as the published networks were trained with them,
    exponent and exponential both in float32: at time 1000, the angle, another rounding would show in the fifth digit.

    Args:
        size: number of features; an odd one is filled up with a zero.
        cosines_first: cosines, then sines; else sines, then cosines.
        shift: see above.
    """

    def __init__(self, size: int, *, cosines_first: bool = True, shift: float = 0.0) -> None:
        super().__init__()
        half = size // 2
        self.cosines_first, self.odd = cosines_first, size % 2
        exponents = -math.log(10_000.0) * torch.arange(half, dtype=torch.float32) / (half - shift)
        self.register_buffer("frequencies", torch.exp(exponents), persistent=False)
        self.frequencies: Tensor

    def forward(self, time: Tensor) -> Tensor:
        """``[n]`` to ``[n, size]``."""
        angles = time[:, None] * self.frequencies[None]
        waves = [torch.sin(angles), torch.cos(angles)]
        features = torch.cat(waves[::-1] if self.cosines_first else waves, dim=-1)
        return F.pad(features, (0, 1)) if self.odd else features


class RandomFourier(nn.Module):
    """Sines and cosines of ln σ at random frequencies (Tancik et al. 2020; Song et al. 2021, appendix C).

    The frequencies are drawn once and saved with the weights, but not trained.

    Args:
        size: number of frequencies.
        scale: their standard deviation.
    """

    def __init__(self, size: int, scale: float = 16.0) -> None:
        super().__init__()
        self.weight = nn.Parameter(scale * torch.randn(size), requires_grad=False)

    def forward(self, time: Tensor) -> Tensor:
        """σ ``[n]``, above 0, to ``[n, 2·size]``."""
        angles = torch.log(time)[:, None] * self.weight[None] * 2 * math.pi
        return torch.cat([torch.sin(angles), torch.cos(angles)], dim=-1)


class TimeEmbedding(nn.Module):
    """Linear, SiLU, linear, from features of the time to the embedding that blocks take."""

    def __init__(self, features: int, size: int) -> None:
        super().__init__()
        self.linear_1 = nn.Linear(features, size)
        self.linear_2 = nn.Linear(size, size)

    def forward(self, features: Tensor) -> Tensor:
        """``[n, features]`` to ``[n, size]``."""
        embedding: Tensor = self.linear_2(F.silu(self.linear_1(features)))
        return embedding


class ConditionedNetwork(nn.Module):
    """A network that embeds classes, or a vector, or neither.

    Attributes:
        classes: an embedding of each class, or None.
        vector: a linear layer of the vector, or None.
    """

    classes: nn.Embedding | None
    vector: nn.Linear | None

    def embed(self, classes: int | None, vector: int | None, size: int) -> None:
        """Add the layers.

        Args:
            classes: number of classes including the null class, or None.
            vector: length of the condition vector, or None.
            size: length of the embedding.
        """
        self.classes = nn.Embedding(classes, size) if classes else None
        self.vector = nn.Linear(vector, size) if vector else None

    def embedded(self, condition: Tensor | None) -> Tensor | None:
        """Classes ``[n]`` or vectors ``[n, vector]`` to ``[n, size]``; None without either."""
        layer = self.vector if self.classes is None else self.classes
        if layer is None:
            return None
        embedding: Tensor = layer(condition)
        return embedding
