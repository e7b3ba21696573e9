"""Euler's method with fresh noise at every step (k-diffusion's ``sample_euler_ancestral``, by Katherine Crowson).

It steps below the target noise level and adds noise back. On every Gaussian path it equals DDIM at the same η.
"""

from __future__ import annotations

from zoo.errors import UsageError
from zoo.paths import GaussianPath
from zoo.samplers.moves import ancestral, epsilon
from zoo.samplers.recorder import Recorder
from zoo.samplers.spacing import Spacing
from zoo.samplers.table import StepTable


def euler_ancestral(path: GaussianPath, steps: int, *, eta: float = 1.0, spacing: Spacing = "trailing") -> StepTable:
    """x_s/α_s = D + down·ε̂ + up·noise, with the levels of :func:`zoo.samplers.moves.ancestral`.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support, or ``eta`` outside [0, 1].
    """
    if not 0.0 <= eta <= 1.0:
        raise UsageError(f"euler-ancestral eta lies in [0, 1], not {eta}")
    run = Recorder(path, steps, spacing)
    x = run.start()
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        down, up = ancestral(here, there, eta)
        x = there.alpha * (d + down * epsilon(x, d, here))
        if up > 0:
            x = x + there.alpha * up * run.noise()
    return run.table(x)
