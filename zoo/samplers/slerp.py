"""Interpolation between two noises along a great circle (Shoemake 1985, "Animating rotation with quaternion curves",
section 3.3)."""

from __future__ import annotations

import numpy as np

from zoo.arrays import Array


def slerp(a: Array, b: Array, u: float) -> Array:
    """The point at ``u`` between ``a`` (0) and ``b`` (1), with θ the angle between them::

        (sin((1 - u)·θ)·a + sin(u·θ)·b) / sin θ

    Linear interpolation would leave the sphere near which standard normal noise of many dimensions lies: halfway
    between two noises the norm is too small by √2. Parallel vectors are interpolated linearly, the limit of the
    formula.

    Args:
        a: one event of any shape.
        b: likewise.
        u: in [0, 1].
    """
    x, y = np.asarray(a, np.float64), np.asarray(b, np.float64)
    norms = np.linalg.norm(x) * np.linalg.norm(y)
    angle = np.arccos(np.clip((x * y).sum() / norms, -1.0, 1.0)) if norms > 0 else 0.0
    if np.sin(angle) < 1e-6:
        between = (1.0 - u) * x + u * y
    else:
        between = (np.sin((1.0 - u) * angle) * x + np.sin(u * angle) * y) / np.sin(angle)
    return np.asarray(between, np.asarray(a).dtype)
