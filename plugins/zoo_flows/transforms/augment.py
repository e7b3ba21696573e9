"""Noise that is added in training (Zhai et al. 2024, arXiv:2412.06329)."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.overriding import override
from zoo_flows.transforms.base import Transform, constant_log_det


class NoiseAugmentation(Transform):
    """z = x + σ·ε with ε ~ N(0, I) in training, and the identity in use.

    What is learned is then the density of noisy data, which is smoother.

    Args:
        deviation: σ.
    """

    def __init__(self, deviation: float) -> None:
        super().__init__()
        self.deviation = deviation

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z = x + self.deviation * torch.randn_like(x) if self.training else x
        return z, constant_log_det(x.new_zeros(()), x)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z, constant_log_det(z.new_zeros(()), z)
