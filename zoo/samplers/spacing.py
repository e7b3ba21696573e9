"""The points of a path at which a sampler evaluates the network: N points from noise to data, followed by clean data.

==================  ====================================================================================================
spacing             the points, t from 1 down
==================  ====================================================================================================
trailing            t = 1, 1 - 1/N, … 1/N (Lin et al. 2024, table 2); the default
leading             t = (N-1)/N, … 1/N, 0 (Ho et al.'s code; Lin et al. 2024 say what is wrong with it)
linspace            N even values from 1 to the path's least t
karras              (σ/α)^(1/ρ) even from largest to smallest (Karras et al. 2022, eq. 5)
exponential         ln(σ/α) even, the smallest noise level included
uniform-lambda      ln(σ/α) even in N steps to the smallest, which is not evaluated (Lu et al. 2022, section 3.3)
a list of t         custom: falling, and as many as there are steps
==================  ====================================================================================================

On a discrete path the first three fall on whole timesteps, by the formulas of Lin et al.: round(T - i·T/N) - 1, i·⌊T/N⌋
and round(i·(T-1)/(N-1)). Ties are rounded as in diffusers, whose expressions are used to the last bit.

A mapping gives options: ``{"name": "karras", "rho": 5.0, "noise_max": 20.0}``. ``noise_max`` and ``noise_min`` bound
σ/α for the last three names; without them the bounds are the path's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from zoo.arrays import Float64Array
from zoo.errors import UnknownNameError, UsageError
from zoo.paths import CorruptionPath, GaussianPath, require_gaussian

Spacing = str | Sequence[float] | Mapping[str, object]


@dataclass(frozen=True)
class Point:
    """A point on a path.

    Attributes:
        t: time on the path.
        time: the network's time input.
        alpha: α.
        sigma: σ.
        log_noise: ln(σ/α), infinite for pure noise and minus infinity for clean data.
    """

    t: float
    time: float
    alpha: float
    sigma: float
    log_noise: float

    @property
    def noise_level(self) -> float:
        """σ/α."""
        return float(np.exp(self.log_noise))

    @property
    def clean(self) -> bool:
        """Whether this is the end of sampling, where x is D."""
        return self.sigma == 0.0

    @property
    def pure_noise(self) -> bool:
        """Whether α = 0. Every sampler takes a first-order step from here, since σ/α is infinite."""
        return self.alpha == 0.0


#: the end point of every sampler, at which no network is evaluated
CLEAN = Point(t=0.0, time=0.0, alpha=1.0, sigma=0.0, log_noise=-np.inf)


class Grid:
    """The points of one run: ``points[0] … points[N - 1]`` are evaluated, ``points[N]`` is clean data.

    Raises:
        UsageError: a number of steps or a spacing that the path does not support.
    """

    def __init__(self, path: CorruptionPath, steps: int, spacing: Spacing = "trailing") -> None:
        self.path = require_gaussian(path)
        self.times = spaced_times(path, steps, spacing)
        self.points = [*(self.at(t) for t in self.times), CLEAN]

    def __len__(self) -> int:
        return len(self.times)

    def __iter__(self) -> Iterator[tuple[Point, Point]]:
        """Each step as (start, end)."""
        return iter(zip(self.points[:-1], self.points[1:], strict=True))

    @property
    def alpha(self) -> Float64Array:
        """α at all N + 1 points."""
        return np.array([p.alpha for p in self.points])

    @property
    def sigma(self) -> Float64Array:
        """σ at all N + 1 points."""
        return np.array([p.sigma for p in self.points])

    def at(self, t: float) -> Point:
        """The point at path time ``t``."""
        alpha, sigma = self.path.alpha_sigma(t)
        log_noise = -0.5 * float(self.path.log_snr(t))
        return Point(float(t), float(self.path.network_time(t)), float(alpha), float(sigma), log_noise)

    def at_log_noise(self, log_noise: float) -> Point:
        """The point of the path where ln(σ/α) is ``log_noise``."""
        return self.at(float(self.path.time_at(-2.0 * log_noise)))


def spaced_times(path: CorruptionPath, steps: int, spacing: Spacing = "trailing") -> Float64Array:
    """Path times ``[steps]``, falling.

    Raises:
        UsageError: a path that is not Gaussian, ``steps`` that is not a whole number of 1 or more or exceeds those of
            a discrete path, or options or custom times out of range.
        UnknownNameError: no such spacing.
    """
    path = require_gaussian(path)
    check_steps(path, steps)
    if isinstance(spacing, (str, Mapping)):
        options = {"name": spacing} if isinstance(spacing, str) else dict(spacing)
        name = str(options.pop("name", None))
        if name not in SPACINGS:
            raise UnknownNameError("spacing", name, SPACINGS)
        try:
            times = SPACINGS[name](path, int(steps), **options)
        except TypeError as error:
            raise UsageError(f"spacing {name}: {error}") from None
        return np.clip(times, path.t_min, 1.0)
    return _custom(path, steps, spacing)


#: the largest number of steps on a continuous path, beyond which nothing is gained
MAX_STEPS = 10_000


def check_steps(path: CorruptionPath, steps: int) -> None:
    """Refuse an invalid number of steps, or more than the path has."""
    if isinstance(steps, bool) or not isinstance(steps, (int, np.integer)) or steps < 1:
        raise UsageError(f"steps must be a whole number, 1 or more, not {steps!r}")
    if path.timesteps is not None and steps > path.timesteps:
        raise UsageError(f"path {path.name} has {path.timesteps} timesteps, so it cannot be sampled in {steps} steps")
    if steps > MAX_STEPS:
        raise UsageError(f"a path is sampled in at most {MAX_STEPS} steps, not {steps}")


def _custom(path: GaussianPath, steps: int, spacing: Sequence[float]) -> Float64Array:
    try:
        times = np.asarray(spacing, np.float64)
    except (TypeError, ValueError):
        raise UsageError(f"a spacing is a name, a mapping with a name, or a list of times, not {spacing!r}") from None
    if times.shape != (steps,):
        raise UsageError(f"a custom spacing of {steps} steps is {steps} times, not an array of shape {times.shape}")
    inside = (times >= path.t_min) & (times <= 1.0)
    if not inside.all():
        wrong = times[~inside][0]
        raise UsageError(f"custom spacing: every time lies in [{path.t_min:g}, 1] on path {path.name}, not {wrong}")
    if not (np.diff(times) < 0).all():
        raise UsageError("custom spacing: times must fall, from noise to data")
    return times


def _trailing(path: GaussianPath, steps: int) -> Float64Array:
    if path.timesteps is None:
        return np.linspace(1.0, 0.0, steps + 1)[:-1]
    count = path.timesteps
    # the sums of np.arange differ from the products i·T/N at ties; it can have one value too many, near 0
    return (np.round(np.arange(count, 0, -count / steps)[:steps]) - 1) / (count - 1)


def _leading(path: GaussianPath, steps: int) -> Float64Array:
    if path.timesteps is None:
        return np.linspace(1.0, 0.0, steps + 1)[1:]
    return np.arange(steps)[::-1] * (path.timesteps // steps) / (path.timesteps - 1)


def _linspace(path: GaussianPath, steps: int) -> Float64Array:
    # a single point is the noisy end, since sampling cannot start at the other
    if path.timesteps is None or steps == 1:
        return np.linspace(1.0, path.t_min, steps)
    # counted from data like diffusers: the opposite order would round ties to other timesteps
    return np.round(np.linspace(0, path.timesteps - 1, steps))[::-1] / (path.timesteps - 1)


def _noise_bounds(path: GaussianPath, noise_min: float | None, noise_max: float | None) -> tuple[float, float]:
    """(smallest, largest) ln(σ/α)."""
    if noise_max is None and path.zero_terminal_snr:
        raise UsageError(
            f"path {path.name} ends in pure noise, where σ/α is infinite, so this spacing needs noise_max",
            hint='Use trailing spacing, or for example {"name": "karras", "noise_max": 80}.',
        )
    with np.errstate(divide="ignore"):
        ends = -0.5 * path.log_snr(np.array([path.t_min, 1.0]))
    for value in (noise_min, noise_max):
        if value is not None and not value > 0:
            raise UsageError(f"noise_min and noise_max are noise levels above 0, not {value}")
    low = float(ends[0]) if noise_min is None else float(np.log(noise_min))
    high = float(ends[1]) if noise_max is None else float(np.log(noise_max))
    if not low < high or low < ends[0] - 1e-9 or high > ends[1] + 1e-9:
        raise UsageError(
            f"noise levels {np.exp(low):.6g} to {np.exp(high):.6g} are not a range of path {path.name}, whose levels "
            f"reach from {np.exp(ends[0]):.6g} to {np.exp(ends[1]):.6g}"
        )
    return low, high


def _karras(
    path: GaussianPath, steps: int, *, rho: float = 7.0, noise_min: float | None = None, noise_max: float | None = None
) -> Float64Array:
    if not rho > 0:
        raise UsageError(f"karras spacing: rho must be above 0, not {rho}")
    low, high = _noise_bounds(path, noise_min, noise_max)
    roots = np.linspace(np.exp(high / rho), np.exp(low / rho), steps)
    return path.time_at(-2.0 * rho * np.log(roots))


def _exponential(
    path: GaussianPath, steps: int, *, noise_min: float | None = None, noise_max: float | None = None
) -> Float64Array:
    low, high = _noise_bounds(path, noise_min, noise_max)
    return path.time_at(-2.0 * np.linspace(high, low, steps))


def _uniform_lambda(
    path: GaussianPath, steps: int, *, noise_min: float | None = None, noise_max: float | None = None
) -> Float64Array:
    low, high = _noise_bounds(path, noise_min, noise_max)
    return path.time_at(-2.0 * np.linspace(high, low, steps + 1)[:-1])


SPACINGS: dict[str, Callable[..., Float64Array]] = {
    "trailing": _trailing,
    "leading": _leading,
    "linspace": _linspace,
    "karras": _karras,
    "exponential": _exponential,
    "uniform-lambda": _uniform_lambda,
}
