"""A noise schedule given as a table: log-SNRs at some times, between which a monotone cubic interpolates."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zoo.arrays import Float64Array
from zoo.errors import ConfigError
from zoo.paths.base import GaussianPath

MAX_KNOTS = 4096
#: log-SNRs, in absolute value: e^-50 is beyond what float32 states can carry
MAX_LOG_SNR = 100.0
SCALINGS = ("variance-preserving", "variance-exploding", "linear")
#: halvings of an interval until float64 has no number in it
_HALVINGS = 60


@dataclass(frozen=True, init=False)
class Tabulated(GaussianPath):
    """λ(t) through the points of a table, by the monotone cubic Hermite interpolant of Fritsch & Butland.

    Fritsch & Butland 1984, "A method for constructing local monotone piecewise cubic interpolants", SIAM J. Sci. Stat.
    Comput. 5, with Brodlie's weights for unequal intervals, and one-sided differences of three points at the ends,
    limited after Fritsch & Carlson 1980. So λ falls wherever the table does, and overshoots nowhere.

    Args:
        time: from 0 (data) to 1 (noise), increasing; at least two, at most 4096.
        log_snr: λ = ln α²/σ² at these times, decreasing, within ±100.
        scaling: how α and σ are made of λ: ``variance-preserving`` (α² + σ² = 1), ``variance-exploding`` (α = 1) or
            ``linear`` (α + σ = 1).
        time_scale: the network's time input at t = 1.

    Attributes:
        time: the times.
        log_snrs: λ at these times.
        scaling: as given.
        time_scale: as given.

    Raises:
        ConfigError: an invalid table.
    """

    time: tuple[float, ...]
    log_snrs: tuple[float, ...]
    scaling: str
    time_scale: float
    name: ClassVar[str] = "tabulated"

    def __init__(
        self,
        time: Sequence[float],
        log_snr: Sequence[float],
        scaling: str = "variance-preserving",
        time_scale: float = 1000.0,
    ) -> None:
        if scaling not in SCALINGS:
            raise ConfigError(f"tabulated: scaling is one of {', '.join(SCALINGS)}, not {scaling!r}")
        if not _numbers([time_scale]) or not 0 < time_scale < math.inf:
            raise ConfigError(f"tabulated: time_scale is a finite number above 0, not {time_scale!r}")
        for name, values in (("time", time), ("log_snr", log_snr)):
            if not _numbers(values) or not 2 <= len(values) <= MAX_KNOTS:
                raise ConfigError(f"tabulated: {name} is a list of 2 to {MAX_KNOTS} finite numbers")
        if len(time) != len(log_snr):
            raise ConfigError(f"tabulated: there are {len(time)} times and {len(log_snr)} log-SNRs")
        if time[0] != 0 or time[-1] != 1 or not (np.diff(time) > 0).all():
            raise ConfigError("tabulated: times increase from 0 to 1")
        if not (np.diff(log_snr) < 0).all() or max(log_snr[0], -log_snr[-1]) > MAX_LOG_SNR:
            raise ConfigError(f"tabulated: log-SNRs decrease, and lie within ±{MAX_LOG_SNR:g}")
        fields = {"time": _floats(time), "log_snrs": _floats(log_snr)}
        for field, value in {**fields, "scaling": scaling, "time_scale": float(time_scale)}.items():
            object.__setattr__(self, field, value)

    @cached_property
    def _knots(self) -> tuple[Float64Array, Float64Array, Float64Array]:
        """Times, values and slopes at the knots."""
        t, y = np.array(self.time), np.array(self.log_snrs)
        return t, y, _slopes(np.diff(t), np.diff(y) / np.diff(t))

    def _within(self, interval: NDArray[np.intp], u: Float64Array) -> Float64Array:
        """λ at the share ``u`` in [0, 1] of an interval, as a cubic Hermite polynomial."""
        t, y, slope = self._knots
        width, left, right = np.diff(t)[interval], y[interval], y[interval + 1]
        ends = left + (right - left) * u * u * (3.0 - 2.0 * u)
        bubble = (1.0 - u) * slope[interval] - u * slope[interval + 1]
        return np.asarray(ends + width * u * (1.0 - u) * bubble)

    def log_snr(self, t: ArrayLike) -> Float64Array:
        """λ(t); that of the nearest end outside of [0, 1]."""
        knots = self._knots[0]
        t = np.clip(np.asarray(t, np.float64), 0.0, 1.0)
        interval = np.clip(np.searchsorted(knots, t, "right") - 1, 0, len(knots) - 2)
        return self._within(interval, (t - knots[interval]) / np.diff(knots)[interval])

    def time_at(self, log_snr: ArrayLike) -> Float64Array:
        """The t between 0 and 1 with this λ, by bisection of its interval."""
        knots, y, _ = self._knots
        level = np.asarray(log_snr, np.float64)
        interval = np.clip(np.searchsorted(-y, -level, "right") - 1, 0, len(knots) - 2)
        low, high = np.zeros_like(level), np.ones_like(level)
        for _ in range(_HALVINGS):
            middle = 0.5 * (low + high)
            above = self._within(interval, middle) > level
            low, high = np.where(above, middle, low), np.where(above, high, middle)
        t = knots[interval] + 0.5 * (low + high) * np.diff(knots)[interval]
        return np.where(level >= y[0], 0.0, np.where(level <= y[-1], 1.0, t))

    def alpha_sigma(self, t: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """(α, σ) with α²/σ² = e^λ, as the scaling says."""
        half = 0.5 * self.log_snr(t)
        if self.scaling == "variance-exploding":
            return np.ones_like(half), np.exp(-half)
        if self.scaling == "linear":
            return np.exp(-np.logaddexp(0.0, -half)), np.exp(-np.logaddexp(0.0, half))
        return np.exp(-0.5 * np.logaddexp(0.0, -2.0 * half)), np.exp(-0.5 * np.logaddexp(0.0, 2.0 * half))

    def network_time(self, t: ArrayLike) -> Float64Array:
        """time_scale·t."""
        return self.time_scale * np.asarray(t, np.float64)

    def describe(self) -> dict[str, object]:
        """Name, table, scaling and scale, as JSON values."""
        table = {"time": list(self.time), "log_snr": list(self.log_snrs)}
        return {"name": self.name, **table, "scaling": self.scaling, "time_scale": self.time_scale}


def _slopes(width: Float64Array, rise: Float64Array) -> Float64Array:
    """dλ/dt at the knots, from the widths of the intervals and the slopes of their chords, all below 0."""
    if len(rise) == 1:
        return np.repeat(rise, 2)
    # Fritsch & Butland 1984: the harmonic mean of both chords, the wider neighbour's weighing more
    first, second = 2.0 * width[1:] + width[:-1], width[1:] + 2.0 * width[:-1]
    inner = (first + second) / (first / rise[:-1] + second / rise[1:])
    ends = [_end(width[0], width[1], rise[0], rise[1]), _end(width[-1], width[-2], rise[-1], rise[-2])]
    return np.concatenate([ends[:1], inner, ends[1:]])


def _end(width: float, following: float, rise: float, next_rise: float) -> float:
    """The slope of the parabola through three points at the first, between 0 and three times the chord's."""
    slope = ((2.0 * width + following) * rise - width * next_rise) / (width + following)
    return float(np.clip(slope, 3.0 * rise, 0.0))


def _numbers(values: object) -> bool:
    """Whether they are finite numbers in a sequence."""
    return isinstance(values, Sequence) and all(
        isinstance(v, (int, float)) and not isinstance(v, bool) and abs(v) < math.inf for v in values
    )


def _floats(values: Sequence[float]) -> tuple[float, ...]:
    return tuple(float(v) for v in values)
