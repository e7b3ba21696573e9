"""Betas with linear square roots (Rombach et al. 2022, "High-resolution image synthesis with latent diffusion")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zoo.arrays import Float64Array
from zoo.paths.discrete import Discrete


@dataclass(frozen=True)
class DDPMScaledLinear(Discrete):
    """√β from √``beta_start`` to √``beta_end`` in equal steps; the defaults are Stable Diffusion's."""

    beta_start: float = 0.00085
    beta_end: float = 0.012
    name: ClassVar[str] = "ddpm-scaled-linear"

    def betas(self) -> Float64Array:
        """β, ``[T]``."""
        # a negative bound gives NaN, which the constructor refuses
        with np.errstate(invalid="ignore"):
            roots = np.sqrt(np.array([self.beta_start, self.beta_end]))
        return np.asarray(np.linspace(roots[0], roots[1], self.num_timesteps) ** 2)
