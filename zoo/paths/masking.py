"""The path of masked diffusion, which hides symbols instead of adding noise; it is not Gaussian."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np
from numpy.typing import ArrayLike

from zoo.arrays import Float64Array
from zoo.paths.base import CorruptionPath


@dataclass(frozen=True)
class Masking(CorruptionPath):
    """Each position is known with probability α = 1 - t and hidden with probability σ = t, independently of the others.

    The absorbing process of Austin et al. 2021 (arXiv:2107.03006, section 3.1) in continuous time, with the linear
    schedule of Sahoo et al. 2024 (arXiv:2406.07524) and Shi et al. 2024 (arXiv:2406.04329). Its Euler step from t to
    s < t is that of a rectified flow, x ← (s/t)·x + (1 - s/t)·D, read as probabilities: a hidden position stays hidden
    with probability s/t, and otherwise gets a symbol drawn from D. So the step tables of Gaussian samplers can
    represent it.
    """

    name: ClassVar[str] = "masking"

    def alpha_sigma(self, t: ArrayLike) -> tuple[Float64Array, Float64Array]:
        """(1 - t, t)."""
        t = np.asarray(t, np.float64)
        return 1.0 - t, t
