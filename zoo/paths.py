"""Gaussian paths x_t = α(t)·x₀ + σ(t)·ε in float64 NumPy.

A path says how data turns into noise: t = 0 is (nearly) data, t = 1 (nearly) noise. Everything that samples, trains
or scores a diffusion sees the path through α, σ and the noise level σ/α, in which all Gaussian paths have the same
probability-flow ODE (Karras et al. 2022, "Elucidating the design space", eq. 1 with s(t) = 1)::

    d(x/α) / d(σ/α) = (x/α - D(x, t)) / (σ/α)

A path is data too: ``path.describe()`` is what a manifest stores and :func:`path_from` reads back. A named path never
changes after release; a better one gets a new name.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zoo.errors import ConfigError, UnknownNameError

Array = NDArray[np.float64]


class Path(ABC):
    """A Gaussian path. Subclasses are frozen dataclasses whose fields are the path's parameters."""

    name: ClassVar[str]
    #: whether α(1) = 0 exactly, where ε says nothing about x₀
    zero_terminal_snr: ClassVar[bool] = False

    @abstractmethod
    def log_snr(self, t: ArrayLike) -> Array:
        """λ(t) = ln α²/σ², strictly decreasing in t ∈ [0, 1]."""

    @abstractmethod
    def time_at(self, log_snr: ArrayLike) -> Array:
        """The inverse of :meth:`log_snr`."""

    @abstractmethod
    def alpha_sigma(self, t: ArrayLike) -> tuple[Array, Array]:
        """(α(t), σ(t))."""

    def network_time(self, t: ArrayLike) -> Array:
        """What the network is given for t: here 1000·t, the scale that sinusoidal embeddings are built for."""
        return 1000.0 * np.asarray(t, np.float64)

    def describe(self) -> dict[str, Any]:
        """Name and parameters, as JSON values."""
        return {"name": self.name, **asdict(self)}  # type: ignore[call-overload]


class VariancePreserving(Path):
    """Paths with α² + σ² = 1, given by their log-SNR alone."""

    def alpha_sigma(self, t: ArrayLike) -> tuple[Array, Array]:
        """α = √sigmoid(λ), σ = √sigmoid(-λ)."""
        log_snr = self.log_snr(t)
        return np.exp(-0.5 * np.logaddexp(0, -log_snr)), np.exp(-0.5 * np.logaddexp(0, log_snr))


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

    def log_snr(self, t: ArrayLike) -> Array:
        """λ(t)."""
        a, b = self._ends()
        return np.asarray(-2.0 * np.log(np.tan(a * np.asarray(t, np.float64) + b)))

    def time_at(self, log_snr: ArrayLike) -> Array:
        """t(λ) = (arctan(exp(-λ/2)) - b) / a."""
        a, b = self._ends()
        return np.asarray((np.arctan(np.exp(-0.5 * np.asarray(log_snr, np.float64))) - b) / a)


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
        """Refuse betas that do not grow from above zero."""
        if not 0 < self.beta_min < self.beta_max or not 0 < self.start < 1:
            raise ConfigError("vp-linear needs 0 < beta_min < beta_max and 0 < start < 1")

    def log_snr(self, t: ArrayLike) -> Array:
        """λ(t) = -ln(exp(-2 ln α) - 1), at u = start + (1 - start)·t."""
        u = self.start + (1.0 - self.start) * np.asarray(t, np.float64)
        minus_two_log_alpha = 0.5 * u**2 * (self.beta_max - self.beta_min) + u * self.beta_min
        return np.asarray(-np.log(np.expm1(minus_two_log_alpha)))

    def time_at(self, log_snr: ArrayLike) -> Array:
        """The positive root of ½(β₁-β₀)u² + β₀u = ln(1 + e^-λ)."""
        target = np.logaddexp(0.0, -np.asarray(log_snr, np.float64))
        slope = self.beta_max - self.beta_min
        u = 2.0 * target / (self.beta_min + np.sqrt(self.beta_min**2 + 2.0 * slope * target))
        return np.asarray((u - self.start) / (1.0 - self.start))


PATHS: dict[str, type[Path]] = {cls.name: cls for cls in (CosineLogSNR, LinearBeta)}


def path_from(description: Mapping[str, Any] | str) -> Path:
    """The path that ``describe()`` described, or that a name stands for with its default parameters.

    Raises:
        UnknownNameError: no path has that name.
        ConfigError: a parameter that the path does not have.
    """
    fields = {"name": description} if isinstance(description, str) else dict(description)
    name = fields.pop("name", None)
    if name not in PATHS:
        raise UnknownNameError("path", str(name), PATHS)
    try:
        return PATHS[name](**fields)
    except TypeError as error:
        raise ConfigError(f"path {name!r}: {error}") from None
