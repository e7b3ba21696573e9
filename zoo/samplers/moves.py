"""The moves that samplers are made of, in x_t = α·D + σ·ε̂ (see :mod:`zoo.samplers.recorder` for x and D)."""

from __future__ import annotations

from math import sqrt

from zoo.samplers.recorder import Linear
from zoo.samplers.spacing import Point


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
    """(down, up), noise levels σ/α: go down to ``down``, add noise ``up``, and down² + up² is the level of ``there``.

    up² = η²·n_s²·(n_t² - n_s²)/n_t² with n = σ/α, the posterior variance of DDPM at η = 1.
    """
    level = there.noise
    up = min(level, eta * level * sqrt(max(0.0, 1.0 - shrink(here, there) ** 2)))
    return sqrt(max(0.0, level**2 - up**2)), up
