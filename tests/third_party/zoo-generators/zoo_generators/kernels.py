"""A kernel density estimate (Parzen 1962): it only scores."""

import math

import torch
from torch import nn

from zoo.models.interface import DirectModel


class Kernels(DirectModel):
    """Normal kernels around some of the training data, all of one width, which is trained."""

    family = "kernel-density"
    samples = False

    def __init__(self, *, event_shape, centres=64):
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.register_buffer("centres", torch.zeros(centres, *self.event_shape))
        self.log_width = nn.Parameter(torch.zeros(()))

    def prepare(self, x, condition=None):
        """The first data are the centres."""
        self.centres.copy_(x[: len(self.centres)])

    def examples(self, n):
        return self.centres[torch.arange(n) % len(self.centres)]

    def log_density(self, x, condition=None):
        apart = (x.unsqueeze(1) - self.centres).flatten(2) * torch.exp(-self.log_width)
        constant = apart.shape[2] * (self.log_width + 0.5 * math.log(2 * math.pi)) + math.log(len(self.centres))
        return torch.logsumexp(-0.5 * apart.square().sum(2), 1) - constant
