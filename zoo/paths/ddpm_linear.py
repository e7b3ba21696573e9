"""DDPM's linear betas (Ho et al. 2020, section 4)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zoo.arrays import Float64Array
from zoo.paths.discrete import Discrete


@dataclass(frozen=True)
class DDPMLinear(Discrete):
    """β from ``beta_start`` to ``beta_end`` in equal steps for any T: not scaled by 1000/T."""

    beta_start: float = 1e-4
    beta_end: float = 0.02
    name: ClassVar[str] = "ddpm-linear"

    def betas(self) -> Float64Array:
        """β, ``[T]``."""
        return np.linspace(self.beta_start, self.beta_end, self.num_timesteps)
