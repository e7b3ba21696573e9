"""The variance-exploding SDE (Song et al. 2021, "Score-based generative modeling through SDEs", eq. 30)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from zoo.arrays import Float64Array
from zoo.errors import ConfigError
from zoo.paths.base import VarianceExploding


@dataclass(frozen=True)
class VE(VarianceExploding):
    """α = 1, σ(t) = σ_min·(σ_max/σ_min)^t. The network is given σ, and takes its logarithm itself."""

    sigma_min: float = 0.01
    sigma_max: float = 50.0
    name: ClassVar[str] = "ve"

    def __post_init__(self) -> None:
        """Refuse an empty range of noise levels."""
        if not 0 < self.sigma_min < self.sigma_max:
            raise ConfigError("ve needs 0 < sigma_min < sigma_max")

    def noise_level(self, t: ArrayLike) -> Float64Array:
        """σ(t)."""
        return np.asarray(self.sigma_min * (self.sigma_max / self.sigma_min) ** np.asarray(t, np.float64))

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """t = ln(σ/σ_min) / ln(σ_max/σ_min), σ = exp(-λ/2)."""
        log_sigma = -0.5 * np.asarray(log_snr, np.float64)
        return np.asarray((log_sigma - np.log(self.sigma_min)) / np.log(self.sigma_max / self.sigma_min))

    def network_time(self, t: ArrayLike) -> Float64Array:
        """σ(t), as in the networks of Song et al."""
        return self.noise_level(t)
