"""SDE-DPM-Solver++(2M) (Lu et al. 2022, "DPM-Solver++", section 5 and appendix A)."""

from __future__ import annotations

from math import inf, sqrt
from typing import Literal

from zoo.errors import UsageError
from zoo.paths import GaussianPath
from zoo.samplers.moves import MAX_GAIN, check_gain, gain_in_d, shrink
from zoo.samplers.recorder import Linear, Recorder
from zoo.samplers.spacing import Point, Spacing
from zoo.samplers.table import StepTable


def dpm_solver_pp_sde(
    path: GaussianPath,
    steps: int,
    *,
    eta: float = 1.0,
    solver: Literal["midpoint", "heun"] = "midpoint",
    max_gain: float = MAX_GAIN,
    spacing: Spacing = "trailing",
) -> StepTable:
    """A stochastic second-order multistep solver; η = 0 is DPM-Solver++(2M), η = 1 the paper's SDE.

    With h the step in λ and e^-h written r::

        x_s = (σ_s/σ_t)·r^η·x + α_s·(1 - r^(1+η))·D + weight·(D - D₋)·h/h₋ + σ_s·√(1 - r^(2η))·noise
        midpoint: weight = ½·α_s·(1 - r^(1+η))
        heun:     weight = α_s·(1 - (1 - r^(1+η)) / (h·(1 + η)))

    A step whose :func:`~zoo.samplers.moves.gain` would exceed ``max_gain`` is of first order, without the term in D₋;
    ∞ keeps the term, as the paper and the public implementations do.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support, ``eta`` below 0, an unknown ``solver``, or
            a ``max_gain`` below 1.
    """
    check_gain("dpm-solver-pp-sde", max_gain)
    if not 0.0 <= eta < inf:
        raise UsageError(f"dpm-solver-pp-sde eta is a finite number, 0 or more, not {eta}")
    if solver not in ("midpoint", "heun"):
        raise UsageError(f"dpm-solver-pp-sde solver is 'midpoint' or 'heun', not {solver!r}")
    run = Recorder(path, steps, spacing)
    x = run.start()
    previous: tuple[Point, Linear] | None = None
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        r = shrink(here, there)
        decayed = 1.0 - r ** (1.0 + eta)
        state = there.sigma / here.sigma * r**eta * x
        x = state + there.alpha * decayed * d
        if previous is not None and not there.clean:
            p, d_previous = previous
            h, h_previous = here.log_noise - there.log_noise, p.log_noise - here.log_noise
            weight = 0.5 * decayed if solver == "midpoint" else 1.0 - decayed / (h * (1.0 + eta))
            second_order = x + there.alpha * weight * h / h_previous * (d - d_previous)
            if gain_in_d(second_order, (d, d_previous), there) <= max_gain:
                x = second_order
        if eta > 0 and not there.clean:
            x = x + there.sigma * sqrt(1.0 - r ** (2.0 * eta)) * run.noise()
        previous = None if here.pure_noise else (here, d)
    return run.table(x)
