"""Architecture ``latent``: a diffusion of an autoencoder's latents, with the decoder in its bundle."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, ClassVar

import torch
from torch import Tensor

from zoo.errors import ConfigError, UnknownNameError
from zoo.overriding import override
from zoo_diffusion.codec import LatentCodec
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.dit import DiTDiffusion
from zoo_diffusion.kl_autoencoder import KLAutoencoder
from zoo_diffusion.unet import UNetDiffusion

#: the networks of latents, by architecture
NETWORKS: dict[str, Callable[..., Diffusion]] = {"unet": UNetDiffusion, "dit": DiTDiffusion}


class Latents(LatentCodec):
    """Latents of an autoencoder, with mean 0 and deviation 1 over the training data.

    Args:
        autoencoder: the autoencoder, which is not trained.
    """

    mean: Tensor
    deviation: Tensor

    #: samples that mean and deviation are fitted to
    FITTED: ClassVar[int] = 2048

    def __init__(self, autoencoder: KLAutoencoder) -> None:
        super().__init__()
        self.autoencoder = autoencoder.requires_grad_(False)
        self.latent_shape = autoencoder.latent_shape
        channels = self.latent_shape[0]
        self.register_buffer("mean", torch.zeros(channels, 1, 1))
        self.register_buffer("deviation", torch.ones(channels, 1, 1))

    @override
    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """The mean of q(z | x)."""
        latent = (self.autoencoder.posterior(x)[0] - self.mean) / self.deviation
        return latent, torch.zeros_like(x.flatten(1)[:, 0])

    @override
    def decode(self, latent: Tensor) -> Tensor:
        return self.autoencoder.inverse(self.mean + self.deviation * latent)

    @torch.no_grad()
    @override
    def prepare(self, x: Tensor) -> None:
        latents = torch.cat([self.autoencoder.posterior(part)[0] for part in torch.split(x[: self.FITTED], 256)])
        self.mean.copy_(latents.mean((0, 2, 3))[:, None, None])
        self.deviation.copy_(latents.std((0, 2, 3))[:, None, None].clamp(min=1e-3))


class LatentDiffusion(Diffusion):
    """A diffusion of latents (Rombach et al. 2022, arXiv:2112.10752).

    Its autoencoder is trained first, as a separate model; a recipe names it (``[model] parts``), and it stays
    unchanged. Latents are not a bijection of the data, so this model does not score.

    Args:
        event_shape: shape of one sample.
        autoencoder: config of a :class:`~zoo_diffusion.kl_autoencoder.KLAutoencoder`, without its event_shape.
        network: of the latents: ``kind``, ``"unet"`` or ``"dit"``, and its config.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        conditioning: how each named part of it goes in, see :mod:`zoo.models.encoding`; or None.
        diffusion: the other arguments of :class:`~zoo_diffusion.diffusion.Diffusion`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        autoencoder: Mapping[str, Any],
        network: Mapping[str, Any],
        condition: Mapping[str, object] | None = None,
        conditioning: Mapping[str, object] | None = None,
        **diffusion: Any,
    ) -> None:
        options = dict(network)
        kind = str(options.pop("kind", "unet"))
        if kind not in NETWORKS:
            raise UnknownNameError("network of latents", kind, NETWORKS)
        try:
            codec = Latents(KLAutoencoder(event_shape=event_shape, **autoencoder))
            inner = NETWORKS[kind](
                event_shape=codec.latent_shape, condition=condition, conditioning=conditioning, **options
            )
        except TypeError as error:
            raise ConfigError(f"latent diffusion: {error}") from None
        super().__init__(
            inner.network,
            codec.autoencoder.event_shape,
            condition=inner.condition,
            encoder=inner.encoder_module,
            codec=codec,
            **diffusion,
        )
