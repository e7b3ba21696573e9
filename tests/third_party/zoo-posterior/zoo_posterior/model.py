import math

import torch
from torch import nn

import zoo
from zoo.programs import Port

CONDITION = zoo.Condition(
    (
        zoo.Part("readings", "numbers", (5,), meaning="heights of the line at five times from -1 to 1"),
        zoo.Part("instrument", "classes", size=2, labels=("fine", "coarse")),
    )
)


class Posterior(zoo.DirectModel):
    """Slope and intercept of a line given its readings: a normal with a mean and deviations from a network."""

    family = "flow"

    def __init__(self, *, hidden: int = 64, width: int = 16):
        super().__init__()
        self.event_shape = (2,)
        self.width = width
        self.condition_on(CONDITION)
        self.instrument = nn.Embedding(2, 4)
        self.embed = nn.Sequential(nn.Linear(5 + 4, hidden), nn.SiLU(), nn.Linear(hidden, width))
        self.head = nn.Linear(width, 4)

    def encode_condition(self, parts):
        return {"observed": self.embed(torch.cat([parts["readings"], self.instrument(parts["instrument"])], 1))}

    def encoded_ports(self):
        return (Port("observed", "float32", ("rows", self.width), "what was observed"),)

    def inverse(self, z, condition):
        mean, log_std = self.head(condition["observed"]).chunk(2, 1)
        return mean + log_std.exp() * z

    def log_density(self, x, condition):
        mean, log_std = self.head(condition["observed"]).chunk(2, 1)
        z = (x - mean) * (-log_std).exp()
        return (-0.5 * z**2 - log_std - 0.5 * math.log(2 * math.pi)).sum(1)
