"""Autoregressive transforms: masked (Papamakarios et al. 2017, arXiv:1705.07057) and inverse (Kingma et al. 2016).

::

    zᵢ = f(xᵢ; parameters(x₀ … xᵢ₋₁, context))

where f is an increasing map, affine in MAF and a spline in neural spline flows. The Jacobian is triangular, so its
log-determinant is the sum of the maps' log-slopes.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence

import torch
from torch import Tensor

from zoo.overriding import override
from zoo.programs.graph_writing import GraphBuilder, Value
from zoo.programs.ports import Dim
from zoo_flows.transforms import unfolding, unfolding_graph, unfolding_plan
from zoo_flows.transforms.base import ITERATIVE_WAYS, WAYS, Direction, Transform
from zoo_flows.transforms.bracket import IterativeMap
from zoo_flows.transforms.made import MADE
from zoo_flows.transforms.maps import Map
from zoo_flows.transforms.precision import conditioned

_SWAPPED: dict[Direction, Direction] = {"forward": "inverse", "inverse": "forward"}


class Autoregressive(Transform):
    """Data to noise in one pass of a masked network; noise to data component by component, at about the same cost.

    The inverse takes d small steps, one after the other, but computes each hidden unit only once
    (:mod:`zoo_flows.transforms.unfolding`): arithmetic of one pass, latency of d steps.

    Args:
        size: length d of the vector.
        map: of each component.
        context: length of the context; 0 for none.
        hidden: widths of the hidden layers.
        residual: see :class:`~zoo_flows.transforms.made.MADE`.
    """

    sequential: frozenset[Direction] = frozenset({"inverse"})
    written = sequential

    def __init__(
        self, size: int, map: Map, *, context: int = 0, hidden: Sequence[int] = (64, 64), residual: bool = False
    ) -> None:
        super().__init__()
        self.map = map
        self.ways = ITERATIVE_WAYS if isinstance(map, IterativeMap) else WAYS
        self.network = MADE(size, map.count, context=context, hidden=hidden, residual=residual)

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_slope = self.map.forward(x.unsqueeze(0), conditioned(self.network, x, context).movedim(2, 0))
        return z.squeeze(0), log_slope.sum((0, 2))

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        # gradients, residual blocks and other activations than ReLU need what memory held before
        kept = torch.is_grad_enabled() or self.network.residual or self.network.activation != "relu"
        unfolded = unfolding.data if kept else unfolding_plan.data
        x, parameters = unfolded(self.network, self.map, z, context)
        # the slopes of all components together, once, instead of in every small step
        by_parameter = torch.unflatten(parameters, 0, (self.network.size, -1)).movedim(1, 0)
        _, log_slope = self.map.forward(x.unsqueeze(0), by_parameter)
        return x.T, -log_slope.sum((0, 1))

    def frozen(self) -> Transform:
        """With the masks multiplied in."""
        frozen = Autoregressive.__new__(Autoregressive)
        Transform.__init__(frozen)
        frozen.map, frozen.ways, frozen.network = copy.deepcopy(self.map), self.ways, self.network.frozen()
        return frozen.eval().requires_grad_(False)

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
        x = unfolding_graph.write(builder, way, self.network, self.map, value, context)
        if not log_det:
            return x, None
        # one pass over what came out gives the slopes of all components together
        inputs: list[tuple[Value, tuple[Dim, ...]]] = [(x, ("batch", self.network.size))]
        if context is not None and self.network.context is not None:
            inputs.append((context, ("batch", self.network.context.in_features)))
        _, forward_log_det = builder.call(self, *inputs)
        return x, builder("Neg", forward_log_det)


class Inverted(Transform):
    """Another transform with its directions swapped: of an autoregressive one it makes an inverse autoregressive one.

    So noise becomes data in one pass, and scoring takes d steps.

    Args:
        transform: the other one.
    """

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self.transform = transform
        self.sequential = frozenset(_SWAPPED[direction] for direction in transform.sequential)
        self.written = frozenset(_SWAPPED[direction] for direction in transform.written)
        self.ways = transform.ways

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        return self.transform.inverse(x, context)

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_det = self.transform(z, context)
        return z, log_det

    @override
    def frozen(self) -> Transform:
        return Inverted(self.transform.frozen()).eval()

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
        return self.transform.write(builder, _SWAPPED[direction], way, value, context, log_det=log_det)
