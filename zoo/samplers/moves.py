"""The elementary moves of samplers, in x_t = α·D + σ·ε̂ (see :mod:`zoo.samplers.recorder` for x and D)."""

from __future__ import annotations

from collections.abc import Iterable
from math import sqrt

from zoo.errors import UsageError
from zoo.samplers.recorder import Linear
from zoo.samplers.spacing import Point

#: the default limit of a step's gain, see :func:`gain`
MAX_GAIN = 3.0


def epsilon(x: Linear, d: Linear, here: Point) -> Linear:
    """ε̂ = (x - α·D)/σ, which is also the slope of x/α over σ/α (Karras et al. 2022, eq. 1)."""
    return (x - here.alpha * d) / here.sigma


def toward(x: Linear, d: Linear, here: Point, there: Point) -> Linear:
    """The point with the same D and the same ε̂: α_s·D + σ_s·ε̂ (DDIM, Song et al. 2021, eq. 12)."""
    ratio = there.sigma / here.sigma
    return ratio * x + (there.alpha - here.alpha * ratio) * d


def along(x: Linear, slope: Linear, here: Point, there: Point) -> Linear:
    """x_s/α_s = x_t/α_t + (σ_s/α_s - σ_t/α_t)·slope; not from pure noise, where α_t = 0."""
    ratio = there.alpha / here.alpha
    return ratio * x + (there.sigma - here.sigma * ratio) * slope


def shrink(here: Point, there: Point) -> float:
    """e^-h = (σ_s/α_s) / (σ_t/α_t), h the step in λ = ln(α/σ) (Lu et al. 2022): 0 from pure noise and to data."""
    return there.sigma * here.alpha / (there.alpha * here.sigma)


def ancestral(here: Point, there: Point, eta: float) -> tuple[float, float]:
    """(down, up), noise levels σ/α: step down to ``down``, add noise ``up``; down² + up² is the squared level of
    ``there``.

    up² = η²·n_s²·(n_t² - n_s²)/n_t² with n = σ/α, the posterior variance of DDPM at η = 1.
    """
    level = there.noise_level
    up = min(level, eta * level * sqrt(max(0.0, 1.0 - shrink(here, there) ** 2)))
    return sqrt(max(0.0, level**2 - up**2)), up


def gain(weights: Iterable[float], levels: Iterable[float]) -> float:
    """The factor by which a step amplifies errors of D in x/α: Σ |w|/n for a move of Σ w·ε̂, each ε̂ at a noise level n
    = σ/α.

    Euler's step along one ε̂, w = n_s - n_t, has the gain 1 - n_s/n_t, at most 1: its result lies between x/α and D. A
    method of higher order divides by a smaller level than that at its start, or extrapolates, so its gain is
    unbounded for long steps (such as the first ones from nearly pure noise, where few steps reduce σ/α a hundredfold).
    """
    return sum(abs(w) / n for w, n in zip(weights, levels, strict=True))


def heun_gain(here: Point, there: Point) -> float:
    """:func:`gain` of Heun's step, half of it along ε̂ at each end: (n_t/n_s - n_s/n_t)/2."""
    half = 0.5 * (there.noise_level - here.noise_level)
    return gain((half, half), (here.noise_level, there.noise_level))


def gain_in_d(x: Linear, denoised: Iterable[Linear], there: Point) -> float:
    """:func:`gain` of a step to x written in D instead of ε̂: the sum of the absolute weights in x/α."""
    return sum(abs(x.values.get(number, 0.0)) for d in denoised for number in d.values) / there.alpha


def check_gain(sampler: str, limit: float) -> float:
    """Return ``limit`` if it is a number, 1 or more, including ∞.

    Raises:
        UsageError: it is not.
    """
    if isinstance(limit, bool) or not isinstance(limit, (int, float)) or not limit >= 1.0:
        raise UsageError(f"{sampler} max_gain is a number, 1 or more, inf for no limit, not {limit!r}")
    return float(limit)
