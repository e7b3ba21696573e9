"""DPM-Solver-2 (Lu et al. 2022, "DPM-Solver: a fast ODE solver", algorithm 1 with r₁ = 1/2)."""

from __future__ import annotations

from zoo.paths import Path
from zoo.samplers.moves import along, epsilon, toward
from zoo.samplers.recorder import Recorder
from zoo.samplers.spacing import Spacing
from zoo.samplers.table import StepTable


def dpm_solver_2(path: Path, steps: int, *, spacing: Spacing = "trailing") -> StepTable:
    """The midpoint method in the noise level, with the midpoint in λ; two evaluations a step, one in the last.

    In x/α the exponential weights of the paper cancel: u/α_s = x/α + (n_s - n_t)·ε̂ with n = σ/α. k-diffusion's
    ``sample_dpm_2`` is the same.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not have.
    """
    run = Recorder(path, steps, spacing)
    x = run.start()
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        if there.clean or here.pure_noise:
            x = toward(x, d, here, there)
            continue
        middle = run.grid.at_log_noise(0.5 * (here.log_noise + there.log_noise))
        u, d_u = run.denoise(toward(x, d, here, middle), middle)
        x = along(x, epsilon(u, d_u, middle), here, there)
    return run.table(x)
