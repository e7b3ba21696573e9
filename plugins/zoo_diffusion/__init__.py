"""Diffusion models. Importing this describes them; torch is imported when one is built."""

from __future__ import annotations

from zoo.registry.cards import Architecture, DistillationMethod, Family, Importer
from zoo.registry.hookspecs import hookimpl

_ARCHITECTURES = (
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
    Architecture(
        name="kl-autoencoder",
        summary="variational autoencoder of images, for diffusions of its latents",
        family="autoencoder",
        entry="zoo_diffusion.kl_autoencoder:KLAutoencoder",
        paper="Kingma & Welling 2014, Auto-encoding variational Bayes, arXiv:1312.6114",
    ),
    Architecture(
        name="latent",
        summary="diffusion of an autoencoder's latents, the decoder included",
        family="diffusion",
        entry="zoo_diffusion.latent:LatentDiffusion",
        paper="Rombach et al. 2022, High-resolution image synthesis with latent diffusion models, arXiv:2112.10752",
    ),
    Architecture(
        name="masked",
        summary="masked diffusion over texts and other sequences of symbols",
        family="diffusion",
        entry="zoo_diffusion.masked:MaskedDiffusion",
        paper=(
            "Austin et al. 2021, Structured denoising diffusion models in discrete state-spaces, arXiv:2107.03006; "
            "Sahoo et al. 2024, Simple and effective masked diffusion language models, arXiv:2406.07524"
        ),
    ),
    Architecture(
        name="unet2d",
        summary="U-Net diffusion over images whose network has the layout of diffusers' UNet2DModel",
        family="diffusion",
        entry="zoo_diffusion.unet2d:UNet2DDiffusion",
        paper="Ho, Jain & Abbeel 2020, Denoising diffusion probabilistic models, arXiv:2006.11239",
    ),
    Architecture(
        name="dit",
        summary="Transformer diffusion over images or latents, in the layout of DiT-XL/2",
        family="diffusion",
        entry="zoo_diffusion.dit:DiTDiffusion",
        paper="Peebles & Xie 2023, Scalable diffusion models with transformers, arXiv:2212.09748",
    ),
    Architecture(
        name="uvit",
        summary="Transformer diffusion with the long skips of a U-Net, in the layout of U-ViT",
        family="diffusion",
        entry="zoo_diffusion.uvit:UViTDiffusion",
        paper="Bao et al. 2023, All are worth words: a ViT backbone for diffusion models, arXiv:2209.12152",
    ),
    Architecture(
        name="adm",
        summary="U-Net diffusion over images, in the layout of ADM",
        family="diffusion",
        entry="zoo_diffusion.adm:ADMDiffusion",
        paper="Dhariwal & Nichol 2021, Diffusion models beat GANs on image synthesis, arXiv:2105.05233",
    ),
    Architecture(
        name="diffwave",
        summary="DiffWave over signals: gated dilated convolutions, conditional on classes or a vector",
        family="diffusion",
        entry="zoo_diffusion.diffwave:DiffWaveDiffusion",
        paper="Kong et al. 2021, DiffWave: a versatile diffusion model for audio synthesis, arXiv:2009.09761",
    ),
    Architecture(
        name="unet1d",
        summary="1-D U-Net diffusion over signals such as recordings, conditional on classes or a vector",
        family="diffusion",
        entry="zoo_diffusion.unet1d:UNet1dDiffusion",
        paper="Ho, Jain & Abbeel 2020, Denoising diffusion probabilistic models, arXiv:2006.11239",
    ),
)


@hookimpl
def zoo_architectures() -> list[Architecture]:
    """One for each network."""
    return list(_ARCHITECTURES)


@hookimpl
def zoo_families() -> list[Family]:
    """``zoo.Diffusion``."""
    return [
        Family(
            name="diffusion",
            summary="a diffusion or rectified flow around any network",
            entry="zoo_diffusion.diffusion:Diffusion",
            foreign="zoo_diffusion.foreign.denoiser:denoiser",
        )
    ]


@hookimpl
def zoo_importers() -> list[Importer]:
    """Models of diffusers."""
    return [
        Importer(
            name="diffusers",
            summary="folders with a UNet2DModel or DiTTransformer2DModel and its scheduler, in safetensors",
            entry="zoo_diffusion.from_diffusers.importer:load",
            describe="zoo_diffusion.from_diffusers.importer:describe",
            requires=("torch",),
        )
    ]


@hookimpl
def zoo_distillations() -> list[DistillationMethod]:
    """How a diffusion learns from another one, so that a few steps suffice."""
    return [
        DistillationMethod(
            name="consistency",
            summary="the student says where the ODE of the teacher ends, from anywhere",
            entry="zoo_diffusion.distillation.consistency:Consistency",
            paper=(
                "Song, Dhariwal, Chen & Sutskever 2023, Consistency models, arXiv:2303.01469; "
                "Song & Dhariwal 2024, Improved techniques for training consistency models, arXiv:2310.14189"
            ),
        ),
        DistillationMethod(
            name="reflow",
            summary="the student is trained on pairs of noise and sample of the teacher, which straightens its ODE",
            entry="zoo_diffusion.distillation.reflow:Reflow",
            paper=(
                "Liu, Gong & Liu 2023, Flow straight and fast: learning to generate and transfer data with rectified "
                "flow, arXiv:2209.03003"
            ),
        ),
    ]
