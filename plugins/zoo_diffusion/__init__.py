"""Diffusion models. Importing this describes them; torch is imported when one is built."""

from __future__ import annotations

from zoo.cards import Architecture
from zoo.hookspecs import hookimpl


@hookimpl
def zoo_architectures() -> list[Architecture]:
    """One for each network."""
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
        ),
        Architecture(
            name="mlp",
            summary="residual network diffusion or rectified flow over vectors",
            family="diffusion",
            entry="zoo_diffusion.mlp:MLPDiffusion",
            paper=(
                "Ho, Jain & Abbeel 2020, Denoising diffusion probabilistic models, arXiv:2006.11239; "
                "Liu, Gong & Liu 2023, Flow straight and fast: learning to generate and transfer data with rectified "
                "flow, arXiv:2209.03003"
            ),
        ),
    ]
