"""The sigmoid schedule of ᾱ (Jabri, Fleet & Chen 2023, "Scalable adaptive computation for iterative generation").

Not to be confused with the sigmoid schedule of the *betas* used by GeoDiff, which some libraries call by the same name.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

import numpy as np

from zoo.arrays import Float64Array
from zoo.paths.discrete import Discrete


@dataclass(frozen=True)
class DDPMSigmoid(Discrete):
    """ᾱ(u) = (s(end) - s(start + u·(end - start))) / (s(end) - s(start)), s(z) = sigmoid(z/τ), to betas as cosine does.

    Jabri et al. 2023, algorithm 2 of the appendix ("sigmoid schedule"); τ is ``temperature``.
    """

    start: float = -3.0
    end: float = 3.0
    temperature: float = 1.0
    beta_max: float = 0.999
    name: ClassVar[str] = "ddpm-sigmoid"

    def betas(self) -> Float64Array:
        """β, ``[T]``."""
        u = np.arange(self.num_timesteps + 1) / self.num_timesteps
        squashed = 1.0 / (1.0 + np.exp(-(self.start + u * (self.end - self.start)) / self.temperature))
        bar = (squashed[-1] - squashed) / (squashed[-1] - squashed[0])
        return np.asarray(np.minimum(1.0 - bar[1:] / bar[:-1], self.beta_max))
