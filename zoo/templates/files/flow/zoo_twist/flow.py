import torch
from torch import nn

import zoo
from zoo_flows.transforms import AffineMap, Coupling, Standardize, Transform


class Twist(Transform):
    """Turns points at a distance r from the origin by an angle that grows with r, and scales them by exp(w)."""

    def __init__(self):
        super().__init__()
        self.turn, self.log_scale = nn.Parameter(torch.zeros(())), nn.Parameter(torch.zeros(()))

    def forward(self, x, context=None):
        log_det = 2 * self.log_scale.expand(x.shape[0])
        return self.log_scale.exp() * self.turned(x, self.turn), log_det

    def inverse(self, z, context=None):
        log_det = -2 * self.log_scale.expand(z.shape[0])
        return self.turned((-self.log_scale).exp() * z, -self.turn), log_det

    def turned(self, x, turn):
        square = x.square().sum(1)
        angle = turn * square / (1 + square)
        cos, sin = angle.cos(), angle.sin()
        return torch.stack([cos * x[:, 0] - sin * x[:, 1], sin * x[:, 0] + cos * x[:, 1]], 1)


class Network(nn.Module):
    def __init__(self, inputs, outputs):
        super().__init__()
        self.layers = nn.Sequential(nn.Linear(inputs, 32), nn.Tanh(), nn.Linear(32, outputs))

    def forward(self, x, context=None):
        return self.layers(x)


class TwistFlow(zoo.Flow):
    def __init__(self, *, couplings: int = 4):
        layers = [Coupling(2, AffineMap(), Network, swap=i % 2 == 1) for i in range(couplings)]
        super().__init__((2,), [Standardize(2)], [Twist(), *layers])
