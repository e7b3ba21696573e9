"""Architecture ``dit``: a diffusion over images or latents with the transformer of Peebles & Xie 2023."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from zoo_diffusion.networks.dit import DiT
from zoo_diffusion.spatial import ATTENDING, ImageDiffusion, network_arguments


class DiTDiffusion(ImageDiffusion):
    """A Gaussian diffusion with a DiT (Peebles & Xie 2023); with path ``rectified-flow`` and prediction ``velocity``
    it is SiT's (Ma et al. 2024).

    Its arguments are those of the network and of :class:`~zoo_diffusion.spatial.SpatialDiffusion`. DiT-XL/2 is
    ``hidden_size`` 1152, ``depth`` 28, ``num_heads`` 16, ``patch_size`` 2.

    Args:
        network: arguments of :class:`~zoo_diffusion.networks.dit.DiT`.
        diffusion: arguments of :class:`~zoo_diffusion.spatial.SpatialDiffusion`.
    """

    ways = ATTENDING

    @network_arguments(DiT)
    def __init__(self, network: Mapping[str, Any], **diffusion: Any) -> None:
        super().__init__(partial(DiT, **network), **diffusion)
