"""A learned scale of each component, the last layer of NICE (Dinh et al. 2015, arXiv:1410.8516, section 3.3)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.overriding import override
from zoo_flows.transforms.base import Transform, constant_log_det


class Scale(Transform):
    """z = x·exp(s): what says how much each component varies when nothing before it changes volumes.

    Args:
        size: length d of the vector.
    """

    def __init__(self, size: int) -> None:
        super().__init__()
        self.log_scale = nn.Parameter(torch.zeros(size))

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x * self.log_scale.exp(), constant_log_det(self.log_scale.sum(), x)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z * (-self.log_scale).exp(), constant_log_det(-self.log_scale.sum(), z)
