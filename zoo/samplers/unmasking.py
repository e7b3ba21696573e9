"""Sampling of a masked diffusion: each step reveals a share of the masked symbols, at random positions."""

from __future__ import annotations

import numpy as np

from zoo.errors import UsageError
from zoo.paths import CorruptionPath, GaussianPath
from zoo.samplers.spacing import check_steps
from zoo.samplers.table import StepTable, single_step_table


def unmasking(path: CorruptionPath, steps: int, *, temperature: float = 1.0) -> StepTable:
    """Ancestral sampling of the reverse process (Sahoo et al. 2024, arXiv:2406.07524, eq. 7), in equal steps.

    Symbols revealed in the same step are independent of each other; with more steps than positions this is rare.

    Args:
        path: of a masked model.
        steps: number of steps, of one evaluation each.
        temperature: divisor of the logits, stored as the noise scale of the table: 1 samples the model's distribution,
            smaller values favour likelier symbols.

    Raises:
        UsageError: a Gaussian path, or invalid ``steps`` or ``temperature``.
    """
    if isinstance(path, GaussianPath):
        raise UsageError(f"sampler unmasking needs a masked path, and path {path.name} masks nothing")
    check_steps(path, steps)
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)) or not 0 < temperature < np.inf:
        raise UsageError(f"a temperature is a number above 0, not {temperature!r}")
    times = 1.0 - np.arange(steps) / steps
    revealed = 1.0 / np.arange(steps, 0, -1)
    return single_step_table(path, times, 1.0 - revealed, revealed, np.full(steps, float(temperature)))
