"""DPM-Solver-2 (Lu et al. 2022, "DPM-Solver: a fast ODE solver", algorithm 1 with r₁ = 1/2)."""

from __future__ import annotations

from zoo.paths import GaussianPath
from zoo.samplers.moves import MAX_GAIN, along, check_gain, epsilon, gain, toward
from zoo.samplers.recorder import Recorder
from zoo.samplers.spacing import Spacing
from zoo.samplers.table import StepTable


def dpm_solver_2(
    path: GaussianPath, steps: int, *, max_gain: float = MAX_GAIN, spacing: Spacing = "trailing"
) -> StepTable:
    """The midpoint method in the noise level, with the midpoint in λ; two evaluations per step, one in the last.

    In x/α the exponential weights of the paper cancel: u/α_s = x/α + (n_s - n_t)·ε̂ with n = σ/α. k-diffusion's
    ``sample_dpm_2`` is the same.

    Args:
        path: the Gaussian path.
        steps: number of steps.
        max_gain: the largest :func:`~zoo.samplers.moves.gain` of a step, √(n_t/n_s) - √(n_s/n_t) here; a step from n_t
            to n_s with a larger gain is Euler's. ∞ takes the midpoint in every step, as the paper and k-diffusion do.
        spacing: see :mod:`zoo.samplers.spacing`.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support, or a ``max_gain`` below 1.
    """
    check_gain("dpm-solver-2", max_gain)
    run = Recorder(path, steps, spacing)
    x = run.start()
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        if there.clean or here.pure_noise:
            x = toward(x, d, here, there)
            continue
        middle = run.grid.at_log_noise(0.5 * (here.log_noise + there.log_noise))
        if gain([there.noise_level - here.noise_level], [middle.noise_level]) > max_gain:
            x = toward(x, d, here, there)
            continue
        u, d_u = run.denoise(toward(x, d, here, middle), middle)
        x = along(x, epsilon(u, d_u, middle), here, there)
    return run.table(x)
