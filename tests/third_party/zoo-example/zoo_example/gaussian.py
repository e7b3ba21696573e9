import math

import torch

import zoo


class Gaussian(zoo.DirectModel):
    family = "flow"

    def __init__(self, dim):
        super().__init__()
        self.event_shape = (dim,)
        self.mean = torch.nn.Parameter(torch.zeros(dim))
        self.log_std = torch.nn.Parameter(torch.zeros(dim))

    def inverse(self, z, condition=None):
        return self.mean + self.log_std.exp() * z

    def log_density(self, x, condition=None):
        z = (x - self.mean) * (-self.log_std).exp()
        return (-0.5 * z**2 - self.log_std - 0.5 * math.log(2 * math.pi)).sum(1)
