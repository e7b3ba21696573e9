"""Pseudo numerical methods (Liu et al. 2022, "Pseudo numerical methods for diffusion models on manifolds").

Adams-Bashforth weights for equal steps, applied to ε̂, and DDIM's formula to move along the result (eqs. 11-12).
The weights are those for steps in t although the move is along σ/α, hence "pseudo" and order 2 instead of 4.
"""

from __future__ import annotations

from math import inf

import numpy as np

from zoo.paths import GaussianPath
from zoo.samplers.adams import EVEN
from zoo.samplers.moves import MAX_GAIN, along, check_gain, epsilon, heun_gain, toward
from zoo.samplers.recorder import Linear, Recorder
from zoo.samplers.spacing import Point, Spacing
from zoo.samplers.table import StepTable


def plms(path: GaussianPath, steps: int, *, max_gain: float = MAX_GAIN, spacing: Spacing = "trailing") -> StepTable:
    """The multistep part (PLMS), started by one Heun step, so with one more evaluation than steps.

    Args:
        path: the Gaussian path.
        steps: number of steps.
        max_gain: the largest :func:`~zoo.samplers.moves.gain` of the first step; if Heun's would exceed it, as from
            nearly pure noise, DDIM's is used, with one evaluation. ∞ always uses Heun's, as diffusers does.
        spacing: see :mod:`zoo.samplers.spacing`.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support, or a ``max_gain`` below 1.
    """
    check_gain("plms", max_gain)
    return _pseudo(path, steps, spacing, heun=1, runge_kutta=0, max_gain=max_gain)


def pndm(path: GaussianPath, steps: int, *, max_gain: float = MAX_GAIN, spacing: Spacing = "trailing") -> StepTable:
    """The whole method (F-PNDM, algorithm 2): three pseudo Runge-Kutta steps of four evaluations, then PLMS.

    Args:
        path: the Gaussian path.
        steps: number of steps.
        max_gain: as of :func:`plms`, for each of the three: an error of D grows by up to (α_s/α_t)³ in them.
        spacing: see :mod:`zoo.samplers.spacing`.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support, or a ``max_gain`` below 1.
    """
    check_gain("pndm", max_gain)
    return _pseudo(path, steps, spacing, heun=0, runge_kutta=3, max_gain=max_gain)


def ipndm(path: GaussianPath, steps: int, *, spacing: Spacing = "trailing") -> StepTable:
    """PLMS whose first steps use the history available (Zhang & Chen 2023, DEIS, appendix H.1), without extra
    evaluations.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support.
    """
    return _pseudo(path, steps, spacing, heun=0, runge_kutta=0, max_gain=inf)


def _pseudo(
    path: GaussianPath, steps: int, spacing: Spacing, *, heun: int, runge_kutta: int, max_gain: float
) -> StepTable:
    run = Recorder(path, steps, spacing)
    x = run.start()
    history: list[Linear] = []  # ε̂, newest first
    for i, (here, there) in enumerate(run.grid):
        x, d = run.denoise(x, here)
        history = [run.keep(epsilon(x, d, here)), *history[:3]]
        if here.pure_noise:
            x = toward(x, d, here, there)
        elif i < runge_kutta and not there.clean and _runge_kutta_gain(run, here, there) <= max_gain:
            x = _runge_kutta(run, x, history[0], here, there)
        elif i < heun and not there.clean and heun_gain(here, there) <= max_gain:
            guess, d_guess = run.denoise(along(x, history[0], here, there), there)
            x = along(x, 0.5 * (history[0] + epsilon(guess, d_guess, there)), here, there)
        elif i < runge_kutta and not there.clean:
            x = toward(x, d, here, there)
        else:
            slope = Linear()
            for weight, past in zip(EVEN[len(history) - 1], history, strict=True):
                slope = slope + weight * past
            x = along(x, slope, here, there)
    return run.table(x)


def _runge_kutta(run: Recorder, x: Linear, e1: Linear, here: Point, there: Point) -> Linear:
    """Eq. 13 of the paper: the classical method's weights, DDIM's moves, the middle in t."""
    middle = run.grid.at(0.5 * (here.t + there.t))
    x2, d2 = run.denoise(along(x, e1, here, middle), middle)
    e2 = epsilon(x2, d2, middle)
    total = run.keep(e1 + 2.0 * e2)
    x3, d3 = run.denoise(along(x, e2, here, middle), middle)
    e3 = epsilon(x3, d3, middle)
    total = run.keep(total + 2.0 * e3)
    x4, d4 = run.denoise(along(x, e3, here, there), there)
    return along(x, (total + epsilon(x4, d4, there)) / 6.0, here, there)


def _runge_kutta_gain(run: Recorder, here: Point, there: Point) -> float:
    """:func:`zoo.samplers.moves.gain` of such a step, including the errors that each ε̂ inherits from earlier ones."""
    middle = run.grid.at(0.5 * (here.t + there.t)).noise_level
    start, *denoised = np.eye(5)
    e1 = (start - denoised[0]) / here.noise_level
    e2 = (start + (middle - here.noise_level) * e1 - denoised[1]) / middle
    e3 = (start + (middle - here.noise_level) * e2 - denoised[2]) / middle
    e4 = (start + (there.noise_level - here.noise_level) * e3 - denoised[3]) / there.noise_level
    x = start + (there.noise_level - here.noise_level) / 6.0 * (e1 + 2.0 * e2 + 2.0 * e3 + e4)
    return float(np.abs(x[1:]).sum())
