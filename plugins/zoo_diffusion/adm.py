"""Architecture ``adm``: a diffusion over images with the U-Net of Dhariwal & Nichol 2021."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import Any

from zoo_diffusion.networks.adm import ADM
from zoo_diffusion.spatial import ImageDiffusion, network_arguments


class ADMDiffusion(ImageDiffusion):
    """A Gaussian diffusion with ADM's U-Net (Dhariwal & Nichol 2021).

    Its arguments are those of the network, which have the names of the published code, and of
    :class:`~zoo_diffusion.spatial.SpatialDiffusion`. The defaults are a small network's. The published networks predict
    ε and their variance, over the path ``ddpm-cosine`` at 64×64 and ``ddpm-linear`` above; their classes have no null
    class (``required = true``).

    Args:
        network: arguments of :class:`~zoo_diffusion.networks.adm.ADM`.
        diffusion: arguments of :class:`~zoo_diffusion.spatial.SpatialDiffusion`.
    """

    @network_arguments(ADM)
    def __init__(self, network: Mapping[str, Any], **diffusion: Any) -> None:
        super().__init__(partial(ADM, **network), **diffusion)
