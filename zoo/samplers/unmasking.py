"""Sampling of a masked diffusion: a share of what is hidden is revealed at each step, at random places."""

from __future__ import annotations

import numpy as np

from zoo.errors import UsageError
from zoo.paths import CorruptionPath, GaussianPath
from zoo.samplers.spacing import check_steps
from zoo.samplers.table import StepTable, single_step_table


def unmasking(path: CorruptionPath, steps: int, *, temperature: float = 1.0) -> StepTable:
    """Ancestral sampling of the reverse process (Sahoo et al. 2024, arXiv:2406.07524, eq. 7), in even steps.

    Symbols that are revealed in one step do not know of each other: more steps than positions make that rare.

    Args:
        path: of a model of masks.
        steps: number of steps, of one evaluation each.
        temperature: what logits are divided by, which is the scale of the noise in a table's words: 1 samples what the
            model says, less its likelier symbols more often.

    Raises:
        UsageError: a Gaussian path, or ``steps`` or a ``temperature`` that make no sense.
    """
    if isinstance(path, GaussianPath):
        raise UsageError(f"sampler unmasking reveals what is hidden, and path {path.name} hides nothing")
    check_steps(path, steps)
    if isinstance(temperature, bool) or not isinstance(temperature, (int, float)) or not 0 < temperature < np.inf:
        raise UsageError(f"a temperature is a number above 0, not {temperature!r}")
    times = 1.0 - np.arange(steps) / steps
    revealed = 1.0 / np.arange(steps, 0, -1)
    return single_step_table(path, times, 1.0 - revealed, revealed, np.full(steps, float(temperature)))
