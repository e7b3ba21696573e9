"""Paths of networks trained only at the integer timesteps 0 … T-1."""

from __future__ import annotations

from abc import abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import ArrayLike

from zoo.arrays import Float64Array
from zoo.errors import ConfigError
from zoo.paths.base import VariancePreserving


@dataclass(frozen=True)
class Discrete(VariancePreserving):
    """ᾱ_τ = Π (1 - β_i), i ≤ τ (Ho et al. 2020, eq. 4), at the timesteps τ = (T - 1)·t.

    Between timesteps ln(σ/α) is linear in τ, for solvers that evaluate there (DPM-Solver-2, Karras spacing). The
    network is given τ, which is then fractional.

    Attributes:
        num_timesteps: T.
        zero_terminal_snr: rescale √ᾱ so that the last timestep is pure noise (Lin et al. 2024, "Common diffusion noise
            schedules and sample steps are flawed", algorithm 1).
    """

    num_timesteps: int = 1000
    zero_terminal_snr: bool = False

    def __post_init__(self) -> None:
        """Refuse too few timesteps, or betas outside (0, 1)."""
        if isinstance(self.num_timesteps, bool) or not isinstance(self.num_timesteps, int) or self.num_timesteps < 2:
            raise ConfigError(f"{self.name}: num_timesteps is a whole number, 2 or more, not {self.num_timesteps!r}")
        betas = self.betas()
        if not ((betas > 0) & (betas < 1)).all():
            raise ConfigError(
                f"{self.name}: every β must lie between 0 and 1, but they reach {betas.min()}, {betas.max()}"
            )

    @abstractmethod
    def betas(self) -> Float64Array:
        """β, ``[T]``, before any rescaling."""

    @property
    def timesteps(self) -> int:
        """T."""
        return self.num_timesteps

    @cached_property
    def _log_noise(self) -> Float64Array:
        """ln(σ/α) at every timestep."""
        root = np.sqrt(np.cumprod(1.0 - self.betas()))
        if self.zero_terminal_snr:
            # Lin et al. 2024, algorithm 1: shift so that the last is 0, scale so that the first stays
            root = (root - root[-1]) * root[0] / (root[0] - root[-1])
        with np.errstate(divide="ignore"):
            return np.asarray(0.5 * np.log1p(-(root**2)) - np.log(root))

    def _timestep(self, t: ArrayLike) -> Float64Array:
        tau = (self.num_timesteps - 1) * np.asarray(t, np.float64)
        whole = np.round(tau)
        # t = τ/(T - 1) loses the last bit; the network must be given 999, not 998.9999999999999
        return np.where(np.abs(tau - whole) < 1e-9, whole, tau)

    def log_snr(self, t: ArrayLike) -> Float64Array:
        """λ(t) = -2 ln(σ/α)."""
        tau, table = self._timestep(t), self._log_noise
        if not self.zero_terminal_snr:
            return np.asarray(-2.0 * np.interp(tau, np.arange(len(table)), table))
        # ln(σ/α) ends at infinity, so the last interval interpolates the angle arctan(σ/α) instead
        last = len(table) - 2
        inner = np.interp(np.minimum(tau, last), np.arange(last + 1), table[:-1])
        part = np.clip(tau - last, 0.0, 1.0)
        angle = (1.0 - part) * np.arctan(np.exp(table[last])) + part * np.pi / 2
        with np.errstate(divide="ignore", invalid="ignore"):
            outer = np.where(part >= 1.0, np.inf, np.log(np.tan(angle)))
        return np.asarray(-2.0 * np.where(tau <= last, inner, outer))

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """The t between 0 and 1 with this λ."""
        level, table = -0.5 * np.asarray(log_snr, np.float64), self._log_noise
        if not self.zero_terminal_snr:
            return np.asarray(np.interp(level, table, np.arange(len(table))) / (len(table) - 1))
        last = len(table) - 2
        low = np.arctan(np.exp(table[last]))
        with np.errstate(over="ignore"):
            part = np.clip((np.arctan(np.exp(level)) - low) / (np.pi / 2 - low), 0.0, 1.0)
        tau = np.where(level <= table[last], np.interp(level, table[:-1], np.arange(last + 1)), last + part)
        return np.asarray(tau / (len(table) - 1))

    def network_time(self, t: ArrayLike) -> Float64Array:
        """The timestep τ, rounded if it is an integer up to rounding errors."""
        return self._timestep(t)
