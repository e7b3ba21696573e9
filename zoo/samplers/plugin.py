"""The built-in samplers, described through the same hook as everybody else's."""

from __future__ import annotations

from zoo.cards import Sampler
from zoo.hookspecs import hookimpl


@hookimpl
def zoo_samplers() -> list[Sampler]:
    """DDPM and DDIM."""
    return [
        Sampler(
            name="ddim",
            summary="implicit model; deterministic at eta = 0",
            entry="zoo.samplers.ddim:ddim",
            paper="Song, Meng & Ermon 2021, Denoising diffusion implicit models, arXiv:2010.02502",
        ),
        Sampler(
            name="ddpm",
            summary="ancestral sampling",
            entry="zoo.samplers.ddpm:ddpm",
            stochastic=True,
            paper="Ho, Jain & Abbeel 2020, Denoising diffusion probabilistic models, arXiv:2006.11239",
        ),
    ]
