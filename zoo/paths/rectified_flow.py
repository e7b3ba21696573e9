"""Rectified flow (Liu, Gong & Liu 2023; Lipman et al. 2023): the straight line between data and noise."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from zoo.arrays import Float64Array
from zoo.errors import ConfigError
from zoo.paths.base import GaussianPath


@dataclass(frozen=True)
class RectifiedFlow(GaussianPath):
    """α = 1 - u, σ = u, with u = shift·t / (1 + (shift - 1)·t).

    Data is at t = 0 and noise at t = 1, as everywhere here (the papers count the other way). The shift is that of
    Esser et al. 2024, "Scaling rectified flow transformers", eq. 23: it multiplies the noise level u/(1 - u).

    Attributes:
        shift: values above 1 spend more of t near noise, as larger images need.
        t_min: the smallest t at which spacings evaluate the network, since σ(0) = 0.
        time_scale: the network's time input at the end of its time: 1000, unless it was trained with another scale.
        data_at_one: whether the network's time goes from noise (0) to data, as the papers count. The path stays the
            same.
        coupled: whether the noise that the network was trained with depends on the data, as with an optimal-transport
            coupling, or is not standard normal. The velocity then still carries noise to data, but is not a score, so
            no noise may be added on the way: only samplers without fresh noise apply.
    """

    shift: float = 1.0
    t_min: float = 1e-3
    time_scale: float = 1000.0
    data_at_one: bool = False
    coupled: bool = False
    name: ClassVar[str] = "rectified-flow"

    def __post_init__(self) -> None:
        """Refuse a shift or a smallest time that leaves no path."""
        if not self.shift > 0 or not 0 < self.t_min < 1:
            raise ConfigError("rectified-flow needs shift above 0 and t_min between 0 and 1")
        if not 0 < self.time_scale < np.inf:
            raise ConfigError(f"rectified-flow needs a finite time_scale above 0, not {self.time_scale}")
        for name in ("data_at_one", "coupled"):
            if not isinstance(getattr(self, name), bool):
                raise ConfigError(f"rectified-flow: {name} is true or false, not {getattr(self, name)!r}")

    @property
    def zero_terminal_snr(self) -> bool:
        """α(1) = 0."""
        return True

    def shifted(self, t: ArrayLike) -> Float64Array:
        """u(t)."""
        t = np.asarray(t, np.float64)
        return np.asarray(self.shift * t / (1.0 + (self.shift - 1.0) * t))

    def alpha_sigma(self, t: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """(1 - u, u)."""
        u = self.shifted(t)
        return 1.0 - u, u

    def log_snr(self, t: ArrayLike) -> Float64Array:
        """λ = 2 ln((1 - u)/u); infinite at the two ends."""
        u = self.shifted(t)
        with np.errstate(divide="ignore"):
            return np.asarray(2.0 * (np.log1p(-u) - np.log(u)))

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """u = 1/(1 + exp(λ/2)), then the shift undone: t = u / (shift - (shift - 1)·u)."""
        u = np.exp(-np.logaddexp(0.0, 0.5 * np.asarray(log_snr, np.float64)))
        return np.asarray(u / (self.shift - (self.shift - 1.0) * u))

    def network_time(self, t: ArrayLike) -> Float64Array:
        """time_scale·u, or time_scale·(1 - u): a shifted path is a different grid for the same network."""
        u = self.shifted(t)
        return self.time_scale * (1.0 - u if self.data_at_one else u)

    def describe(self) -> dict[str, object]:
        """Name and parameters, omitting defaults that older readers do not know."""
        described = super().describe()
        for name in ("data_at_one", "coupled"):
            if not described[name]:
                del described[name]
        if described["time_scale"] == 1000.0:
            del described["time_scale"]
        return described
