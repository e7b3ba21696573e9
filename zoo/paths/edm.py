"""EDM (Karras et al. 2022, "Elucidating the design space of diffusion-based generative models")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from zoo.arrays import Float64Array
from zoo.errors import ConfigError
from zoo.paths.base import VarianceExploding


@dataclass(frozen=True)
class EDM(VarianceExploding):
    """α = 1, σ(t) = (σ_min^(1/ρ) + t·(σ_max^(1/ρ) - σ_min^(1/ρ)))^ρ, so that equal steps of t give the noise levels
    of eq. 5."""

    sigma_min: float = 0.002
    sigma_max: float = 80.0
    rho: float = 7.0
    name: ClassVar[str] = "edm"

    def __post_init__(self) -> None:
        """Refuse an empty range of noise levels, and invalid exponents."""
        if not 0 < self.sigma_min < self.sigma_max or not self.rho > 0:
            raise ConfigError("edm needs 0 < sigma_min < sigma_max and rho above 0")

    def _ends(self) -> tuple[float, float]:
        return self.sigma_min ** (1.0 / self.rho), self.sigma_max ** (1.0 / self.rho)

    def noise_level(self, t: ArrayLike) -> Float64Array:
        """σ(t)."""
        low, high = self._ends()
        return np.asarray((low + np.asarray(t, np.float64) * (high - low)) ** self.rho)

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """The inverse of σ(t) at σ = exp(-λ/2)."""
        low, high = self._ends()
        return np.asarray((np.exp(-0.5 * np.asarray(log_snr, np.float64) / self.rho) - low) / (high - low))

    def network_time(self, t: ArrayLike) -> Float64Array:
        """c_noise = ln σ / 4 (table 1)."""
        return np.asarray(0.25 * np.log(self.noise_level(t)))
