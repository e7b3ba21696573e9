"""The unfolded inverse of :mod:`~zoo_flows.transforms.unfolding`, written into a graph: small products or a loop.

``unroll`` writes what PyTorch computes, product by product, without control flow: the largest and fastest graph.
``loop`` writes one turn of a ``Loop`` whose state is what each layer has read so far and grows from turn to turn: a
graph of constant size for any d. Both slice their weights from the dense ones, which the bundle holds once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zoo.overriding import override
from zoo.programs.graph_writing import GraphBuilder, Value
from zoo_flows.transforms.bracket import IterativeMap, State
from zoo_flows.transforms.made import ACTIVATIONS, MADE
from zoo_flows.transforms.maps import AffineMap, Map
from zoo_flows.transforms.unfolding import unfold

#: values of a state of the root finder
_STATE = 4


def write(builder: GraphBuilder, way: str, network: MADE, map: Map, z: Value, context: Value | None) -> Value:
    """Noise ``[n, d]`` to data ``[n, d]``.

    Args:
        builder: the graph.
        way: ``"unroll"`` or ``"loop"``.
        network: the network, frozen.
        map: whose parameters it makes.
        z: noise.
        context: ``[n, c]``, or None.
    """
    z = builder("Transpose", z, perm=[1, 0])
    unrolled = _AffineNodes if isinstance(map, AffineMap) else _Nodes
    nodes = (_Nodes if way == "loop" else unrolled)(builder, way, network, map, z, context)
    x = _looped(nodes, z) if way == "loop" else unfold(network, nodes, z)[0]
    return builder("Transpose", x, perm=[1, 0])


@dataclass(frozen=True)
class _MapInverse:
    """A map's inverse, to be traced; equal for equal maps."""

    map: Map

    def __call__(self, z: Tensor, parameters: Tensor) -> Tensor:
        return self.map.inverse(z, parameters)


@dataclass(frozen=True)
class _MapBegin:
    """The initial state of the steps of a map's inverse, and the constants of all of them."""

    map: IterativeMap

    def __call__(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, ...]:
        prepared = self.map.prepared(parameters)
        return *self.map.begin(z, prepared), *prepared


@dataclass(frozen=True)
class _MapStep:
    """A step of a map's inverse, from state to state."""

    map: IterativeMap

    def __call__(self, z: Tensor, x: Tensor, low: Tensor, high: Tensor, before: Tensor, *prepared: Tensor) -> State:
        return self.map.step(z, prepared, (x, low, high, before))


