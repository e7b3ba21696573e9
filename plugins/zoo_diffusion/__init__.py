"""Diffusion models. Importing this describes them; torch is imported when one is built."""

from __future__ import annotations

from zoo.cards import Architecture
from zoo.hookspecs import hookimpl


@hookimpl
def zoo_architectures() -> list[Architecture]:
    """The U-Net."""
    return [
        Architecture(
            name="unet",
            summary="U-Net diffusion over images, conditional on classes or a vector",
            family="diffusion",
            entry="zoo_diffusion.unet:UNetDiffusion",
            paper=(
                "Ho, Jain & Abbeel 2020, Denoising diffusion probabilistic models, arXiv:2006.11239; "
                "Dhariwal & Nichol 2021, Diffusion models beat GANs on image synthesis, arXiv:2105.05233"
            ),
        )
    ]
