"""DDPM: ancestral sampling (Ho et al. 2020, "Denoising diffusion probabilistic models", algorithm 2)."""

from __future__ import annotations

from typing import Literal

import numpy as np

from zoo.errors import UsageError
from zoo.paths import GaussianPath
from zoo.samplers.spacing import Grid, Spacing
from zoo.samplers.table import StepTable, single_step_table


def ddpm(
    path: GaussianPath,
    steps: int,
    *,
    variance: Literal["small", "large", "learned"] = "small",
    spacing: Spacing = "trailing",
) -> StepTable:
    """Draw x_s from q(x_s | x_t, x₀ = D) at every step; the last step, to s = 0, returns D itself.

    Written for any Gaussian path, with α_ts = α_t/α_s and σ²_ts = σ_t² - α_ts²·σ_s²
    (Kingma et al. 2021, "Variational diffusion models", eqs. 23-27)::

        x_s = (α_ts·σ_s²/σ_t²)·x_t + (α_s·σ²_ts/σ_t²)·D + √variance·noise
        small: σ²_ts·σ_s²/σ_t²     the posterior variance, β̃ in Ho et al. (section 3.2)
        large: σ²_ts               β in Ho et al.
        learned: interpolated between the two by the network, in the logarithm (Nichol & Dhariwal 2021, eq. 15)

    The step that ends at data adds no noise, with any variance.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support, or an unknown ``variance``.
    """
    if variance not in ("small", "large", "learned"):
        raise UsageError(f"ddpm variance is 'small', 'large' or 'learned', not {variance!r}")
    grid = Grid(path, steps, spacing)
    (alpha_t, alpha_s), (sigma_t, sigma_s) = ((a[:-1], a[1:]) for a in (grid.alpha, grid.sigma))
    alpha_ts = alpha_t / alpha_s
    variance_ts = sigma_t**2 - alpha_ts**2 * sigma_s**2
    large = np.sqrt(variance_ts)
    noise_scale = large.copy() if variance == "large" else large * sigma_s / sigma_t
    noise_scale[-1] = 0.0
    noise_range = np.zeros(len(grid))
    if variance == "learned":
        noise_range[:-1] = np.log(sigma_t[:-1] / sigma_s[:-1])
    return single_step_table(
        path,
        grid.times,
        state=alpha_ts * sigma_s**2 / sigma_t**2,
        denoised=alpha_s * variance_ts / sigma_t**2,
        noise_scale=noise_scale,
        noise_range=noise_range,
    )
