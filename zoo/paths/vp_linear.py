"""The variance-preserving SDE with linear β(t) (Song et al. 2021)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from zoo.arrays import Float64Array
from zoo.errors import ConfigError
from zoo.paths.base import VariancePreserving


@dataclass(frozen=True)
class LinearBeta(VariancePreserving):
    """The variance-preserving SDE with β(t) linear: ln α(t) = -t²(β₁ - β₀)/4 - tβ₀/2.

    Song et al. 2021, "Score-based generative modeling through SDEs", eq. 33; the limit of DDPM's linear betas
    (Ho et al. 2020) as the number of timesteps grows. ``start`` keeps the noise level above zero at t = 0.
    """

    beta_min: float = 0.1
    beta_max: float = 20.0
    start: float = 1e-5
    name: ClassVar[str] = "vp-linear"

    def __post_init__(self) -> None:
        """Refuse betas that do not increase from above zero."""
        if not 0 < self.beta_min < self.beta_max or not 0 < self.start < 1:
            raise ConfigError("vp-linear needs 0 < beta_min < beta_max and 0 < start < 1")

    def log_snr(self, t: ArrayLike) -> Float64Array:
        """λ(t) = -ln(exp(-2 ln α) - 1), at u = start + (1 - start)·t."""
        u = self.start + (1.0 - self.start) * np.asarray(t, np.float64)
        minus_two_log_alpha = 0.5 * u**2 * (self.beta_max - self.beta_min) + u * self.beta_min
        return np.asarray(-np.log(np.expm1(minus_two_log_alpha)))

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """The positive root of ½(β₁-β₀)u² + β₀u = ln(1 + e^-λ)."""
        target = np.logaddexp(0.0, -np.asarray(log_snr, np.float64))
        slope = self.beta_max - self.beta_min
        u = 2.0 * target / (self.beta_min + np.sqrt(self.beta_min**2 + 2.0 * slope * target))
        return np.asarray((u - self.start) / (1.0 - self.start))
