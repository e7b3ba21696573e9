"""DDIM (Song et al. 2021, "Denoising diffusion implicit models", eq. 12)."""

from __future__ import annotations

from math import sqrt
from typing import Literal

import numpy as np

from zoo.errors import UsageError
from zoo.paths import Path
from zoo.samplers.moves import epsilon as noise_at
from zoo.samplers.recorder import Recorder
from zoo.samplers.spacing import Grid, Spacing
from zoo.samplers.table import StepTable, single_step_table


def ddim(
    path: Path,
    steps: int,
    *,
    eta: float = 0.0,
    epsilon: Literal["clipped", "unclipped"] = "clipped",
    spacing: Spacing = "trailing",
) -> StepTable:
    """Step along the direction that points to x_t; deterministic at η = 0, DDPM's posterior variance at η = 1.

    With ε̂ = (x_t - α_t·D)/σ_t and η²-scaled posterior variance (eq. 16)::

        x_s = α_s·D + √(σ_s² - variance)·ε̂ + √variance·noise

    Where D is clipped, ε̂ is that of the clipped D: x_t = α_t·D + σ_t·ε̂ holds. diffusers keeps the ε̂ that the network
    gave, which with ``epsilon="unclipped"`` can be had at the price of a second evaluation in every step but the last.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not have, ``eta`` outside [0, 1], or an unknown
            ``epsilon``.
    """
    if not 0.0 <= eta <= 1.0:
        raise UsageError(f"ddim eta lies in [0, 1], not {eta}")
    if epsilon not in ("clipped", "unclipped"):
        raise UsageError(f"ddim epsilon is 'clipped' or 'unclipped', not {epsilon!r}")
    if epsilon == "unclipped":
        return _unclipped(path, steps, eta, spacing)
    grid = Grid(path, steps, spacing)
    (alpha_t, alpha_s), (sigma_t, sigma_s) = ((a[:-1], a[1:]) for a in (grid.alpha, grid.sigma))
    posterior = (sigma_t**2 - (alpha_t / alpha_s) ** 2 * sigma_s**2) * sigma_s**2 / sigma_t**2
    variance = eta**2 * posterior
    direction = np.sqrt(np.maximum(sigma_s**2 - variance, 0.0)) / sigma_t
    return single_step_table(
        path, grid.times, state=direction, denoised=alpha_s - alpha_t * direction, noise_scale=np.sqrt(variance)
    )


def _unclipped(path: Path, steps: int, eta: float, spacing: Spacing) -> StepTable:
    run = Recorder(path, steps, spacing)
    x = run.start()
    for here, there in run.grid:
        if there.clean:
            x, d = run.denoise(x, here)
            x = there.alpha * d
            continue
        x, free = run.denoise(x, here, free=True)
        direction = run.keep(noise_at(x, free, here))
        x, d = run.denoise(x, here)
        posterior = (here.sigma**2 - (here.alpha / there.alpha) ** 2 * there.sigma**2) * there.sigma**2 / here.sigma**2
        variance = eta**2 * posterior
        x = there.alpha * d + sqrt(max(there.sigma**2 - variance, 0.0)) * direction
        if variance > 0:
            x = x + sqrt(variance) * run.noise()
    return run.table(x)
