"""A path whose network counts time in another way: the key ``clock`` of a path's description."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from zoo.arrays import Float64Array
from zoo.errors import ConfigError
from zoo.paths.base import GaussianPath

#: the network's time as a function of ln(σ/α)
CLOCKS: dict[str, Callable[[Float64Array], Float64Array]] = {
    "sigma": np.exp,
    "log-sigma": lambda log_noise: log_noise,
    "log-sigma/4": lambda log_noise: 0.25 * log_noise,
    "log-half-sigma": lambda log_noise: log_noise - np.log(2.0),
}

Clock = str | tuple[float, float]


@dataclass(frozen=True)
class Retimed(GaussianPath):
    """The same path, with another time for its network.

    Attributes:
        path: the path.
        clock: the time at data and the time at noise, linear in t between them; or one of :data:`CLOCKS`, by which it
            is a function of the noise level σ/α: σ itself, ln σ, ln σ/4 (Karras et al. 2022, table 1, EDM), or
            ln(σ/2) (the same table, VE).
    """

    path: GaussianPath
    clock: Clock

    def __post_init__(self) -> None:
        """Refuse a clock that is unknown, stands still, or is infinite at the path's end; take the path's name."""
        if isinstance(self.clock, str):
            if self.clock not in CLOCKS:
                raise ConfigError(
                    f"clock is one of {', '.join(CLOCKS)}, or the times at data and at noise, not {self.clock!r}"
                )
            if self.path.zero_terminal_snr:
                raise ConfigError(
                    f"the path {self.path.name} ends in pure noise, where σ/α is infinite: its network cannot be told "
                    f"{self.clock}"
                )
        else:
            object.__setattr__(self, "clock", _ends(self.clock))
        for attribute in ("name", "package", "unbounded"):
            object.__setattr__(self, attribute, getattr(self.path, attribute))

    @property
    def timesteps(self) -> int | None:
        """Those of the path."""
        return self.path.timesteps

    @property
    def zero_terminal_snr(self) -> bool:
        """Whether α(1) = 0."""
        return self.path.zero_terminal_snr

    @property
    def t_min(self) -> float:
        """That of the path."""
        return self.path.t_min

    def alpha_sigma(self, t: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """(α(t), σ(t))."""
        return self.path.alpha_sigma(t)

    def log_snr(self, t: ArrayLike) -> Float64Array:
        """λ(t)."""
        return self.path.log_snr(t)

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """The inverse of λ."""
        return self.path.time_at(log_snr)

    def network_time(self, t: ArrayLike) -> Float64Array:
        """The time by the clock."""
        if isinstance(self.clock, str):
            return np.asarray(CLOCKS[self.clock](-0.5 * self.path.log_snr(t)))
        at_data, at_noise = self.clock
        t = np.asarray(t, np.float64)
        # exact at both ends
        return np.asarray((1.0 - t) * at_data + t * at_noise)

    def describe(self) -> dict[str, object]:
        """The path's description, with its clock."""
        return {**self.path.describe(), "clock": self.clock if isinstance(self.clock, str) else list(self.clock)}


def _ends(clock: object) -> tuple[float, float]:
    """The times at data and at noise.

    Raises:
        ConfigError: not two different finite numbers.
    """
    if isinstance(clock, Sequence) and len(clock) == 2:
        numbers = [x for x in clock if isinstance(x, (int, float)) and not isinstance(x, bool) and np.isfinite(x)]
        if len(numbers) == 2 and numbers[0] != numbers[1]:
            return float(numbers[0]), float(numbers[1])
    raise ConfigError(f"clock is one of {', '.join(CLOCKS)}, or the times at data and at noise, not {clock!r}")
