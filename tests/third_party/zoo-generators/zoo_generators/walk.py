"""Short sequences of actions, each a step from the one before, which end by chance: events of variable length."""

import math

import torch
from torch import nn

from zoo.lengths import Length
from zoo.models.interface import DirectModel, Noise, largest


class Walk(DirectModel):
    """Actions ``[length, numbers + 1]``: the last number is 1 while the sequence goes on, and 0 after its end.

    x_t ~ N(keep · x_{t-1} + drift, deviation²), and after each action the sequence goes on with a probability.
    """

    family = "autoregressive"
    draws_symbols = True

    def __init__(self, *, event_shape):
        super().__init__()
        self.event_shape = tuple(event_shape)
        self.size = self.event_shape[1] - 1
        self.length = Length(mask=self.size)
        self.keep, self.drift = nn.Parameter(torch.tensor(0.5)), nn.Parameter(torch.zeros(self.size))
        self.log_deviation = nn.Parameter(torch.zeros(self.size))
        self.going_on = nn.Parameter(torch.ones(()))

    @property
    def noises(self):
        steps = self.event_shape[0]
        return (Noise("z", (steps, self.size)), Noise("end", (steps, 2), "gumbel"))

    def draw(self, noise, condition=None):
        z, scores = noise["z"], noise["end"] + torch.stack([torch.zeros_like(self.going_on), self.going_on])
        choice, margin = largest(scores)  # 1: another action follows
        within = torch.cat([torch.ones_like(choice[:, :1]), choice[:, :-1].cumprod(1)], 1)
        x, drawn = torch.zeros_like(z[:, 0]), []
        for t in range(self.event_shape[0]):
            x = self.keep * x + self.drift + self.log_deviation.exp() * z[:, t]
            drawn.append(x * within[:, t : t + 1])
        # the first action is sure to come, and the margin of another mask is that of the choice before
        margins = torch.cat([torch.full_like(margin[:, :1], 1e9), margin[:, :-1]], 1).unsqueeze(2)
        numbers = torch.stack(drawn, 1)
        others = torch.full_like(numbers, 1e9)
        return torch.cat([numbers, within.unsqueeze(2)], 2), torch.cat([others, margins], 2)

    def log_density(self, x, condition=None):
        numbers, within = x[:, :, :-1], (x[:, :, -1] >= 0.5).to(x.dtype).cumprod(1)
        before = torch.cat([torch.zeros_like(numbers[:, :1]), numbers[:, :-1]], 1)
        z = (numbers - self.keep * before - self.drift) * torch.exp(-self.log_deviation)
        each = -(0.5 * z * z + self.log_deviation + 0.5 * math.log(2 * math.pi)).sum(2)
        # what is after the end does not count, infinities of it neither
        steps = torch.where(within > 0, each, torch.zeros_like(each)).sum(1)
        goes = torch.nn.functional.logsigmoid(torch.stack([self.going_on, -self.going_on]))
        count = within.sum(1)
        ended = (count < self.event_shape[0]).to(x.dtype)
        total = steps + (count - 1).clamp(min=0) * goes[0] + ended * goes[1]
        return torch.where(count > 0, total, total.new_full((), -torch.inf))
