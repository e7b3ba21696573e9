"""A 1-D U-Net over signals: that of :mod:`zoo_diffusion.networks.unet` with kernels one row high, over patches."""

from __future__ import annotations

import inspect
from typing import Any

from torch import Tensor

from zoo.errors import ConfigError
from zoo.models.encoders import Attended
from zoo.overriding import override
from zoo_diffusion.networks.network import Network
from zoo_diffusion.networks.patches import check_patch, patched, unpatched
from zoo_diffusion.networks.unet import UNet


class UNet1d(Network):
    """A U-Net over signals ``[n, in_channels, length]``.

    Neighbouring samples are taken together as the channels of one position, which divides the positions, and with
    them most of the cost, by ``patch``; the first and the last convolution are then the network's filterbanks.

    Args:
        size: (length,), divisible by ``patch`` times 2 for every level but the last.
        patch: neighbouring samples that make a position.
        unet: the other arguments of :class:`~zoo_diffusion.networks.unet.UNet`.
    """

    def __init__(self, *, size: tuple[int], in_channels: int, out_channels: int, patch: int = 1, **unet: Any) -> None:
        super().__init__()
        (length,) = size
        levels = len(unet.get("multipliers", inspect.signature(UNet).parameters["multipliers"].default))
        if length % (needed := max(patch, 1) * 2 ** (levels - 1)):
            below = length // needed * needed
            nearest = f"{below} and {below + needed}" if below else str(needed)
            raise ConfigError(
                f"a U-Net of {levels} levels over patches of {patch} needs a length divisible by {needed}, "
                f"not {length}",
                hint=f"The nearest: {nearest}, which of a recording is its seconds times its rate.",
            )
        check_patch(patch, length)
        self.patch = patch
        # an image one pixel high: convolutions over images are what CPUs are fastest at
        self.unet = UNet(
            size=(1, length // patch),
            in_channels=in_channels * patch,
            out_channels=out_channels * patch,
            kernel=(1, 3),
            **unet,
        )

    @override
    def forward(
        self, x: Tensor, time: Tensor, condition: Tensor | None = None, attended: Attended | None = None
    ) -> Tensor:
        predicted = self.unet(patched(x, self.patch)[:, :, None], time, condition, attended)
        return unpatched(predicted.squeeze(2), self.patch)
