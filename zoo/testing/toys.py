"""A small model, its bundle and its data, for what needs one. This module needs torch."""

from __future__ import annotations

import atexit
import math
import shutil
import tempfile
from functools import cache
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from zoo.data import Dataset, Split
from zoo.exporting import export
from zoo.models.interface import DirectModel


class Normal(DirectModel):
    """Two independent normal numbers."""

    family = "flow"

    def __init__(self) -> None:
        super().__init__()
        self.event_shape = (2,)
        self.mean = nn.Parameter(torch.tensor([0.5, -1.0]))
        self.log_std = nn.Parameter(torch.tensor([0.1, -0.2]))

    def inverse(self, z: Tensor, condition: Tensor | None = None) -> Tensor:
        """X = m + s·z."""
        return self.mean + self.log_std.exp() * z

    def log_density(self, x: Tensor, condition: Tensor | None = None) -> Tensor:
        """Log N(x; m, s²)."""
        z = (x - self.mean) * (-self.log_std).exp()
        return (-0.5 * z**2 - self.log_std - 0.5 * math.log(2 * math.pi)).sum(1)


@cache
def bundle() -> Path:
    """The folder of a bundle of :class:`Normal`, written once a process and deleted at its end."""
    folder = Path(tempfile.mkdtemp(prefix="zoo-testing-"))
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    return export(Normal(), folder / "normal.bundle")


def data() -> Dataset:
    """Data of that distribution."""
    random = np.random.default_rng(0)

    def some(n: int) -> Split:
        return Split((np.array([0.5, -1.0]) + np.exp([0.1, -0.2]) * random.standard_normal((n, 2))).astype(np.float32))

    return Dataset("toy", some(500), some(200), some(200))
