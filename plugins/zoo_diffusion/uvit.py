"""Architecture ``uvit``: a diffusion over images or latents with the transformer of Bao et al. 2023."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from zoo_diffusion.networks.uvit import UViT
from zoo_diffusion.spatial import ImageDiffusion, network_arguments


class UViTDiffusion(ImageDiffusion):
    """A Gaussian diffusion with a U-ViT (Bao et al. 2023).

    Its arguments are those of the network and of :class:`~zoo_diffusion.spatial.SpatialDiffusion`. U-ViT-L/2 is
    ``embed_dim`` 1024, ``depth`` 20, ``num_heads`` 16, ``patch_size`` 2.

    Args:
        network: arguments of :class:`~zoo_diffusion.networks.uvit.UViT`.
        diffusion: arguments of :class:`~zoo_diffusion.spatial.SpatialDiffusion`.
    """

    @network_arguments(UViT)
    def __init__(self, network: Mapping[str, Any], **diffusion: Any) -> None:
        super().__init__(partial(UViT, **network), **diffusion)
