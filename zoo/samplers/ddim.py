"""DDIM (Song et al. 2021, "Denoising diffusion implicit models", eq. 12)."""

from __future__ import annotations

import numpy as np

from zoo.errors import UsageError
from zoo.paths import Path
from zoo.samplers.spacing import Grid, Spacing
from zoo.samplers.table import StepTable, single_step_table


def ddim(path: Path, steps: int, *, eta: float = 0.0, spacing: Spacing = "trailing") -> StepTable:
    """Step along the direction that points to x_t; deterministic at η = 0, DDPM's posterior variance at η = 1.

    With ε̂ = (x_t - α_t·D)/σ_t and η²-scaled posterior variance (eq. 16)::

        x_s = α_s·D + √(σ_s² - variance)·ε̂ + √variance·noise

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not have, or ``eta`` outside [0, 1].
    """
    if not 0.0 <= eta <= 1.0:
        raise UsageError(f"ddim eta lies in [0, 1], not {eta}")
    grid = Grid(path, steps, spacing)
    (alpha_t, alpha_s), (sigma_t, sigma_s) = ((a[:-1], a[1:]) for a in (grid.alpha, grid.sigma))
    posterior = (sigma_t**2 - (alpha_t / alpha_s) ** 2 * sigma_s**2) * sigma_s**2 / sigma_t**2
    variance = eta**2 * posterior
    direction = np.sqrt(np.maximum(sigma_s**2 - variance, 0.0)) / sigma_t
    return single_step_table(
        path, grid.times, state=direction, denoised=alpha_s - alpha_t * direction, noise_scale=np.sqrt(variance)
    )
