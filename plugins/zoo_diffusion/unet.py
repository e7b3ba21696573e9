"""Architecture ``unet``: a diffusion over images with the U-Net of :mod:`zoo_diffusion.networks.unet`."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from zoo_diffusion.networks.unet import UNet
from zoo_diffusion.spatial import ATTENDING, ImageDiffusion, network_arguments


class UNetDiffusion(ImageDiffusion):
    """A Gaussian diffusion over images (Ho et al. 2020; Dhariwal & Nichol 2021).

    Its arguments are those of the network and of :class:`~zoo_diffusion.spatial.SpatialDiffusion`.

    Args:
        network: arguments of :class:`~zoo_diffusion.networks.unet.UNet`.
        diffusion: arguments of :class:`~zoo_diffusion.spatial.SpatialDiffusion`.
    """

    ways = ATTENDING

    @network_arguments(UNet)
    def __init__(self, network: Mapping[str, Any], **diffusion: Any) -> None:
        super().__init__(partial(UNet, **network), **diffusion)
