"""A flow whose samples are accepted or thrown away by a network (Bauer & Mnih 2019, arXiv:1810.11428)."""

import math

import torch
from torch import nn

from zoo import noise
from zoo.models.building import build
from zoo.models.interface import GenerativeModel, check_count, check_seed
from zoo.programs import Direct, Graph, Programs
from zoo.programs.ports import Port
from zoo.registry import installed
from zoo_rejection.program import Rejection


class Resampled(GenerativeModel):
    """p(x) = q(x)·(a(x)·(1 - (1 - Z)^(T-1))/Z + (1 - Z)^(T-1)), Z = E_q[a] (eq. 8), of a flow q and T rounds."""

    family = "flow"

    def __init__(self, *, flow, rounds=4, hidden=16):
        super().__init__()
        self.flow = build(installed(), flow["architecture"], flow["config"])
        self.event_shape, self.rounds = self.flow.event_shape, rounds
        size = math.prod(self.event_shape)
        self.acceptance = nn.Sequential(nn.Linear(size, hidden), nn.Tanh(), nn.Linear(hidden, 1))
        self.register_buffer("mean_acceptance", torch.tensor(0.5))

    def accept(self, x):
        return torch.sigmoid(self.acceptance(x.flatten(1))[:, 0])

    def log_density(self, x, flow, z):
        never = (1 - z) ** (self.rounds - 1)
        return flow.log_density(x) + torch.log(self.accept(x) * (1 - never) / z + never)

    def prepare(self, x):
        self.flow.prepare(x)

    def loss(self, x, *, condition=None):
        proposals = self.flow.inverse(torch.randn(256, *self.flow.noise_shape, device=self.device))
        z = self.accept(proposals).mean()
        with torch.no_grad():
            self.mean_acceptance.lerp_(z, 0.05)
        return -self.log_density(x, self.flow, z).mean()

    def log_prob(self, x, *, condition=None):
        return self.log_density(self.check_data(x), self.flow, self.mean_acceptance)

    @torch.no_grad()
    def sample(self, n, *, condition=None, seed=None):
        n, seed = check_count(n), check_seed(seed)
        z = torch.from_numpy(noise.normal(seed, n, (self.rounds, *self.flow.noise_shape))).to(self.mean_acceptance)
        u = torch.from_numpy(noise.uniform(seed, n, (self.rounds,), stream=noise.Stream.STEP)).to(z)
        x = self.flow.inverse(z[:, 0])
        kept = u[:, 0] < self.accept(x)
        for turn in range(1, self.rounds):
            proposal = self.flow.inverse(z[:, turn])
            x = torch.where(kept[:, None], x, proposal)
            kept = kept | (u[:, turn] < self.accept(proposal))
        return x

    def programs(self):
        (inverse,) = (graph for graph in self.flow.programs().graphs if graph.name == "inverse")
        x = Port("x", "float32", ("batch", *self.event_shape), "data")
        return Programs(
            graphs=(
                inverse,
                Graph("accept", Accept(self), (x,), (Port("accept", "float32", ("batch",), "chance to keep x"),)),
                Graph("log_prob", Density(self), (x,), (Port("log_prob", "float32", ("batch",), "log-density"),)),
            ),
            sample=Rejection("inverse", "accept", self.rounds),
            log_prob=Direct("log_prob"),
        )


class Accept(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model = model

    def forward(self, x):
        return self.model.accept(x)


class Density(nn.Module):
    def __init__(self, model):
        super().__init__()
        self.model, self.flow = model, model.flow.frozen()

    def forward(self, x):
        return self.model.log_density(x, self.flow, self.model.mean_acceptance)
