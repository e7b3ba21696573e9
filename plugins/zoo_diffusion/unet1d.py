"""Architecture ``unet1d``: a diffusion over signals with the U-Net of :mod:`zoo_diffusion.networks.unet1d`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from zoo_diffusion.networks.unet import UNet
from zoo_diffusion.networks.unet1d import UNet1d
from zoo_diffusion.spatial import SignalDiffusion, network_arguments


class UNet1dDiffusion(SignalDiffusion):
    """A Gaussian diffusion over signals, such as recordings.

    Its arguments are those of the network and of :class:`~zoo_diffusion.spatial.SpatialDiffusion`.

    Args:
        network: arguments of :class:`~zoo_diffusion.networks.unet1d.UNet1d`, those of its U-Net among them.
        diffusion: arguments of :class:`~zoo_diffusion.spatial.SpatialDiffusion`.
    """

    @network_arguments(UNet1d, UNet, defaults={"patch": 16, "base": 16, "multipliers": (4, 6, 8), "attention": ()})
    def __init__(self, network: Mapping[str, Any], **diffusion: Any) -> None:
        super().__init__(partial(UNet1d, **network), **diffusion)
