"""Architecture ``kl-autoencoder``: a variational autoencoder of images, whose latents are diffused by ``latent``."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import ClassVar

import torch
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.models.interface import DirectModel
from zoo.noise import normal
from zoo_diffusion.networks.autoencoder import decoder, encoder

#: of the noise that densities are estimated with
_SEED = 0
#: bounds of the posterior's log-variance, and the least deviation of an image from its reconstruction, in state units
_LOG_VARIANCE, _LEAST_DEVIATION = (-14.0, 4.0), 1e-3


class KLAutoencoder(DirectModel):
    """z ~ N(0, I), x ~ N(decode(z), s²), and q(z | x) = N(mean(x), deviation(x)²) (Kingma & Welling 2014).

    Trained by the evidence lower bound, its divergence weighted by ``beta``: 1 makes a generative model, which samples
    by decoding; a small weight, as in Rombach et al. 2022 (arXiv:2112.10752, section 3.1), makes latents that keep the
    content of an image, for a diffusion of them.

    Args:
        event_shape: (channels, height, width), with sides that can be halved as often as there are further widths.
        latent_channels: of a latent, whose sides are those of the coarsest level.
        widths: channels of each level; each further level halves the sides.
        beta: weight of the divergence.
        shift: data units of state 0, as of a diffusion; the networks work on (x - shift) / scale.
        scale: data units of one unit of state.
        data_min: samples are clipped to [data_min, data_max]; None for none.
        data_max: see ``data_min``.
        draws: K, of the density; see :meth:`log_density`.
    """

    family: ClassVar[str] = "autoencoder"
    density = "bound"

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        latent_channels: int = 4,
        widths: Sequence[int] = (32, 64, 64),
        beta: float = 1.0,
        shift: float = 0.0,
        scale: float = 1.0,
        data_min: float | None = None,
        data_max: float | None = None,
        draws: int = 8,
    ) -> None:
        super().__init__()
        halvings = 2 ** (len(widths) - 1)
        if len(event_shape) != 3 or not widths or any(side % halvings for side in event_shape[1:]):
            raise ConfigError(
                f"{len(widths)} widths need an event_shape [channels, height, width] whose sides are multiples of "
                f"{halvings}, not {list(event_shape)}"
            )
        if not (beta > 0 and scale > 0) or draws < 1 or latent_channels < 1:
            raise ConfigError("beta and scale must be above 0, with at least one latent channel and one draw")
        if (data_min is None) != (data_max is None):
            raise ConfigError("data_min and data_max must be given together")
        channels, height, width = event_shape
        self.event_shape = (channels, height, width)
        self.latent_shape = (latent_channels, height // halvings, width // halvings)
        self.beta, self.shift, self.scale, self.draws = beta, shift, scale, draws
        self.data_min, self.data_max = data_min, data_max
        self.encoder = encoder(channels, widths, 2 * latent_channels)
        self.decoder = decoder(latent_channels, widths, channels)
        self.log_deviation = nn.Parameter(torch.zeros(()))

    @property
    def noise_shape(self) -> tuple[int, ...]:
        """That of a latent."""
        return self.latent_shape

    def posterior(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Data ``[n, *event]`` to mean and log-variance of q(z | x), ``[n, *latent]`` each."""
        mean, log_variance = self.encoder((x - self.shift) / self.scale).chunk(2, dim=1)
        return mean, log_variance.clamp(*_LOG_VARIANCE)

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """Latents ``[n, *latent]`` to the mean of the data, within their range."""
        x: Tensor = self.shift + self.scale * self.decoder(z)
        return x if self.data_min is None or self.data_max is None else x.clamp(self.data_min, self.data_max)

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """An estimate of a lower bound of the log-density: that of Burda et al. 2016 (arXiv:1509.00519, eq. 8).

        log 1/K Σ p(x, z_k)/q(z_k | x) with z_k from q by the same K draws of noise for every x, so that the same data
        have the same value.
        """
        mean, log_variance = self.posterior(x)
        noise = torch.from_numpy(normal(_SEED, self.draws, self.latent_shape)).to(x)
        weights = []
        for eps in noise:
            z = mean + torch.exp(0.5 * log_variance) * eps
            log_q = -0.5 * (log_variance + eps * eps + math.log(2 * math.pi))
            log_p = -0.5 * (z * z + math.log(2 * math.pi))
            weights.append((log_p - log_q).flatten(1).sum(1) + self._log_likelihood(x, z))
        return torch.logsumexp(torch.stack(weights), dim=0) - math.log(self.draws)

    def loss(self, x: Tensor, *, condition: Tensor | None = None) -> Tensor:
        """The negative evidence lower bound with its divergence weighted, per number of the image, in nats."""
        mean, log_variance = self.posterior(self.check_data(x))
        z = mean + torch.exp(0.5 * log_variance) * torch.randn_like(mean)
        divergence = 0.5 * (mean * mean + log_variance.exp() - 1 - log_variance).flatten(1).sum(1)
        return (self.beta * divergence - self._log_likelihood(x, z)).mean() / math.prod(self.event_shape)

    def _log_likelihood(self, x: Tensor, z: Tensor) -> Tensor:
        """log p(x | z), ``[n]``, in data units."""
        deviation = torch.exp(self.log_deviation) + _LEAST_DEVIATION
        errors = ((x - self.shift) / self.scale - self.decoder(z)) / deviation
        each: Tensor = 0.5 * errors * errors + torch.log(deviation) + 0.5 * math.log(2 * math.pi) + math.log(self.scale)
        return -each.flatten(1).sum(1)
