"""A 1-D U-Net over signals: that of :mod:`zoo_diffusion.networks.unet` with kernels one row high, over patches."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo_diffusion.networks.unet import UNet


class UNet1d(nn.Module):
    """A U-Net over signals ``[n, channels, length]``.

    Neighbouring samples are taken together as the channels of one position, which divides the positions, and with
    them most of the cost, by ``patch``; the first and the last convolution are then the network's filterbanks.

    Args:
        channels: of the signal.
        length: of the signal, divisible by ``patch`` times 2 for every level but the last.
        patch: neighbouring samples that make a position.
        unet: the other arguments of :class:`~zoo_diffusion.networks.unet.UNet`.
    """

    def __init__(self, *, channels: int, length: int, patch: int = 1, **unet: Any) -> None:
        super().__init__()
        if patch < 1 or length % patch:
            raise ConfigError(f"patch ({patch}) must divide the length {length}")
        self.patch = patch
        # an image one pixel high: convolutions over images are what CPUs are fastest at
        self.unet = UNet(channels=channels * patch, size=(1, length // patch), kernel=(1, 3), **unet)

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        """Predict; arguments as for :class:`~zoo_diffusion.networks.unet.UNet`, with ``x`` ``[n, channels, length]``.

        Returns:
            ``[n, channels, length]``.
        """
        predicted = self.unet(patched(x, self.patch)[:, :, None], time, condition)
        return unpatched(predicted.squeeze(2), self.patch)


def patched(x: Tensor, patch: int) -> Tensor:
    """Neighbours as channels: ``[n, c, length]`` to ``[n, c·patch, length/patch]``."""
    c, length = x.shape[1:]
    return x.reshape(-1, c, length // patch, patch).transpose(2, 3).reshape(-1, c * patch, length // patch)


def unpatched(x: Tensor, patch: int) -> Tensor:
    """The inverse of :func:`patched`."""
    c, positions = x.shape[1] // patch, x.shape[2]
    return x.reshape(-1, c, patch, positions).transpose(2, 3).reshape(-1, c, positions * patch)
