"""Linear multistep in the noise level (Adams-Bashforth with uneven steps; Katherine Crowson's ``sample_lms``)."""

from __future__ import annotations

import numpy as np

from zoo.errors import UsageError
from zoo.paths import GaussianPath
from zoo.samplers.adams import lagrange_integrals
from zoo.samplers.moves import epsilon, toward
from zoo.samplers.recorder import Linear, Recorder
from zoo.samplers.spacing import Point, Spacing
from zoo.samplers.table import StepTable


def lms(path: GaussianPath, steps: int, *, order: int = 4, spacing: Spacing = "trailing") -> StepTable:
    """x_s/α_s = x_t/α_t + ∫ P(n) dn, P the polynomial in n = σ/α through the last ``order`` values of ε̂.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support, or an ``order`` outside 1 to 4.
    """
    if isinstance(order, bool) or order not in (1, 2, 3, 4):
        raise UsageError(f"lms has the orders 1 to 4, not {order}")
    run = Recorder(path, steps, spacing)
    x = run.start()
    history: list[tuple[Point, Linear]] = []  # newest first
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        if here.pure_noise:
            x = toward(x, d, here, there)
            continue
        history = [(here, run.keep(epsilon(x, d, here))), *history[: order - 1]]
        weights = lagrange_integrals(
            np.array([p.noise_level for p, _ in history]), lambda n: n, here.noise_level, there.noise_level, points=2
        )
        x = there.alpha / here.alpha * x
        for weight, (_, slope) in zip(weights, history, strict=True):
            x = x + there.alpha * weight * slope
    return run.table(x)
