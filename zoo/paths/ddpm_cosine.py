"""The cosine schedule of ᾱ (Nichol & Dhariwal 2021, "Improved denoising diffusion probabilistic models", eq. 17)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zoo.arrays import Float64Array
from zoo.paths.discrete import Discrete


@dataclass(frozen=True)
class DDPMCosine(Discrete):
    """ᾱ(u) = cos²(π/2·(u + offset)/(1 + offset)), β_i = min(1 - ᾱ((i + 1)/T)/ᾱ(i/T), ``beta_max``)."""

    offset: float = 0.008
    beta_max: float = 0.999
    name: ClassVar[str] = "ddpm-cosine"

    def betas(self) -> Float64Array:
        """β, ``[T]``."""
        u = np.arange(self.num_timesteps + 1) / self.num_timesteps
        bar = np.cos(0.5 * np.pi * (u + self.offset) / (1.0 + self.offset)) ** 2
        return np.asarray(np.minimum(1.0 - bar[1:] / bar[:-1], self.beta_max))