class _Nodes:
    """The algebra of unfolding whose values are nodes ``[k, n]``."""

    def __init__(
        self, builder: GraphBuilder, way: str, network: MADE, map: Map, z: Value, context: Value | None
    ) -> None:
        self.builder, self.way, self.network, self.map = builder, way, network, map
        layers = [network.linear(index) for index in range(len(network.layers))]
        self.weights = [builder.constant(layer.weight.numpy()) for layer in layers]
        #: what is added to a layer's products: ``[k, 1]``, or ``[k, n]`` where the context contributes
        self.starts = [
            builder("Unsqueeze", builder.constant(layer.bias.numpy()), builder.integers(1)) for layer in layers
        ]
        for index, module in () if context is None else network.of_context().items():
            self.starts[index] = self._with_context(module, context, self.starts[index])
        n = builder("Slice", builder("Shape", z), builder.integers(1), builder.integers(2))
        self.row = builder("Concat", builder.integers(1), n, axis=0)  # the shape [1, n]

    def _with_context(self, module: nn.Module, context: Value, start: Value) -> Value:
        if isinstance(module, nn.Linear):
            if module.bias is not None:
                start = self.builder("Add", start, self.builder.constant(module.bias.unsqueeze(1).numpy()))
            return self.builder("Gemm", self.builder.constant(module.weight.numpy()), context, start, transB=1)
        size = next(each.in_features for each in module.modules() if isinstance(each, nn.Linear))
        (extra,) = self.builder.call(module, (context, ("batch", size)))
        return self.builder("Add", start, self.builder("Transpose", extra, perm=[1, 0]))

    def start(self, index: int, rows: slice) -> Value:
        value = self._slice(self.starts[index], (rows.start,), (rows.stop,), 0)
        # the first units of a layer may have nothing to read, and then no product brings in the batch
        return self.builder("Expand", value, self.row) if rows.start == 0 else value

    def product(self, index: int, rows: slice, columns: slice, x: Value, start: Value) -> Value:
        weight = self._slice(self.weights[index], (rows.start, columns.start), (rows.stop, columns.stop), 0, 1)
        return self.builder("Gemm", weight, x, start)

    def activation(self, x: Value) -> Value:
        return self.activation_in(self.builder, x)

    def activation_in(self, builder: GraphBuilder, x: Value) -> Value:
        """The activation in another graph than this one."""
        return builder(ACTIVATIONS[self.network.activation][1], x)

    def seen(self, x: Value) -> Value:
        return self.seen_in(self.builder, x)

    def seen_in(self, builder: GraphBuilder, x: Value) -> Value:
        """What the network reads of components, in another graph than this one."""
        reach = self.network.reach
        return x if math.isinf(reach) else builder("Clip", x, np.array(-reach, np.float32), np.array(reach, np.float32))

    def add(self, a: Value, b: Value) -> Value:
        return self.builder("Add", a, b)

    def cat(self, values: list[Value]) -> Value:
        return self.builder("Concat", *values, axis=0) if len(values) > 1 else values[0]

    def split(self, value: Value, sizes: list[int]) -> list[Value]:
        return self.builder.split(value, sizes, 0) if len(sizes) > 1 else [value]

    def inverse(self, z: Value, parameters: Value) -> Value:
        return self.inverse_in(self.builder, z, parameters)

    def inverse_in(self, builder: GraphBuilder, z: Value, parameters: Value) -> Value:
        """The map's inverse in another graph than this one: the body of a loop."""
        shapes = (1, "batch"), (self.map.count, "batch")
        if isinstance(self.map, IterativeMap):
            return self._root_in(builder, self.map, z, parameters)
        (x,) = builder.call(_MapInverse(self.map), (z, shapes[0]), (parameters, shapes[1]))
        return x

    def _root_in(self, builder: GraphBuilder, map: IterativeMap, z: Value, parameters: Value) -> Value:
        """The same by equal steps, of which one is traced."""
        shape = (1, "batch")
        begun = builder.call(_MapBegin(map), (z, shape), (parameters, (map.count, "batch")))
        state, prepared = begun[:_STATE], begun[_STATE:]
        sizes = [each.shape[0] for each in map.prepared(torch.zeros(map.count, 1))]
        constants = [(each, (size, "batch")) for each, size in zip(prepared, sizes, strict=True)]

        def step(builder: GraphBuilder, _: Value, state: Sequence[Value]) -> list[Value]:
            return builder.call(_MapStep(map), (z, shape), *((each, shape) for each in state), *constants)

        if self.way == "loop":
            return builder.loop(map.steps, state, step)[0]
        for _ in range(map.steps):
            state = step(builder, None, state)
        return state[0]

    def _slice(self, value: Value, starts: Sequence[int], ends: Sequence[int], *axes: int) -> Value:
        integers = self.builder.integers
        return self.builder("Slice", value, integers(*starts), integers(*ends), integers(*axes))


class _AffineNodes(_Nodes):
    """The same for affine maps, whose inverse (z - t)·exp(-s) takes three nodes a component beside its products.

    The last layer's rows of t are turned, and their constants are those of z - t. Its rows of u are scaled, so that
    softsign, which runtimes fuse with the product, gives s up to a factor: there u/(1 + \\|u\\|/ln L) is
    softsign(u/ln L)·ln L.
    """

    def __init__(
        self, builder: GraphBuilder, way: str, network: MADE, map: Map, z: Value, context: Value | None
    ) -> None:
        super().__init__(builder, way, network, map, z, context)
        assert isinstance(map, AffineMap)
        self.last = len(self.weights) - 1
        self.limit = np.array(-math.log(map.largest), np.float32)
        factors = np.tile(np.array([[-1.0], [-1.0 / self.limit]], np.float32), (network.size, 1))
        self.weights[self.last] = builder("Mul", self.weights[self.last], factors)
        # z stands in every other row: beside t, not beside u
        pairs = builder("Pad", builder("Unsqueeze", z, builder.integers(1)), builder.integers(0, 0, 0, 0, 1, 0))
        rows = builder("Reshape", pairs, builder.integers(2 * network.size, -1))
        self.starts[self.last] = builder("Add", builder("Mul", self.starts[self.last], factors), rows)
        #: of the last layer, rows of several components that are yet to be split
        self._together: set[Value] = set()

    @override
    def start(self, index: int, rows: slice) -> Any:
        value = super().start(index, rows)
        return self._of_components(value) if index == self.last else value

    @override
    def product(self, index: int, rows: slice, columns: slice, x: Value, start: Any) -> Any:
        if index != self.last or not isinstance(start, _Pair):
            value = super().product(index, rows, columns, x, start)
            return self._of_components(value) if index == self.last else value
        shift, scale = (
            super(_AffineNodes, self).product(index, slice(row, row + 1), columns, x, each)
            for row, each in zip(range(rows.start, rows.stop), start, strict=True)
        )
        return _Pair(shift, scale)

    def _of_components(self, value: Value) -> Value:
        self._together.add(value)
        return value

    @override
    def split(self, value: Value, sizes: list[int]) -> list[Any]:
        if value not in self._together:
            return super().split(value, sizes)
        rows = self.builder.split(value, [1] * sum(sizes), 0)
        return [_Pair(*rows[i : i + 2]) for i in range(0, len(rows), 2)]

    @override
    def cat(self, values: list[Any]) -> Value:
        # nobody reads the parameters of all components
        return values[0].shift if isinstance(values[0], _Pair) else super().cat(values)

    @override
    def inverse(self, z: Value, parameters: Any) -> Value:
        builder = self.builder
        logarithm = builder("Mul", builder("Softsign", parameters.scale), self.limit)
        return builder("Mul", parameters.shift, builder("Exp", logarithm))


