"""The trigonometric path (Albergo & Vanden-Eijnden 2023, "Building normalizing flows with stochastic interpolants")."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from zoo.arrays import Float64Array
from zoo.errors import ConfigError
from zoo.paths.base import VariancePreserving


@dataclass(frozen=True)
class Trigonometric(VariancePreserving):
    """α = cos(π·t/2), σ = sin(π·t/2): the angle whose tangent is the noise level grows evenly.

    Albergo & Vanden-Eijnden 2023, eq. 5, counted from data to noise; also the schedule of Salimans & Ho 2022,
    "Progressive distillation", section 2, and t = 2/π·arctan(σ/α) the time of their networks.

    Attributes:
        t_min: the smallest t at which spacings evaluate the network, since σ(0) = 0.
    """

    t_min: float = 1e-3
    name: ClassVar[str] = "trigonometric"

    def __post_init__(self) -> None:
        """Refuse a smallest time that leaves no path."""
        if not 0 < self.t_min < 1:
            raise ConfigError("trigonometric needs t_min between 0 and 1")

    @property
    def zero_terminal_snr(self) -> bool:
        """α(1) = 0."""
        return True

    def log_snr(self, t: ArrayLike) -> Float64Array:
        """λ = 2 ln cot(π·t/2); infinite at the two ends."""
        t = np.asarray(t, np.float64)
        # the sine of the complement, as the cosine of a rounded π/2 is not 0
        with np.errstate(divide="ignore"):
            return np.asarray(2.0 * (np.log(np.sin(0.5 * np.pi * (1.0 - t))) - np.log(np.sin(0.5 * np.pi * t))))

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """t = 2/π·arctan(exp(-λ/2))."""
        with np.errstate(over="ignore"):
            return np.asarray(2.0 / np.pi * np.arctan(np.exp(-0.5 * np.asarray(log_snr, np.float64))))
