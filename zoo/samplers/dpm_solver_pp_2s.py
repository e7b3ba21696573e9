"""Single-step DPM-Solver++(2S) (Lu et al. 2022, "DPM-Solver++", algorithm 1 with r = 1/2), optionally with noise."""

from __future__ import annotations

from math import log

from zoo.errors import UsageError
from zoo.paths import GaussianPath
from zoo.samplers.moves import ancestral, epsilon, toward
from zoo.samplers.recorder import Recorder
from zoo.samplers.spacing import Spacing
from zoo.samplers.table import StepTable


def dpm_solver_pp_2s(path: GaussianPath, steps: int, *, eta: float = 0.0, spacing: Spacing = "trailing") -> StepTable:
    """Second order without history; two evaluations per step, one in the last.

    With η > 0 it steps down to the lower level of :func:`zoo.samplers.moves.ancestral` and adds noise, as k-diffusion's
    ``sample_dpmpp_2s_ancestral`` does.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support, or ``eta`` outside [0, 1].
    """
    if not 0.0 <= eta <= 1.0:
        raise UsageError(f"dpm-solver-pp-2s eta lies in [0, 1], not {eta}")
    run = Recorder(path, steps, spacing)
    x = run.start()
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        down, up = ancestral(here, there, eta)
        if down == 0.0 or here.pure_noise:
            x = there.alpha * (d + down * epsilon(x, d, here))
        else:
            middle = run.grid.at_log_noise(0.5 * (here.log_noise + log(down)))
            _, d_u = run.denoise(toward(x, d, here, middle), middle)
            # line 6: x_s = (σ_s/σ_t)·x - α_s·(e^-h - 1)·D_u, in x/α and down to `down`
            ratio = down / here.noise_level
            x = there.alpha * (ratio / here.alpha * x + (1.0 - ratio) * d_u)
        if up > 0:
            x = x + there.alpha * up * run.noise()
    return run.table(x)
