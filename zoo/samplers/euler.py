"""Euler's method in the noise level σ/α (Karras et al. 2022, algorithm 2 without its correction).

One step keeps ε̂, so on every Gaussian path it is DDIM at η = 0, and Euler's method for rectified flow too.
"""

from __future__ import annotations

from zoo.paths import GaussianPath
from zoo.samplers.moves import toward
from zoo.samplers.recorder import Recorder
from zoo.samplers.spacing import Spacing
from zoo.samplers.table import StepTable


def euler(path: GaussianPath, steps: int, *, spacing: Spacing = "trailing") -> StepTable:
    """First order; one evaluation a step.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not have.
    """
    run = Recorder(path, steps, spacing)
    x = run.start()
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        x = toward(x, d, here, there)
    return run.table(x)
