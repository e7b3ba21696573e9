"""The Sylvester transform (van den Berg, Hasenclever, Tomczak & Welling 2018, arXiv:1803.05649), Householder form."""

from __future__ import annotations

import torch
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.overriding import override
from zoo_flows.transforms.base import Transform
from zoo_flows.transforms.householder import reflected
from zoo_flows.transforms.root import invertible, root


class Sylvester(Transform):
    """A planar transform of m directions at once (eq. 13)::

        z = x + Q·R·tanh(s)        s = R̃·Qᵀx + b + V·context
        log |det ∂z/∂x| = Σ log(1 + cᵢ·(1 - tanh²(sᵢ)))        cᵢ = Rᵢᵢ·R̃ᵢᵢ > -1                    (eq. 14)

    with m orthonormal columns Q, made of Householder reflections, and upper triangular R and R̃. Triangular they make
    Qᵀx follow from Qᵀz from the last component to the first, each by one equation in one unknown
    (:mod:`~zoo_flows.transforms.root`): m small steps.

    Args:
        size: length d of the vector.
        rank: m, from 1 to d.
        reflections: that make Q; 0 leaves it the first m components.
        context: length of the context; 0 for none.
    """

    def __init__(self, size: int, *, rank: int, reflections: int = 4, context: int = 0) -> None:
        super().__init__()
        if not 1 <= rank <= size:
            raise ConfigError(f"a Sylvester transform of {size} components needs a rank from 1 to {size}, not {rank}")
        self.rank = rank
        self.vectors = nn.Parameter(torch.randn(reflections, size))
        self.outer = nn.Parameter(torch.zeros(rank, rank))  # R, with cᵢ before its constraint on the diagonal
        self.inner = nn.Parameter(torch.zeros(rank, rank))  # R̃, with the logarithm of its diagonal
        self.bias = nn.Parameter(torch.zeros(rank))
        self.context = nn.Linear(context, rank, bias=False) if context else None

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        rows = self._rows()
        outer, inner, c = self._triangles()
        tanh = torch.tanh(x @ rows.T @ inner.T + self._bias(context))
        return x + tanh @ outer.T @ rows, torch.log(1.0 + c * (1.0 - tanh.square())).sum(1)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        rows = self._rows()
        outer, inner, c = self._triangles()
        rest, known = z @ rows.T, self._bias(context)
        tanhs: list[Tensor] = []
        for i in reversed(range(self.rank)):
            # yᵢ + Rᵢᵢ·tanh(sᵢ) = restᵢ and sᵢ = R̃ᵢᵢ·yᵢ + knownᵢ, with what later components contribute in both
            s = root(c[i], inner[i, i] * rest[:, i] + known[..., i])
            tanh = torch.tanh(s)
            y = rest[:, i] - outer[i, i] * tanh
            tanhs.insert(0, tanh)
            rest = rest - torch.outer(tanh, outer[:, i])
            known = known + torch.outer(y, inner[:, i])
        tanh = torch.stack(tanhs, dim=1)
        return z - tanh @ outer.T @ rows, -torch.log(1.0 + c * (1.0 - tanh.square())).sum(1)

    def _rows(self) -> Tensor:
        """Qᵀ ``[m, d]``."""
        size = self.vectors.shape[1]
        return reflected(torch.eye(self.rank, size).to(self.vectors), self.vectors)

    def _triangles(self) -> tuple[Tensor, Tensor, Tensor]:
        """R, R̃ and c."""
        c, diagonal = invertible(self.outer.diagonal()), self.inner.diagonal().exp()
        outer = torch.triu(self.outer, 1) + torch.diag(c / diagonal)
        return outer, torch.triu(self.inner, 1) + torch.diag(diagonal), c

    def _bias(self, context: Tensor | None) -> Tensor:
        if self.context is None or context is None:
            return self.bias
        shift: Tensor = self.context(context)
        return self.bias + shift
