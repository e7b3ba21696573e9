"""Base classes of all paths, and of Gaussian paths x_t = α(t)·x₀ + σ(t)·ε; see :mod:`zoo.paths`."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import asdict
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from zoo.arrays import Float64Array
from zoo.errors import UsageError


class CorruptionPath(ABC):
    """How data is corrupted from t = 0 to t = 1. Subclasses are frozen dataclasses whose fields are its parameters."""

    name: ClassVar[str]
    #: the package that brings it as a plugin, set when it is looked up; empty for a built-in one
    package: ClassVar[str] = ""

    @property
    def timesteps(self) -> int | None:
        """The number of timesteps of a discrete path; None for a continuous one."""
        return None

    @abstractmethod
    def alpha_sigma(self, t: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """(α(t), σ(t)): how much of the data is left, and how much of it is corrupted."""

    def network_time(self, t: ArrayLike) -> Float64Array:
        """The network's time input for t: here 1000·t, the scale that sinusoidal embeddings are designed for."""
        return 1000.0 * np.asarray(t, np.float64)

    def describe(self) -> dict[str, object]:
        """Name and parameters, as JSON values, and the package of a plugin's path."""
        described = {"name": self.name, **asdict(self)}  # type: ignore[call-overload]
        return {**described, "package": self.package} if self.package else described


class GaussianPath(CorruptionPath):
    """A path that scales data and adds Gaussian noise: x_t = α(t)·x₀ + σ(t)·ε."""

    #: whether noise levels beyond σ(1)/α(1) make sense, as they do if the state is never rescaled
    unbounded: ClassVar[bool] = False

    @property
    def zero_terminal_snr(self) -> bool:
        """Whether α(1) = 0 exactly, so that x_1 carries no information about x₀ and the noise level σ/α is infinite."""
        return False

    @property
    def t_min(self) -> float:
        """The smallest t at which a network is evaluated: 0 unless σ(0) = 0, where there is nothing to denoise."""
        return 0.0

    @abstractmethod
    def log_snr(self, t: ArrayLike) -> Float64Array:
        """λ(t) = ln α²/σ², strictly decreasing in t ∈ [0, 1]."""

    @abstractmethod
    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """The inverse of :meth:`log_snr`."""


def require_gaussian(path: CorruptionPath) -> GaussianPath:
    """Return ``path`` if it is Gaussian.

    Raises:
        UsageError: it is not.
    """
    if not isinstance(path, GaussianPath):
        raise UsageError(
            f"path {path.name} has no noise levels; this needs a model with a Gaussian path",
            hint="A masked model samples with the sampler unmasking, from noise alone.",
        )
    return path


class VariancePreserving(GaussianPath):
    """Paths with α² + σ² = 1, given by their log-SNR alone."""

    def alpha_sigma(self, t: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """α = √sigmoid(λ), σ = √sigmoid(-λ)."""
        log_snr = self.log_snr(t)
        return np.exp(-0.5 * np.logaddexp(0, -log_snr)), np.exp(-0.5 * np.logaddexp(0, log_snr))


class VarianceExploding(GaussianPath):
    """Paths with α = 1, given by their noise level σ(t) alone."""

    unbounded: ClassVar[bool] = True

    @abstractmethod
    def noise_level(self, t: ArrayLike) -> Float64Array:
        """σ(t)."""

    def alpha_sigma(self, t: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """(1, σ(t))."""
        sigma = self.noise_level(t)
        return np.ones_like(sigma), sigma

    def log_snr(self, t: ArrayLike) -> Float64Array:
        """λ(t) = -2 ln σ(t)."""
        return np.asarray(-2.0 * np.log(self.noise_level(t)))
