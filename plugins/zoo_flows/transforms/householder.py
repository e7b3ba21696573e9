"""An orthogonal matrix as a product of Householder reflections (Tomczak & Welling 2016, arXiv:1611.09630)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from zoo.overriding import override
from zoo_flows.transforms.base import Transform, constant_log_det
from zoo_flows.transforms.lu_linear import FrozenLinear


class Householder(Transform):
    """z = Hₖ … H₁·x with H = I - 2v·vᵀ/‖v‖²: a rotation, or with k odd a mirrored one, which keeps volumes.

    As many reflections as components reach every orthogonal matrix. A vector of zeros reflects nothing.

    Args:
        size: length d of the vector.
        reflections: k, from 1 up; None takes d.
    """

    def __init__(self, size: int, reflections: int | None = None) -> None:
        super().__init__()
        self.vectors = nn.Parameter(torch.randn(size if reflections is None else reflections, size))

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return reflected(x, self.vectors), constant_log_det(x.new_zeros(()), x)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        # a reflection is its own inverse
        return reflected(z, self.vectors.flip(0)), constant_log_det(z.new_zeros(()), z)

    @torch.no_grad()
    def frozen(self) -> Transform:
        """The dense matrix, computed in float64 and rounded once."""
        vectors = copy.deepcopy(self).double().vectors
        size = vectors.shape[1]
        weight = reflected(torch.eye(size).to(vectors), vectors).T
        nothing = vectors.new_zeros(())
        return FrozenLinear(weight, nothing.expand(size), nothing, dtype=self.vectors.dtype).eval()


def reflected(x: Tensor, vectors: Tensor) -> Tensor:
    """Rows ``[n, d]``, reflected at the planes that are normal to ``vectors`` ``[k, d]``, one after the other."""
    squares = vectors.square().sum(1, keepdim=True)
    along = torch.where(squares > 0, 2.0 * vectors / torch.where(squares > 0, squares, 1.0), 0.0)
    for vector, double in zip(vectors, along, strict=True):
        x = x - torch.outer(x @ vector, double)
    return x
