"""Samplers for consistency models, whose D maps any noise level to data in one evaluation."""

from __future__ import annotations

from math import sqrt

from zoo.paths import GaussianPath, require_gaussian
from zoo.samplers.recorder import Recorder
from zoo.samplers.spacing import Spacing
from zoo.samplers.table import StepTable

#: their names: a model whose default sampler is one of these is a consistency model, which has no ODE for scoring or
#: encoding
CONSISTENCY = ("consistency", "lcm")


def consistency(path: GaussianPath, steps: int, *, spacing: Spacing = "trailing") -> StepTable:
    """Multistep consistency sampling (Song et al. 2023, "Consistency models", algorithm 1).

    x_s/α_s = D + √(n_s² - ε²)·noise with n = σ/α and ε the smallest noise level of the path: D is data at level ε.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support.
    """
    alpha, sigma = (float(a) for a in require_gaussian(path).alpha_sigma(path.t_min))
    return _renoising(path, steps, spacing, least=sigma / alpha)


def lcm(path: GaussianPath, steps: int, *, spacing: Spacing = "trailing") -> StepTable:
    """Multistep latent consistency sampling (Luo et al. 2023, "Latent consistency models", algorithm 3).

    x_s = α_s·D + σ_s·noise: D is clean data.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support.
    """
    return _renoising(path, steps, spacing, least=0.0)


def _renoising(path: GaussianPath, steps: int, spacing: Spacing, least: float) -> StepTable:
    run = Recorder(path, steps, spacing)
    x = run.start()
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        x = there.alpha * d
        if not there.clean:
            x = x + there.alpha * sqrt(max(0.0, there.noise_level**2 - least**2)) * run.noise()
    return run.table(x)
