"""An invertible linear map in LU form (Oliva et al. 2018; Durkan et al. 2019, section 4)."""

from __future__ import annotations

import copy

import torch
from torch import Tensor, nn

from zoo.overriding import override
from zoo.programs.graph_writing import GraphBuilder, Value
from zoo_flows.transforms.base import Direction, Transform, constant_log_det
from zoo_flows.transforms.permutation import random_order
from zoo_flows.transforms.precision import at_least_single


class LULinear(Transform):
    """z = L·U·x[order] + bias, with L unit lower and U upper triangular with a positive diagonal.

    Both factors are packed into one matrix: strictly below its diagonal L, above it U, on it the logarithms of U's
    diagonal, whose sum is the log-determinant. Zeros give the permutation alone. Training costs O(d²) a sample in
    either direction; :meth:`frozen` multiplies out, so that a graph holds one MatMul.

    Args:
        size: length d of the vector.
        permute: permute the components first, in an order drawn when built, or leave them where they are.
    """

    order: Tensor

    def __init__(self, size: int, *, permute: bool = True) -> None:
        super().__init__()
        self.packed = nn.Parameter(torch.zeros(size, size))
        self.bias = nn.Parameter(torch.zeros(size))
        self.register_buffer("order", random_order(size) if permute else torch.arange(size))

    def factors(self) -> tuple[Tensor, Tensor]:
        """L and U, ``[d, d]`` each."""
        return triangles(self.packed)

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lower, upper = self.factors()
        z = x[:, self.order] @ upper.T @ lower.T + self.bias
        return z, constant_log_det(self.packed.diagonal().sum(), x)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        lower, upper = self.factors()
        permuted = solved(lower, upper, (z - self.bias).T).T
        return permuted[:, torch.argsort(self.order)], constant_log_det(-self.packed.diagonal().sum(), z)

    @torch.no_grad()
    def frozen(self) -> Transform:
        """The dense matrix, its inverse and its log-determinant, computed in float64 and rounded once."""
        double = copy.deepcopy(self).double()
        lower, upper = double.factors()
        weight = (lower @ upper)[:, torch.argsort(self.order)]
        log_det = double.packed.diagonal().sum()
        return FrozenLinear(weight, double.bias, log_det, dtype=self.bias.dtype).eval()


def triangles(packed: Tensor, sign: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """L and U, ``[d, d]`` each, of which ``packed`` holds all that is not 0 or 1, with logarithms on the diagonal.

    Args:
        packed: ``[d, d]``.
        sign: of U's diagonal, ``[d]``; None for positive.
    """
    log_diagonal = packed.diagonal()
    diagonal = log_diagonal.exp() if sign is None else log_diagonal.exp() * sign
    lower = torch.tril(packed, -1) + torch.diag(torch.ones_like(log_diagonal))
    return lower, torch.triu(packed, 1) + torch.diag(diagonal)


def solved(lower: Tensor, upper: Tensor, b: Tensor) -> Tensor:
    """X with L·U·X = B, ``[..., d, n]``; in float32 at least."""
    dtype = at_least_single(b.dtype)
    inner = torch.linalg.solve_triangular(lower.to(dtype), b.to(dtype), upper=False, unitriangular=True)
    result: Tensor = torch.linalg.solve_triangular(upper.to(dtype), inner, upper=True).to(b.dtype)
    return result


class FrozenLinear(Transform):
    """z = W·x + b with constant W, W⁻¹ and log |det W|.

    Args:
        weight: W, float64 ``[d, d]``, invertible.
        bias: b, float64 ``[d]``.
        log_det: log |det W|, float64.
        dtype: to keep them in.
    """

    written = frozenset({"forward", "inverse"})
    weight: Tensor
    inverse_weight: Tensor
    bias: Tensor
    log_det: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, log_det: Tensor, *, dtype: torch.dtype) -> None:
        super().__init__()
        # transposed, and apart from the originals: as the graph uses them
        for name, value in (("weight", weight.T), ("inverse_weight", torch.linalg.inv(weight).T), ("bias", bias)):
            self.register_buffer(name, value.to(dtype).contiguous())
        self.register_buffer("log_det", log_det.to(dtype))

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x @ self.weight + self.bias, constant_log_det(self.log_det, x)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return (z - self.bias) @ self.inverse_weight, constant_log_det(-self.log_det, z)

    @override
    def write(
        self,
        builder: GraphBuilder,
        direction: Direction,
        way: str,
        value: Value,
        context: Value | None,
        *,
        log_det: bool,
    ) -> tuple[Value, Value | None]:
        bias, constant = builder.constant(self.bias.numpy()), builder.constant(self.log_det.numpy())
        if direction == "forward":
            return builder("Add", builder("MatMul", value, builder.constant(self.weight.numpy())), bias), constant
        return builder("MatMul", builder("Sub", value, bias), builder.constant(self.inverse_weight.numpy())), builder(
            "Neg", constant
        )
