"""The sub-VP SDE (Song et al. 2021, "Score-based generative modeling through SDEs", eqs. 13 and 29)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from zoo.arrays import Float64Array
from zoo.errors import ConfigError
from zoo.paths.base import GaussianPath


@dataclass(frozen=True)
class SubVP(GaussianPath):
    """α = exp(-B/2), σ = 1 - exp(-B), where B(t) = ∫β is that of ``vp-linear``: α² + σ² < 1 between the ends.

    ``start`` keeps the noise level above zero at t = 0.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    start: float = 1e-3
    name: ClassVar[str] = "sub-vp"

    def __post_init__(self) -> None:
        """Refuse betas that do not increase from above zero."""
        if not 0 < self.beta_min < self.beta_max or not 0 < self.start < 1:
            raise ConfigError("sub-vp needs 0 < beta_min < beta_max and 0 < start < 1")

    def _integral(self, t: ArrayLike) -> Float64Array:
        u = self.start + (1.0 - self.start) * np.asarray(t, np.float64)
        return np.asarray(0.5 * u**2 * (self.beta_max - self.beta_min) + u * self.beta_min)

    def alpha_sigma(self, t: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """(exp(-B/2), 1 - exp(-B))."""
        integral = self._integral(t)
        return np.exp(-0.5 * integral), -np.expm1(-integral)

    def log_snr(self, t: ArrayLike) -> Float64Array:
        """λ = -2 ln(σ/α), and σ/α = 2 sinh(B/2)."""
        return np.asarray(-2.0 * np.log(2.0 * np.sinh(0.5 * self._integral(t))))

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """B = 2 arsinh(exp(-λ/2)/2), then the positive root u of ½(β₁-β₀)u² + β₀u = B."""
        integral = 2.0 * np.arcsinh(0.5 * np.exp(-0.5 * np.asarray(log_snr, np.float64)))
        slope = self.beta_max - self.beta_min
        u = 2.0 * integral / (self.beta_min + np.sqrt(self.beta_min**2 + 2.0 * slope * integral))
        return np.asarray((u - self.start) / (1.0 - self.start))
