import dataclasses
import math

import torch
from torch import nn

import zoo
from zoo.noise import Stream, normal, uniform
from zoo.programs import Graph, Port
from zoo_rejection.program import Rejection


class Resampled(zoo.DirectModel):
    """p(x) = q(x)·(a(x)·(1 - (1 - Z)^(T-1))/Z + (1 - Z)^(T-1)), Z = E_q[a], of a normal q and T rounds.

    Bauer & Mnih 2019, Resampled priors, arXiv:1810.11428, eq. 8.
    """

    family = "flow"

    def __init__(self, *, size: int, rounds: int = 4, hidden: int = 32):
        super().__init__()
        self.event_shape, self.rounds = (size,), rounds
        self.mean, self.log_std = nn.Parameter(torch.zeros(size)), nn.Parameter(torch.zeros(size))
        self.acceptance = nn.Sequential(nn.Linear(size, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.register_buffer("mean_acceptance", torch.tensor(0.5))

    def inverse(self, z, condition=None):
        return self.mean + self.log_std.exp() * z

    def accept(self, x):
        return torch.sigmoid(self.acceptance(x)[:, 0])

    def truncated(self, x, z):
        apart = (x - self.mean) * (-self.log_std).exp()
        proposed = -(0.5 * apart**2 + self.log_std + 0.5 * math.log(2 * math.pi)).sum(1)
        never = (1 - z) ** (self.rounds - 1)
        return proposed + torch.log(self.accept(x) * (1 - never) / z + never)

    def log_density(self, x, condition=None):
        return self.truncated(x, self.mean_acceptance)

    def prepare(self, x, condition=None):
        with torch.no_grad():
            self.mean_acceptance.copy_(self.some_acceptance(100_000))

    def some_acceptance(self, n):
        return self.accept(self.inverse(torch.randn(n, *self.event_shape).to(self.mean))).mean()

    def loss(self, x, *, condition=None):
        z = self.some_acceptance(1024)
        with torch.no_grad():
            self.mean_acceptance.lerp_(z, 0.05)
        return -self.truncated(x, z).mean()

    @torch.no_grad()
    def sample(self, n, *, condition=None, seed=0):
        z = torch.from_numpy(normal(seed, n, (self.rounds, *self.event_shape))).to(self.mean)
        u = torch.from_numpy(uniform(seed, n, (self.rounds,), stream=Stream.STEP)).to(z)
        x = self.inverse(z[:, 0])
        kept = u[:, 0] < self.accept(x)
        for turn in range(1, self.rounds):
            proposal = self.inverse(z[:, turn])
            x = torch.where(kept[:, None], x, proposal)
            kept = kept | (u[:, turn] < self.accept(proposal))
        return x

    def programs(self):
        programs = super().programs()
        x = Port("x", "float32", ("batch", *self.event_shape), "data")
        chance = Port("accept", "float32", ("batch",), "chance to keep x")
        graphs = (*programs.graphs, Graph("accept", Accept(self), (x,), (chance,)))
        return dataclasses.replace(programs, graphs=graphs, sample=Rejection("inverse", "accept", self.rounds))


class Accept(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.accept(x)