class _Pair(NamedTuple):
    """Of one component z - t and u, scaled."""

    shift: Value
    scale: Value


def _looped(nodes: _Nodes, z: Value) -> Value:
    """The first component outside, since no layer has read anything yet, and the others one a turn."""
    builder, network = nodes.builder, nodes.network
    nothing = builder("Slice", z, builder.integers(0), builder.integers(0), builder.integers(0))  # [0, n]
    read: list[Value] = [nothing] * len(network.layers)

    def linear(index: int, value: Value | None) -> Value | None:
        """Units of degree 0: those that read the context alone, and units that read only those."""
        rows = slice(0, network.linear(index).outputs_below[1])
        if rows.stop == 0:
            return None
        start = nodes.start(index, rows)
        if value is None:
            return start
        read[index] = value
        return nodes.product(index, rows, slice(0, network.linear(index).inputs_below[1]), value, start)

    x = nodes.inverse(
        builder("Gather", z, builder.integers(0), axis=0), network.through(None, linear, *_optional(nodes))
    )
    if network.size == 1:
        return x
    before, *read = builder.loop(network.size - 1, [x, *read], _Turn(nodes, z))
    return builder("Concat", read[0], before, axis=0)


class _Turn:
    """Writes one turn of the loop: the units of degree turn + 1."""

    def __init__(self, nodes: _Nodes, z: Value) -> None:
        self.nodes, self.z = nodes, z
        degrees = range(1, nodes.network.size)
        layers = [nodes.network.linear(index) for index in range(len(nodes.network.layers))]
        #: first row and column, and those after the last, of each layer's weights in each turn
        self.begins = [np.array([(layer.outputs_below[i], 0) for i in degrees]) for layer in layers]
        self.ends = [
            np.array([(layer.outputs_below[i + 1], layer.inputs_below[i + 1]) for i in degrees]) for layer in layers
        ]

    def __call__(self, builder: GraphBuilder, turn: Value, state: Sequence[Value]) -> list[Value]:
        before, *read = state

        def linear(index: int, value: Value) -> Value:
            read[index] = builder("Concat", read[index], value, axis=0)
            begin, end = (builder("Gather", builder.constant(table[index]), turn) for table in (self.begins, self.ends))
            weight = builder("Slice", self.nodes.weights[index], begin, end, builder.integers(0, 1))
            rows = [builder("Slice", edge, builder.integers(0), builder.integers(1)) for edge in (begin, end)]
            start = builder("Slice", self.nodes.starts[index], *rows, builder.integers(0))
            # the components themselves are carried: they are the result
            seen = self.nodes.seen_in(builder, read[0]) if index == 0 else read[index]
            return builder("Gemm", weight, seen, start)

        parameters = self.nodes.network.through(
            before,
            linear,
            lambda value: self.nodes.activation_in(builder, value),
            lambda a, b: builder("Add", a, b),
        )
        row = builder("Add", builder("Unsqueeze", turn, builder.integers(0)), builder.integers(1))
        return [self.nodes.inverse_in(builder, builder("Gather", self.z, row, axis=0), parameters), *read]


def _optional(
    nodes: _Nodes,
) -> tuple[Callable[[Value | None], Value | None], Callable[[Value | None, Value | None], Value | None]]:
    """Activation and sum of values, which are None where there are no units."""
    return (
        lambda value: None if value is None else nodes.activation(value),
        lambda a, b: None if a is None or b is None else nodes.add(a, b),
    )
