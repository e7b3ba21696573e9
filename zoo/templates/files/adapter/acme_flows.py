"""A library that genzoo does not know: one flow, written as people write them."""

import math

import torch
from torch import nn


class TriangularFlow(nn.Module):
    """x = L·z + b(c), with a triangular L and Laplace noise."""

    def __init__(self, size, context=0):
        super().__init__()
        self.size = size
        self.lower = nn.Parameter(0.3 * torch.randn(size, size))
        self.shift = nn.Linear(context or 1, size)

    def _matrix(self):
        return torch.tril(self.lower, -1) + torch.diag(self.lower.diagonal().exp())

    def _shift(self, x, c):
        return self.shift(x.new_zeros(len(x), 1) if c is None else c)

    def generate(self, z, c=None):
        return z @ self._matrix().T + self._shift(z, c)

    def log_likelihood(self, x, c=None):
        z = torch.linalg.solve_triangular(self._matrix(), (x - self._shift(x, c)).T, upper=False).T
        volume = x.new_zeros(len(x)) - self.lower.diagonal().sum()
        return volume - z.abs().sum(1) - self.size * math.log(2.0)
