"""Pixels into channels (Dinh et al. 2017, arXiv:1605.08803, section 3.6)."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.overriding import override
from zoo_flows.transforms.base import Transform, constant_log_det


class Squeeze(Transform):
    """Each 2×2 pixels become one pixel of four times the channels: ``[n, c, h, w]`` to ``[n, 4c, h/2, w/2]``."""

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        blocks = torch.unflatten(torch.unflatten(x, 3, (-1, 2)), 2, (-1, 2))  # n, c, h/2, 2, w/2, 2
        return blocks.permute(0, 1, 3, 5, 2, 4).flatten(1, 3), constant_log_det(x.new_zeros(()), x)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        blocks = torch.unflatten(z, 1, (-1, 2, 2))
        return blocks.permute(0, 1, 4, 2, 5, 3).flatten(4, 5).flatten(2, 3), constant_log_det(z.new_zeros(()), z)
