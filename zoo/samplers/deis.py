"""DEIS (Zhang & Chen 2023, "Fast sampling of diffusion models with exponential integrator", eqs. 14-15)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from zoo.arrays import Float64Array
from zoo.errors import UsageError
from zoo.paths import GaussianPath
from zoo.samplers.adams import lagrange_integrals
from zoo.samplers.moves import MAX_GAIN, check_gain, epsilon, gain, toward
from zoo.samplers.recorder import Linear, Recorder
from zoo.samplers.spacing import Point, Spacing
from zoo.samplers.table import StepTable


def deis(
    path: GaussianPath,
    steps: int,
    *,
    order: int = 3,
    variable: Literal["time", "log-noise"] = "time",
    max_gain: float = MAX_GAIN,
    spacing: Spacing = "trailing",
) -> StepTable:
    """x_s/α_s = x_t/α_t + ∫ P dn, n = σ/α, P the polynomial through the last ``order`` values of ε̂.

    Args:
        path: the Gaussian path.
        steps: number of steps, one evaluation each.
        order: 1 to 4, the paper's r + 1.
        variable: the variable of the polynomial P: t, the paper's tAB-DEIS, or ln(σ/α), which diffusers uses. With
            σ/α itself (ρAB) it is the sampler ``lms``.
        max_gain: the largest :func:`~zoo.samplers.moves.gain` of a step; a step that would exceed it uses the
            highest order that does not. ∞ keeps the order, as the paper and the public implementations do.
        spacing: see :mod:`zoo.samplers.spacing`.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support, another ``order`` or ``variable``, or a
            ``max_gain`` below 1.
    """
    if isinstance(order, bool) or order not in (1, 2, 3, 4):
        raise UsageError(f"deis has the orders 1 to 4, not {order}")
    if variable not in ("time", "log-noise"):
        raise UsageError(f"deis variable is 'time' or 'log-noise', not {variable!r}")
    check_gain("deis", max_gain)

    def place(log_noise: Float64Array) -> Float64Array:
        return path.time_at(-2.0 * log_noise) if variable == "time" else log_noise

    run = Recorder(path, steps, spacing)
    x = run.start()
    history: list[tuple[Point, Linear]] = []  # newest first
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        if here.pure_noise or there.clean:
            # ln(σ/α) is infinite at both ends
            x = toward(x, d, here, there)
            continue
        history = [(here, run.keep(epsilon(x, d, here))), *history[: order - 1]]
        levels = np.array([p.log_noise for p, _ in history])
        for used in range(len(history), 0, -1):
            weights = lagrange_integrals(
                place(levels[:used]), lambda n: place(np.log(n)), here.noise_level, there.noise_level, points=48
            )
            if used == 1 or gain(weights, np.exp(levels[:used])) <= max_gain:
                break
        x = there.alpha / here.alpha * x
        for weight, (_, slope) in zip(weights, history[: len(weights)], strict=True):
            x = x + there.alpha * weight * slope
    return run.table(x)
