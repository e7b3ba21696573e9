"""DDIM (Song et al. 2021, "Denoising diffusion implicit models", eq. 12)."""

from __future__ import annotations

from collections.abc import Mapping
from math import sqrt
from typing import Literal

import numpy as np

from zoo.errors import UsageError
from zoo.paths import GaussianPath
from zoo.samplers.moves import epsilon as noise_at
from zoo.samplers.recorder import Recorder
from zoo.samplers.spacing import CLEAN, Grid, Point, Spacing
from zoo.samplers.table import StepTable, single_step_table


def ddim(
    path: GaussianPath,
    steps: int,
    *,
    eta: float = 0.0,
    epsilon: Literal["clipped", "unclipped"] = "clipped",
    stride: Literal["grid", "even"] = "grid",
    spacing: Spacing = "trailing",
    unclipped_column: bool = True,
) -> StepTable:
    """Step along the direction that points to x_t; deterministic at η = 0, DDPM's posterior variance at η = 1.

    With ε̂ = (x_t - α_t·D)/σ_t and η²-scaled posterior variance (eq. 16)::

        x_s = α_s·D + √(σ_s² - variance)·ε̂ + √variance·noise

    If D is clipped, ε̂ is computed from the clipped D, so x_t = α_t·D + σ_t·ε̂ holds. diffusers keeps the network's ε̂;
    ``epsilon="unclipped"`` does the same. Its table has a column for D before it is clipped. A model whose step graph
    does not take that column (``unclipped_column=False``) evaluates its network a second time in every step but the
    last; :func:`zoo.samplers.table_for` finds out which it is.

    A step ends where the next one begins. diffusers steps by ⌊T/N⌋ timesteps for any spacing;
    ``stride="even"`` does the same on a discrete path. The times passed to the network then differ slightly from those
    of the state.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support, ``eta`` outside [0, 1], an unknown
            ``epsilon`` or ``stride``, an even ``stride`` on a path without timesteps, or an ``unclipped_column`` that
            is neither true nor false.
    """
    if not 0.0 <= eta <= 1.0:
        raise UsageError(f"ddim eta lies in [0, 1], not {eta}")
    if epsilon not in ("clipped", "unclipped"):
        raise UsageError(f"ddim epsilon is 'clipped' or 'unclipped', not {epsilon!r}")
    if stride not in ("grid", "even"):
        raise UsageError(f"ddim stride is 'grid' or 'even', not {stride!r}")
    if not isinstance(unclipped_column, bool):
        raise UsageError(f"ddim unclipped_column is true or false, not {unclipped_column!r}")
    grid = Grid(path, steps, spacing)
    # a custom spacing, such as the rest of a run from noised data, determines where each step ends
    ends = _even(grid, steps) if stride == "even" and isinstance(spacing, (str, Mapping)) else grid.points[1:]
    if epsilon == "unclipped":
        return _unclipped(path, steps, eta, spacing, ends, unclipped_column)
    alpha_t, sigma_t = grid.alpha[:-1], grid.sigma[:-1]
    alpha_s, sigma_s = np.array([p.alpha for p in ends]), np.array([p.sigma for p in ends])
    posterior = (sigma_t**2 - (alpha_t / alpha_s) ** 2 * sigma_s**2) * sigma_s**2 / sigma_t**2
    variance = eta**2 * posterior
    direction = np.sqrt(np.maximum(sigma_s**2 - variance, 0.0)) / sigma_t
    return single_step_table(
        path, grid.times, state=direction, denoised=alpha_s - alpha_t * direction, noise_scale=np.sqrt(variance)
    )


def _even(grid: Grid, steps: int) -> list[Point]:
    """The ends of steps of ⌊T/N⌋ timesteps, one for each point of the grid."""
    count = grid.path.timesteps
    if count is None:
        raise UsageError(f"path {grid.path.name} has no timesteps, so ddim cannot step evenly over them")
    before = np.round(grid.times * (count - 1)) - count // steps
    return [grid.at(tau / (count - 1)) if tau >= 0 else CLEAN for tau in before]


def _unclipped(
    path: GaussianPath, steps: int, eta: float, spacing: Spacing, ends: list[Point], unclipped_column: bool
) -> StepTable:
    run = Recorder(path, steps, spacing)
    x = run.start()
    for here, there in zip(run.grid.points[:-1], ends, strict=True):
        if there.clean:
            x, d = run.denoise(x, here)
            x = there.alpha * d
            continue
        if unclipped_column:
            x, d, free = run.denoise_both(x, here)
            direction = noise_at(x, free, here)
        else:
            x, free = run.denoise(x, here, free=True)
            direction = run.keep(noise_at(x, free, here))
            x, d = run.denoise(x, here)
        posterior = (here.sigma**2 - (here.alpha / there.alpha) ** 2 * there.sigma**2) * there.sigma**2 / here.sigma**2
        variance = eta**2 * posterior
        x = there.alpha * d + sqrt(max(there.sigma**2 - variance, 0.0)) * direction
        if variance > 0:
            x = x + sqrt(variance) * run.noise()
    return run.table(x)
