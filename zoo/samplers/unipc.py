"""UniPC (Zhao et al. 2023, "UniPC: a unified predictor-corrector framework", algorithms 1-2 in D, appendix A)."""

from __future__ import annotations

from math import expm1
from typing import Literal

import numpy as np

from zoo.errors import UsageError
from zoo.paths import GaussianPath
from zoo.samplers.moves import MAX_GAIN, check_gain, gain_in_d, toward
from zoo.samplers.recorder import Linear, Recorder
from zoo.samplers.spacing import Point, Spacing
from zoo.samplers.table import StepTable

History = list[tuple[Point, Linear]]


def unipc(
    path: GaussianPath,
    steps: int,
    *,
    order: int = 2,
    variant: Literal["bh1", "bh2"] = "bh2",
    corrector: bool = True,
    max_gain: float = MAX_GAIN,
    spacing: Spacing = "trailing",
) -> StepTable:
    """Predict like a multistep solver of order p, then correct with the D that the next step evaluates anyway.

    The correction costs no evaluation and raises the order by one. First and last steps are of lower order, as in
    :func:`zoo.samplers.dpm_solver_pp.dpm_solver_pp`.

    Args:
        path: the Gaussian path.
        steps: number of steps, one evaluation each.
        order: p of UniP-p, 1 to 4.
        variant: B(h) = -h (bh1) or e^-h - 1 (bh2).
        corrector: whether UniC follows UniP.
        max_gain: the largest :func:`~zoo.samplers.moves.gain` of a step; a step that would exceed it uses the
            highest order that does not. ∞ keeps the order, as the paper and the public implementations do.
        spacing: see :mod:`zoo.samplers.spacing`.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support, another ``order`` or ``variant``, or a
            ``max_gain`` below 1.
    """
    if isinstance(order, bool) or order not in (1, 2, 3, 4):
        raise UsageError(f"unipc has the orders 1 to 4, not {order}")
    if variant not in ("bh1", "bh2"):
        raise UsageError(f"unipc variant is 'bh1' or 'bh2', not {variant!r}")
    check_gain("unipc", max_gain)
    run = Recorder(path, steps, spacing)
    x = run.start()
    history: History = []  # newest first
    last: tuple[Linear, int] | None = None  # the corrected x of the step before, and that step's order
    for i, (here, there) in enumerate(run.grid):
        x, d = run.denoise(x, here)
        if corrector and last is not None:
            x_before, used = last
            x = _uni(x_before, history, history[0][0], here, used, variant, d)
        history = [(here, d), *history[: order - 1]] if not here.pure_noise else []
        used = max(1, min(order, steps - i, len(history)))
        if here.pure_noise or there.clean:
            x = toward(x, d, here, there)
        else:
            if corrector:
                x = run.keep(x)
            before = x
            for lower in range(used, 0, -1):
                x, used = _uni(before, history, here, there, lower, variant, None), lower
                if gain_in_d(x, (past for _, past in history), there) <= max_gain:
                    break
            last = before, used
    return run.table(x)


def _uni(x: Linear, history: History, here: Point, there: Point, order: int, variant: str, d: Linear | None) -> Linear:
    """UniP of ``order`` from ``here`` to ``there``, or UniC with ``d`` = D at ``there``.

    x_s = (σ_s/σ_t)·x - α_s·(e^-h - 1)·D₀ - α_s·B(h)·Σ ρ_k·(D_k - D₀)/r_k (eqs. 3 and 9 of the paper, for D).
    """
    h = here.log_noise - there.log_noise
    d0 = history[0][1]
    nodes = [(here.log_noise - p.log_noise) / h for p, _ in history[1:order]]
    differences = [(dk - d0) / r for (_, dk), r in zip(history[1:order], nodes, strict=True)]
    if d is not None:
        nodes, differences = [*nodes, 1.0], [*differences, d - d0]
    x = toward(x, d0, here, there)
    if not nodes:
        return x
    scale = -h if variant == "bh1" else expm1(-h)
    for rho, difference in zip(_weights(nodes, h, scale), differences, strict=True):
        x = x - there.alpha * scale * rho * difference
    return x


def _weights(nodes: list[float], h: float, scale: float) -> list[float]:
    """ρ with Σ r_k^(m-1)·ρ_k = m!·φ_(m+1)(-h)·(-h)^… / B(h), m = 1 … (eq. 5); ρ = ½ for a single node."""
    count = len(nodes)
    if count == 1:
        # the paper's shortcut, independent of h: the error stays of the same order
        return [0.5]
    phi = expm1(-h) / -h - 1.0
    right, factorial = [], 1.0
    for m in range(1, count + 1):
        right.append(phi * factorial / scale)
        factorial *= m + 1
        phi = phi / -h - 1.0 / factorial
    matrix = np.array([[r ** (m - 1) for r in nodes] for m in range(1, count + 1)])
    return [float(v) for v in np.linalg.solve(matrix, np.array(right))]
