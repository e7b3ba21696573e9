"""The invertible 1×1 convolution of Glow (Kingma & Dhariwal 2018, arXiv:1807.03039, section 3.2)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo.overriding import override
from zoo_flows.transforms.base import Transform, constant_log_det
from zoo_flows.transforms.lu_linear import solved, triangles


class InvertibleConv1x1(Transform):
    """The channels of every pixel times one matrix W = P·L·U (eq. 10), at first a random rotation.

    P and the signs of U's diagonal stay what they are; L, U and the logarithms of U's diagonal are learned, packed into
    one matrix as in :class:`~zoo_flows.transforms.lu_linear.LULinear`.

    Args:
        channels: of the image.
    """

    order: Tensor
    sign: Tensor

    def __init__(self, channels: int) -> None:
        super().__init__()
        rotation, _ = torch.linalg.qr(torch.randn(channels, channels))
        permutation, lower, upper = torch.linalg.lu(rotation)
        diagonal = upper.diagonal()
        packed = torch.tril(lower, -1) + torch.triu(upper, 1) + torch.diag(diagonal.abs().log())
        self.packed = nn.Parameter(packed)
        self.register_buffer("order", permutation.argmax(1))
        self.register_buffer("sign", diagonal.sign())

    def weight(self) -> Tensor:
        """W ``[c, c]``."""
        lower, upper = triangles(self.packed, self.sign)
        return (lower @ upper)[self.order]

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return _convolved(x, self.weight()), self._log_det(x)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lower, upper = triangles(self.packed, self.sign)
        pixels = z.flatten(2)[:, torch.argsort(self.order)]
        return solved(lower, upper, pixels).reshape(z.shape), -self._log_det(z)

    @torch.no_grad()
    def frozen(self) -> Transform:
        """W, its inverse and log-determinant, computed in float64 and rounded once."""
        double = copy.deepcopy(self).double()
        return _Frozen(double.weight(), double.packed.diagonal().sum(), self.packed.dtype).eval()

    def _log_det(self, x: Tensor) -> Tensor:
        return constant_log_det(self.packed.diagonal().sum() * (x.shape[2] * x.shape[3]), x)


def _convolved(x: Tensor, weight: Tensor) -> Tensor:
    return F.conv2d(x, weight.unsqueeze(2).unsqueeze(3))


class _Frozen(Transform):
    weight: Tensor
    inverse_weight: Tensor
    log_det: Tensor  # of one pixel

    def __init__(self, weight: Tensor, log_det: Tensor, dtype: torch.dtype) -> None:
        super().__init__()
        self.register_buffer("weight", weight.to(dtype))
        self.register_buffer("inverse_weight", torch.linalg.inv(weight).to(dtype))
        self.register_buffer("log_det", log_det.to(dtype))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return _convolved(x, self.weight), self._log_det(x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return _convolved(z, self.inverse_weight), -self._log_det(z)

    def _log_det(self, x: Tensor) -> Tensor:
        return constant_log_det(self.log_det * (x.shape[2] * x.shape[3]), x)
