"""The difference of two arrays, for proofs and for replaying golden values."""

from __future__ import annotations

import numpy as np

from zoo.arrays import Array

#: absolute, and relative to the value
TOLERANCE = 1e-4


def relative_difference(actual: Array, expected: Array, unit: float) -> float:
    """The largest \\|actual - expected\\| / (unit + \\|expected\\|); ∞ if only one of two is finite."""
    a, b = actual.astype(np.float64), expected.astype(np.float64)
    same = (a == b) | (np.isnan(a) & np.isnan(b))
    both = np.isfinite(a) & np.isfinite(b)
    if not (same | both).all():
        return float("inf")
    a, b = a[both], b[both]
    return float(np.max(np.abs(a - b) / (unit + np.abs(b)), initial=0.0))
