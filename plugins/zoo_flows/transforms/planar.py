"""The planar transform (Rezende & Mohamed 2015, arXiv:1505.05770, section 4.1)."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.overriding import override
from zoo_flows.transforms.base import Transform
from zoo_flows.transforms.root import invertible, root


class Planar(Transform):
    """z = x + û·tanh(s) with s = wᵀx + b + vᵀcontext: space stretched, or pressed, along one direction (eq. 10)::

        log |det ∂z/∂x| = log(1 + c·(1 - tanh²(s)))        c = wᵀû > -1                             (eqs. 11-12)

    û is u with its part along w changed such that c = wᵀû stays above -1 (appendix A.1; here u = 0 gives û = 0). Going
    back solves s + c·tanh(s) = wᵀz + b + vᵀcontext, one equation in one unknown (:mod:`~zoo_flows.transforms.root`).

    Args:
        size: length d of the vector.
        context: length of the context; 0 for none.
    """

    def __init__(self, size: int, *, context: int = 0) -> None:
        super().__init__()
        self.u = nn.Parameter(torch.zeros(size))
        self.w = nn.Parameter(torch.randn(size) / size**0.5)
        self.bias = nn.Parameter(torch.zeros(1))
        self.context = nn.Linear(context, 1, bias=False) if context else None

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        u, c = self._direction()
        tanh = torch.tanh(x @ self.w + self._bias(context))
        return x + torch.outer(tanh, u), torch.log(1.0 + c * (1.0 - tanh.square()))

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        u, c = self._direction()
        tanh = torch.tanh(root(c, z @ self.w + self._bias(context)))
        return z - torch.outer(tanh, u), -torch.log(1.0 + c * (1.0 - tanh.square()))

    def _direction(self) -> tuple[Tensor, Tensor]:
        """û ``[d]`` and c."""
        along, square = self.w @ self.u, self.w.square().sum()
        c = invertible(along)
        # with w = 0 nothing is stretched, and any û will do
        u = self.u + (c - along) / torch.where(square > 0, square, 1.0) * self.w
        return u, c

    def _bias(self, context: Tensor | None) -> Tensor:
        if self.context is None or context is None:
            return self.bias
        shift: Tensor = self.context(context)
        return self.bias + shift.squeeze(1)
