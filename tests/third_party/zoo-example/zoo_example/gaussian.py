import math

import torch
from torch import nn

import zoo


class Gaussian(zoo.DirectModel):
    """x = mean + L z, with z standard normal and L lower triangular."""

    family = "flow"

    def __init__(self, dim):
        super().__init__()
        self.event_shape = (dim,)
        self.mean = nn.Parameter(torch.zeros(dim))
        self.lower = nn.Parameter(torch.zeros(dim, dim))
        self.log_diagonal = nn.Parameter(torch.zeros(dim))

    def factor(self):
        return self.lower.tril(-1) + torch.diag(self.log_diagonal.exp())

    def inverse(self, z, condition=None):
        return self.mean + z @ self.factor().T

    def log_density(self, x, condition=None):
        factor, z = self.factor(), []
        for i in range(len(factor)):  # forward substitution solves L z = x - mean
            known = sum(factor[i, j] * z[j] for j in range(i))
            z.append((x[:, i] - self.mean[i] - known) / factor[i, i])
        return -0.5 * (torch.stack(z, 1) ** 2 + math.log(2 * math.pi)).sum(1) - self.log_diagonal.sum()
