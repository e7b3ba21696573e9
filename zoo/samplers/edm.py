"""Heun's method in the noise level (Karras et al. 2022, "Elucidating the design space", algorithms 1 and 2)."""

from __future__ import annotations

from math import inf, log, sqrt

from zoo.errors import UsageError
from zoo.paths import GaussianPath
from zoo.samplers.moves import MAX_GAIN, along, check_gain, epsilon, heun_gain, toward
from zoo.samplers.recorder import Recorder
from zoo.samplers.spacing import Grid, Point, Spacing
from zoo.samplers.table import StepTable


def heun(path: GaussianPath, steps: int, *, max_gain: float = MAX_GAIN, spacing: Spacing = "trailing") -> StepTable:
    """Algorithm 1: second order, two evaluations per step, one in the last.

    Args:
        path: the Gaussian path.
        steps: number of steps.
        max_gain: the largest :func:`~zoo.samplers.moves.gain` of a step, (n_t/n_s - n_s/n_t)/2 here; a step from n_t to
            n_s with a larger gain is Euler's. ∞ corrects every step, as the paper and the public implementations do.
        spacing: see :mod:`zoo.samplers.spacing`.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support, or a ``max_gain`` below 1.
    """
    check_gain("heun", max_gain)
    return edm(path, steps, churn=0.0, max_gain=max_gain, spacing=spacing)


def edm(
    path: GaussianPath,
    steps: int,
    *,
    churn: float = 40.0,
    churn_min: float = 0.0,
    churn_max: float = inf,
    churn_noise: float = 1.0,
    max_gain: float = MAX_GAIN,
    spacing: Spacing = "trailing",
) -> StepTable:
    """Algorithm 2: each step first adds noise, then takes a Heun step from the higher noise level.

    The churn before the first evaluation is part of the initial noise. On paths with a largest noise level, churn does
    not exceed it.

    Args:
        path: the Gaussian path.
        steps: number of steps.
        churn: S_churn; the noise level grows by the factor 1 + min(S_churn/N, √2 - 1).
        churn_min: S_tmin, the smallest noise level σ/α with churn.
        churn_max: S_tmax, the largest.
        churn_noise: S_noise, which scales the added noise.
        max_gain: as of :func:`heun`, from the churned noise level.
        spacing: see :mod:`zoo.samplers.spacing`; the paper's is ``karras``, or ``linspace`` on path ``edm``.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support, a negative option, or a ``max_gain`` below
            1.
    """
    check_gain("edm", max_gain)
    if min(churn, churn_min, churn_noise) < 0 or churn_max < churn_min:
        raise UsageError("edm needs churn and churn_noise of at least 0, and 0 <= churn_min <= churn_max")
    run = Recorder(path, steps, spacing)
    x = run.start()
    for here, there in run.grid:
        hat = here
        if churn_min <= here.noise_level <= churn_max and not here.pure_noise:
            hat = _churned(run.grid, here, min(churn / steps, sqrt(2.0) - 1.0))
        if hat.noise_level > here.noise_level:
            # line 6: x̂/α̂ = x/α + √(t̂² - t²)·S_noise·ε
            added = churn_noise * sqrt(hat.noise_level**2 - here.noise_level**2)
            x = hat.alpha / here.alpha * x + hat.alpha * added * run.noise()
        x, d = run.denoise(x, hat)
        # lines 7-8
        guess = toward(x, d, hat, there)
        if there.clean or hat.pure_noise or heun_gain(hat, there) > max_gain:
            x = guess
            continue
        # lines 10-11: the mean of the slopes at both ends
        half = 0.5 * epsilon(x, d, hat)
        partial = run.keep(along(x, half, hat, there))
        guess, d_guess = run.denoise(guess, there)
        gain = there.sigma - hat.sigma * there.alpha / hat.alpha
        x = partial + 0.5 * gain * epsilon(guess, d_guess, there)
    return run.table(x)


def _churned(grid: Grid, here: Point, gamma: float) -> Point:
    """Line 5: t̂ = t + γ·t, at most the path's largest noise level if it has one."""
    if gamma == 0.0:
        return here
    target = here.log_noise + log(1.0 + gamma)
    if not grid.path.unbounded:
        target = min(target, -0.5 * float(grid.path.log_snr(1.0)))
    return grid.at_log_noise(target) if target > here.log_noise + 1e-12 else here
