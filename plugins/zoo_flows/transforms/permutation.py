"""A fixed permutation of the components."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.overriding import override
from zoo.programs.graph_writing import GraphBuilder, Value
from zoo_flows.transforms.base import Direction, Transform, constant_log_det


class Permutation(Transform):
    """z = x[order]; kept as a buffer, so it is saved with the weights.

    Args:
        size: length d of the vector.
        order: None draws one from torch's generator, which always swaps 2 components.
    """

    order: Tensor

    def __init__(self, size: int, order: Tensor | None = None) -> None:
        super().__init__()
        self.register_buffer("order", random_order(size) if order is None else order)

    @classmethod
    def reverse(cls, size: int) -> Permutation:
        """The components from last to first."""
        return cls(size, torch.arange(size).flip(0))

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x[:, self.order], constant_log_det(x.new_zeros(()), x)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z[:, torch.argsort(self.order)], constant_log_det(z.new_zeros(()), z)

    def frozen(self) -> Transform:
        """Both directions as fixed index lists."""
        return _FrozenPermutation(self.order).eval()


def random_order(size: int) -> Tensor:
    """A random order of ``size`` components, int64, that is not the one they are in."""
    order, natural = torch.randperm(size), torch.arange(size)
    return order.flip(0) if torch.equal(order, natural) else order


class _FrozenPermutation(Transform):
    written = frozenset({"forward", "inverse"})
    order: Tensor
    undo: Tensor

    def __init__(self, order: Tensor) -> None:
        super().__init__()
        self.register_buffer("order", order.clone())
        self.register_buffer("undo", torch.argsort(order))

    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return x.index_select(1, self.order), constant_log_det(x.new_zeros(()), x)

    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return z.index_select(1, self.undo), constant_log_det(z.new_zeros(()), z)

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
        order = self.order if direction == "forward" else self.undo
        return builder("Gather", value, builder.constant(order.numpy()), axis=1), None
