"""The cosine schedule between two log-SNRs (Salimans & Ho 2022)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from zoo.arrays import Float64Array
from zoo.errors import ConfigError
from zoo.paths.base import VariancePreserving


@dataclass(frozen=True)
class CosineLogSNR(VariancePreserving):
    """λ(t) = -2 ln tan(a·t + b): the cosine schedule between two log-SNRs.

    Salimans & Ho 2022, "Progressive distillation for fast sampling of diffusion models", eq. 4 and section 2.
    """

    log_snr_max: float = 13.0
    log_snr_min: float = -13.0
    name: ClassVar[str] = "cosine-log-snr"

    def __post_init__(self) -> None:
        """Refuse an empty range of log-SNRs."""
        if not self.log_snr_min < self.log_snr_max:
            raise ConfigError(f"log_snr_min ({self.log_snr_min}) must be below log_snr_max ({self.log_snr_max})")

    def _ends(self) -> tuple[float, float]:
        b = float(np.arctan(np.exp(-0.5 * self.log_snr_max)))
        return float(np.arctan(np.exp(-0.5 * self.log_snr_min))) - b, b

    def log_snr(self, t: ArrayLike) -> Float64Array:
        """λ(t)."""
        a, b = self._ends()
        return np.asarray(-2.0 * np.log(np.tan(a * np.asarray(t, np.float64) + b)))

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """t(λ) = (arctan(exp(-λ/2)) - b) / a."""
        a, b = self._ends()
        return np.asarray((np.arctan(np.exp(-0.5 * np.asarray(log_snr, np.float64))) - b) / a)
