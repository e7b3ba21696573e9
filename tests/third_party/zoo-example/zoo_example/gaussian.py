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
        z = torch.linalg.solve_triangular(self.factor(), (x - self.mean).T, upper=False).T
        return -0.5 * (z**2 + math.log(2 * math.pi)).sum(1) - self.log_diagonal.sum()
