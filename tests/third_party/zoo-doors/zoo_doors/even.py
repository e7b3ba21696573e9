from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zoo.paths import VariancePreserving


@dataclass(frozen=True)
class Even(VariancePreserving):
    """λ(t) = reach·(1 - 2t)."""

    reach: float = 9.0
    name: ClassVar[str] = "even"

    def log_snr(self, t):
        return self.reach * (1.0 - 2.0 * np.asarray(t, np.float64))

    def time_at(self, log_snr):
        return 0.5 * (1.0 - np.asarray(log_snr, np.float64) / self.reach)
