"""Activation normalisation of Glow (Kingma & Dhariwal 2018, arXiv:1807.03039, section 3.1)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from zoo.overriding import override
from zoo_flows.transforms.affine import FrozenAffine
from zoo_flows.transforms.base import Transform, constant_log_det


class ActNorm(Transform):
    """z = (x - shift)·exp(-log_scale), of each component of a vector or each channel of an image.

    Both are learned. :meth:`prepare` starts them at the data's mean and standard deviation, so that what follows sees
    about unit scale; a component that does not vary is only shifted.

    Args:
        shape: ``[d]``, or ``[c, h, w]`` of an image, whose pixels share what their channel has.
    """

    def __init__(self, shape: Sequence[int]) -> None:
        super().__init__()
        self.positions = math.prod(shape[1:])
        each = (shape[0], *(1 for _ in shape[1:]))
        self.shift = nn.Parameter(torch.zeros(each))
        self.log_scale = nn.Parameter(torch.zeros(each))

    @torch.no_grad()
    @override
    def prepare(self, x: Tensor, context: Tensor | None = None) -> None:
        values = x.double().transpose(0, 1).flatten(1)
        std, mean = torch.std_mean(values, dim=1)
        self.shift.copy_(mean.reshape(self.shift.shape))
        self.log_scale.copy_(torch.where(std > 0, std, 1.0).log().reshape(self.shift.shape))

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (x - self.shift) * (-self.log_scale).exp(), constant_log_det(-self._log_det(), x)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z * self.log_scale.exp() + self.shift, constant_log_det(self._log_det(), z)

    def frozen(self) -> Transform:
        """With the scale and the log-determinant as constants."""
        return FrozenAffine(self.shift, self.log_scale.double().exp(), self.positions).eval()

    def _log_det(self) -> Tensor:
        return self.log_scale.sum() * self.positions
