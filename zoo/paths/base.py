"""What every Gaussian path x_t = α(t)·x₀ + σ(t)·ε has; see :mod:`zoo.paths`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import Any, ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

Array = NDArray[np.float64]


class Path(ABC):
    """A Gaussian path. Subclasses are frozen dataclasses whose fields are the path's parameters."""

    name: ClassVar[str]
    #: whether noise is added to what is diffused; a path that hides symbols has samplers of its own
    gaussian: ClassVar[bool] = True
    #: whether noise levels beyond σ(1)/α(1) make sense, as they do where the state is never rescaled
    unbounded: ClassVar[bool] = False

    @property
    def zero_terminal_snr(self) -> bool:
        """Whether α(1) = 0 exactly, where ε says nothing about x₀ and the noise level σ/α is infinite."""
        return False

    @property
    def timesteps(self) -> int | None:
        """How many timesteps a discrete path has; None for a continuous one."""
        return None

    @property
    def t_min(self) -> float:
        """The least t at which a network is evaluated: 0 unless σ(0) = 0, where nothing is left to denoise."""
        return 0.0

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


class VarianceExploding(Path):
    """Paths with α = 1, given by their noise level σ(t) alone."""

    unbounded: ClassVar[bool] = True

    @abstractmethod
    def noise_level(self, t: ArrayLike) -> Array:
        """σ(t)."""

    def alpha_sigma(self, t: ArrayLike) -> tuple[Array, Array]:
        """(1, σ(t))."""
        sigma = self.noise_level(t)
        return np.ones_like(sigma), sigma

    def log_snr(self, t: ArrayLike) -> Array:
        """λ(t) = -2 ln σ(t)."""
        return np.asarray(-2.0 * np.log(self.noise_level(t)))
