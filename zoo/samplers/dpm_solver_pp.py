"""Multistep DPM-Solver++ (Lu et al. 2022, "DPM-Solver++: fast solver for guided sampling", algorithm 2)."""

from __future__ import annotations

from math import expm1

from zoo.errors import UsageError
from zoo.paths import GaussianPath
from zoo.samplers.moves import MAX_GAIN, check_gain, gain_in_d, toward
from zoo.samplers.recorder import Linear, Recorder
from zoo.samplers.spacing import Point, Spacing
from zoo.samplers.table import StepTable


def dpm_solver_pp(
    path: GaussianPath,
    steps: int,
    *,
    order: int = 2,
    lower_order_final: bool = True,
    max_gain: float = MAX_GAIN,
    spacing: Spacing = "trailing",
) -> StepTable:
    """DPM-Solver++(1), (2M) or (3M): a Taylor series of D in λ, its derivatives from D of earlier steps.

    The first steps are of lower order, for lack of history; so is the one that ends at clean data, where λ is infinite.

    Args:
        path: the Gaussian path.
        steps: number of steps, one evaluation each.
        order: 1, 2 or 3. Order 1 is DDIM.
        lower_order_final: whether the second to last step is also at most of order 2, which is more stable with few
            steps.
        max_gain: the largest :func:`~zoo.samplers.moves.gain` of a step; a step that would exceed it uses the
            highest order that does not. ∞ keeps the order, as the paper and the public implementations do.
        spacing: see :mod:`zoo.samplers.spacing`.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support, another ``order``, or a ``max_gain`` below
            1.
    """
    if order not in (1, 2, 3):
        raise UsageError(f"dpm-solver-pp has the orders 1, 2 and 3, not {order}")
    check_gain("dpm-solver-pp", max_gain)
    run = Recorder(path, steps, spacing)
    x = run.start()
    history: list[tuple[Point, Linear]] = []
    for i, (here, there) in enumerate(run.grid):
        x, d = run.denoise(x, here)
        first_order = toward(x, d, here, there)
        x = first_order
        limit = min(order, steps - i) if lower_order_final else order
        for used in range(min(limit - 1, len(history)) if not there.clean else 0, 0, -1):
            x = first_order + _higher_terms(d, history[:used], here, there)
            if gain_in_d(x, (d, *(past for _, past in history)), there) <= max_gain:
                break
            x = first_order
        # at pure noise λ is infinite, and a derivative through that point would be 0
        history = [(here, d), *history[:1]] if not here.pure_noise else []
    return run.table(x)


def _higher_terms(d: Linear, history: list[tuple[Point, Linear]], here: Point, there: Point) -> Linear:
    """The terms that orders 2 and 3 add to DDIM's step; ``history`` is newest first."""
    h = here.log_noise - there.log_noise
    decay = expm1(-h)
    (p1, d1), *older = history
    r0 = (p1.log_noise - here.log_noise) / h
    first = (d - d1) / r0
    if not older:
        # eq. 12 of the paper: -α(e^-h - 1)·(D₀ + ½·D₁)
        return -0.5 * there.alpha * decay * first
    ((p2, d2),) = older
    r1 = (p2.log_noise - p1.log_noise) / h
    before = (d1 - d2) / r1
    # the parabola through three points is D₀ + slope·u + curve·u² with u = (λ - λ_t)/h
    slope = first + r0 / (r0 + r1) * (first - before)
    curve = (first - before) / (r0 + r1)
    # h·∫ e^(h·(u-1))·u du and the same of u²; the public implementations take half of the latter, which reduces the
    # order to 2
    phi_2 = decay / h + 1.0
    return there.alpha * (phi_2 * slope + (1.0 - 2.0 * phi_2 / h) * curve)
