"""Runge-Kutta methods for rectified flow: dz/dr = velocity (Liu, Gong & Liu 2023, eq. 1), from r = 1 to data at 0.

Any Gaussian path is a rectified flow in z = x/(α + σ) and r = σ/(α + σ), with velocity ε̂ - D. On path
``rectified-flow``, r is u, the shifted time. Unlike σ/α, r is finite at pure noise.
"""

from __future__ import annotations

from math import log

from zoo.paths import GaussianPath
from zoo.samplers.moves import epsilon, toward
from zoo.samplers.recorder import Linear, Recorder
from zoo.samplers.spacing import Point, Spacing
from zoo.samplers.table import StepTable

#: the stages of a Runge-Kutta method: (where, weights of earlier slopes), and the weights of the result
Tableau = tuple[tuple[tuple[float, tuple[float, ...]], ...], tuple[float, ...]]
MIDPOINT: Tableau = (((0.5, (0.5,)),), (0.0, 1.0))
HEUN: Tableau = (((1.0, (1.0,)),), (0.5, 0.5))
CLASSICAL: Tableau = (((0.5, (0.5,)), (0.5, (0.0, 0.5)), (1.0, (0.0, 0.0, 1.0))), (1 / 6, 1 / 3, 1 / 3, 1 / 6))


def flow_euler(path: GaussianPath, steps: int, *, spacing: Spacing = "trailing") -> StepTable:
    """Euler's method, which is DDIM at η = 0: first order, one evaluation per step.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support.
    """
    return _runge_kutta(path, steps, spacing, ((), (1.0,)))


def flow_midpoint(path: GaussianPath, steps: int, *, spacing: Spacing = "trailing") -> StepTable:
    """The midpoint method: second order, two evaluations per step, one in the last.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support.
    """
    return _runge_kutta(path, steps, spacing, MIDPOINT)


def flow_heun(path: GaussianPath, steps: int, *, spacing: Spacing = "trailing") -> StepTable:
    """Heun's method: second order, two evaluations per step, one in the last.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support.
    """
    return _runge_kutta(path, steps, spacing, HEUN)


def flow_rk4(path: GaussianPath, steps: int, *, spacing: Spacing = "trailing") -> StepTable:
    """The classical Runge-Kutta method: fourth order, four evaluations per step, one in the last.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support.
    """
    return _runge_kutta(path, steps, spacing, CLASSICAL)


def _place(p: Point) -> float:
    return p.sigma / (p.alpha + p.sigma)


def _velocity(x: Linear, d: Linear, here: Point) -> Linear:
    return epsilon(x, d, here) - d


def _moved(x: Linear, change: Linear, here: Point, there: Point) -> Linear:
    """x after adding ``change`` to z."""
    return (there.alpha + there.sigma) * (x / (here.alpha + here.sigma) + change)


def _runge_kutta(path: GaussianPath, steps: int, spacing: Spacing, tableau: Tableau) -> StepTable:
    stages, weights = tableau
    run = Recorder(path, steps, spacing)
    x = run.start()
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        if there.clean:
            # at σ = 0 there is no ε̂: the last step, to D itself, is Euler's in every method
            x = toward(x, d, here, there)
            continue
        step = _place(there) - _place(here)
        slopes = [_velocity(x, d, here)]
        for where, row in stages:
            slopes[-1] = run.keep(slopes[-1])
            point = there if where == 1.0 else _at(run, _place(here) + where * step)
            change = _sum(row, slopes) * step
            x_stage, d_stage = run.denoise(_moved(x, change, here, point), point)
            slopes.append(_velocity(x_stage, d_stage, point))
        x = _moved(x, _sum(weights, slopes) * step, here, there)
    return run.table(x)


def _at(run: Recorder, place: float) -> Point:
    return run.grid.at_log_noise(log(place) - log(1.0 - place))


def _sum(weights: tuple[float, ...], slopes: list[Linear]) -> Linear:
    total = Linear()
    for weight, slope in zip(weights, slopes, strict=True):
        if weight != 0.0:
            total = total + weight * slope
    return total
