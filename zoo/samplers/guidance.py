"""Classifier-free guidance (Ho & Salimans 2022) as a weighted sum of evaluations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import UsageError


def evaluations(
    condition: NDArray[Any] | None, guidance: float, null_class: int | None
) -> tuple[NDArray[Any] | None, NDArray[np.float32]]:
    """The conditions that one guided step evaluates, and their weights.

    D = D_null + w·(D_class - D_null), so (class, null) weigh (w, 1 - w). At w = 1 the null class is not evaluated, and
    at w = 0 the class is not.

    Args:
        condition: int ``[n]`` or float ``[n, d]``, or None for an unconditional model.
        guidance: w.
        null_class: number of the null class, or None when the model has none.

    Returns:
        conditions ``[evaluations, n]`` or ``[evaluations, n, d]`` (None for an unconditional model), and float32
        weights ``[evaluations]`` that sum to 1.

    Raises:
        UsageError: guidance other than 1 for a model without a null class.
    """
    if null_class is None or condition is None:
        if guidance != 1.0:
            raise UsageError("guidance needs a model with a null class, which this one has not")
        return None if condition is None else condition[None], np.ones(1, np.float32)
    null = np.full_like(condition, null_class)
    if guidance == 1.0:
        return condition[None], np.ones(1, np.float32)
    if guidance == 0.0:
        return null[None], np.ones(1, np.float32)
    return np.stack([condition, null]), np.array([guidance, 1.0 - guidance], np.float32)
