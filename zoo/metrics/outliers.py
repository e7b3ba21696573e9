"""Whether the density tells other data from test data."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from zoo.metrics.evaluation import Evaluation, Metrics


def auroc(evaluation: Evaluation) -> Metrics:
    """``auroc``: how often a test sample is more likely than one of other data; empty without such (``--against``)."""
    if evaluation.against is None or evaluation.model.manifest.density == "none":
        return {}
    assert evaluation.density_against is not None
    test, other = evaluation.density.value, evaluation.density_against.value
    value, error = area(test, other)
    return {
        "auroc": {
            "value": round(value, 4),
            "standard_error": round(error, 4),
            "of": "pairs of a test sample and one of the other data of which the test sample has the higher "
            "log-density; 0.5 if they are not told apart",
            "samples": len(test),
            "others": len(other),
        }
    }


def area(higher: NDArray[np.float64], lower: NDArray[np.float64]) -> tuple[float, float]:
    """P(a > b) + P(a = b)/2 of two sets of numbers, and its standard error (Hanley & McNeil 1982, eq. 1 and 2).

    Args:
        higher: a, ``[n]``; infinities count as numbers.
        lower: b, ``[m]``.
    """
    n, m = len(higher), len(lower)
    ordered = np.sort(lower)
    below = np.searchsorted(ordered, higher, side="left") + np.searchsorted(ordered, higher, side="right")
    value = float(below.mean()) / (2 * m)
    q1, q2 = value / (2 - value), 2 * value**2 / (1 + value)
    variance = value * (1 - value) + (n - 1) * (q1 - value**2) + (m - 1) * (q2 - value**2)
    return value, math.sqrt(max(variance, 0.0) / (n * m))
