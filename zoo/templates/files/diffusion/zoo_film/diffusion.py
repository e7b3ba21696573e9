import math

import torch
from torch import nn

import zoo


class Network(nn.Module):
    """Layers whose outputs are scaled and shifted as time and class say (FiLM; Perez et al. 2018)."""

    def __init__(self, size, classes, hidden, layers):
        super().__init__()
        self.register_buffer("frequencies", math.pi / 2 * torch.arange(1, 9))
        self.embedding = nn.Embedding(classes + 1, 16)  # the last one stands for no class
        self.enter, self.leave = nn.Linear(size, hidden), nn.Linear(hidden, size)
        self.layers = nn.ModuleList(nn.Linear(hidden, hidden) for _ in range(layers))
        self.films = nn.ModuleList(nn.Linear(32, 2 * hidden) for _ in range(layers))

    def forward(self, x, time, condition=None):
        angles = time[:, None] / 1000 * self.frequencies
        seen = torch.cat([angles.sin(), angles.cos(), self.embedding(condition)], 1)
        h = self.enter(x)
        for layer, film in zip(self.layers, self.films, strict=True):
            scale, shift = film(seen).chunk(2, 1)
            h = h + nn.functional.silu((1 + scale) * layer(h) + shift)
        return self.leave(h)


class FiLMDiffusion(zoo.Diffusion):
    def __init__(self, *, size: int, classes: int, hidden: int = 64, layers: int = 2, **diffusion):
        condition = zoo.Condition.classes(classes, required=False)
        super().__init__(Network(size, classes, hidden, layers), (size,), condition=condition, **diffusion)
