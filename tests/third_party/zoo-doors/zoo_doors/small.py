import math

import torch
from torch import nn

import zoo


class Network(nn.Module):
    def __init__(self, size, hidden):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(size + 1, hidden), nn.SiLU(), nn.Linear(hidden, size))

    def forward(self, x, time, condition=None):
        y = self.layers(torch.cat([x.flatten(1), time[:, None] / 1000], dim=1))
        return y.reshape(x.shape)


class Small(zoo.Diffusion):
    def __init__(self, *, event_shape: tuple[int, ...], hidden: int = 32, **diffusion):
        super().__init__(Network(math.prod(event_shape), hidden), tuple(event_shape), **diffusion)
