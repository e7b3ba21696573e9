"""A variational autoencoder (Kingma & Welling 2014, arXiv:1312.6114): its density is a bound."""

import math

import torch
from torch import nn

from zoo.models.interface import DirectModel
from zoo.noise import normal


class VAE(DirectModel):
    """z ~ N(0, I), x ~ N(decode(z), s²), and q(z | x) = N(mean(x), deviation(x)²)."""

    family = "autoencoder"
    density = "bound"

    def __init__(self, *, event_shape, latent=2, hidden=32, draws=16):
        super().__init__()
        self.event_shape, self.latent, self.draws = tuple(event_shape), latent, draws
        (size,) = self.event_shape
        self.encoder = nn.Sequential(nn.Linear(size, hidden), nn.SiLU(), nn.Linear(hidden, 2 * latent))
        self.decoder = nn.Sequential(nn.Linear(latent, hidden), nn.SiLU(), nn.Linear(hidden, size))
        self.log_deviation = nn.Parameter(torch.zeros(()))

    @property
    def noise_shape(self):
        return (self.latent + self.event_shape[0],)

    def inverse(self, z, condition=None):
        return self.decoder(z[:, : self.latent]) + self.log_deviation.exp() * z[:, self.latent :]

    def log_density(self, x, condition=None):
        """log 1/K Σ p(x, z_k)/q(z_k | x), z_k from q by the same noise for every x (Burda et al. 2016, eq. 8)."""
        noise = torch.from_numpy(normal(0, self.draws, (self.latent,))).to(x)
        return torch.stack([self.log_weight(x, eps) for eps in noise]).logsumexp(0) - math.log(self.draws)

    def loss(self, x, *, condition=None):
        return -self.log_weight(x, torch.randn(len(x), self.latent, device=x.device)).mean()

    def log_weight(self, x, eps):
        mean, log_deviation = self.encoder(x).chunk(2, 1)
        log_deviation = log_deviation.clamp(-5, 2)
        z = mean + log_deviation.exp() * eps
        errors = (x - self.decoder(z)) * torch.exp(-self.log_deviation)
        prior, posterior = log_normal(z), log_normal(eps.expand_as(z)) - log_deviation.sum(1)
        return log_normal(errors) - x.shape[1] * self.log_deviation + prior - posterior


def log_normal(x):
    return -0.5 * (x * x + math.log(2 * math.pi)).sum(1)
