"""Euler's method in the noise level σ/α (Karras et al. 2022, algorithm 2 without its correction).

A step keeps ε̂ constant, so on every Gaussian path it equals DDIM at η = 0, and Euler's method for rectified flow.
"""

from __future__ import annotations

from zoo.paths import GaussianPath
from zoo.samplers.moves import toward
from zoo.samplers.recorder import Recorder
from zoo.samplers.spacing import Spacing
from zoo.samplers.table import StepTable


def euler(path: GaussianPath, steps: int, *, spacing: Spacing = "trailing") -> StepTable:
    """First order; one evaluation per step.

    Raises:
        UsageError: ``steps`` or ``spacing`` that the path does not support.
    """
    run = Recorder(path, steps, spacing)
    x = run.start()
    for here, there in run.grid:
        x, d = run.denoise(x, here)
        x = toward(x, d, here, there)
    return run.table(x)
