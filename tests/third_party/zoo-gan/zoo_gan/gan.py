"""A generative adversarial network (Goodfellow et al. 2014, arXiv:1406.2661): it samples, and has no density."""

import torch
import torch.nn.functional as F
from torch import nn

from zoo.models.interface import DirectModel, Objective


class GAN(DirectModel):
    """A generator of data from noise, and a critic that learns to tell them from real ones; only the first is used."""

    family = "adversarial"
    density = "none"

    def __init__(self, *, event_shape, latent=4, hidden=32, penalty=0.1):
        super().__init__()
        self.event_shape, self.latent, self.penalty = tuple(event_shape), latent, penalty
        (size,) = self.event_shape
        self.generator = nn.Sequential(nn.Linear(latent, hidden), nn.SiLU(), nn.Linear(hidden, size))
        self.critic = nn.Sequential(nn.Linear(size, hidden), nn.SiLU(), nn.Linear(hidden, 1))

    @property
    def noise_shape(self):
        return (self.latent,)

    def inverse(self, z, condition=None):
        return self.generator(z)

    def objectives(self):
        return (
            Objective("loss of the critic", self.critic_loss, tuple(self.critic.parameters())),
            Objective("loss of the generator", self.loss, tuple(self.generator.parameters())),
        )

    def loss(self, x, *, condition=None):
        """That of the generator, without saturation."""
        return F.softplus(-self.critic(self.drawn(x))).mean()

    def critic_loss(self, x, *, condition=None):
        """Both kinds told apart, with a penalty on the slope at real data (Mescheder et al. 2018, eq. 9)."""
        x = x.detach().requires_grad_()
        real, drawn = self.critic(x), self.critic(self.drawn(x).detach())
        (slope,) = torch.autograd.grad(real.sum(), x, create_graph=True)
        return (F.softplus(-real) + F.softplus(drawn)).mean() + self.penalty * slope.square().sum(1).mean()

    def drawn(self, x):
        return self.generator(torch.randn(len(x), self.latent, device=x.device))
