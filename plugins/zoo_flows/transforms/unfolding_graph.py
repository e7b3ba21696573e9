"""The unfolded inverse of :mod:`~zoo_flows.transforms.unfolding`, written into a graph: small products or a loop.

``unroll`` writes what PyTorch computes, product by product, without control flow: largest, and fastest. ``loop`` writes
one turn of a ``Loop`` whose state is what each layer has read so far, and which grows from turn to turn: a graph of a
constant size, whatever d is. Both cut their weights out of the dense ones, which stand in the bundle once.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from torch import Tensor

from zoo.writing import Net, Value
from zoo_flows.transforms.made import MADE
from zoo_flows.transforms.maps import Map
from zoo_flows.transforms.unfolding import unfold


def write(net: Net, way: str, made: MADE, map: Map, z: Value, context: Value | None) -> tuple[Value, Value]:
    """Noise ``[n, d]`` to data ``[n, d]`` and the log-determinant ``[n]``.

    Args:
        net: the graph.
        way: ``"unroll"`` or ``"loop"``.
        made: the network, frozen.
        map: whose parameters it makes.
        z: noise.
        context: ``[n, c]``, or None.
    """
    weights = _Weights(net, made, map, context)
    x, log_slope = _looped(net, weights, z) if way == "loop" else unfold(made, _Nodes(net, weights, z), z)
    return x, net("ReduceSum", log_slope, net.integers(1), keepdims=0)


@dataclass(frozen=True)
class _MapInverse:
    """A map's inverse as what is traced; equal for equal maps."""

    map: Map

    def __call__(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return self.map.inverse(z, parameters.unsqueeze(1))


class _Weights:
    """A network's constants in a graph."""

    def __init__(self, net: Net, made: MADE, map: Map, context: Value | None) -> None:
        self.made, self._map = made, map
        layers = [made.linear(index) for index in range(len(made.layers))]
        self.weight = [net.constant(layer.weight.numpy()) for layer in layers]
        #: what is added to a layer's products: ``[1, k]``, or ``[n, k]`` where the context contributes
        self.start = [net("Unsqueeze", net.constant(layer.bias.numpy()), net.integers(0)) for layer in layers]
        if made.context is not None and context is not None:
            weight = net.constant(made.context.weight.numpy())
            self.start[0] = net("Gemm", context, weight, self.start[0], transB=1)

    def inverse(self, net: Net, z: Value, parameters: Value) -> tuple[Value, Value]:
        """The map's inverse: ``[n, 1]`` and ``[n, P]`` to x and log dx/dz, both ``[n, 1]``."""
        shapes = ("batch", 1), ("batch", self._map.count)
        x, log_slope = net.call(_MapInverse(self._map), (z, shapes[0]), (parameters, shapes[1]))
        return x, log_slope


class _Nodes:
    """The algebra of unfolding whose values are nodes."""

    def __init__(self, net: Net, weights: _Weights, z: Value) -> None:
        self.net, self.weights = net, weights
        n = net("Slice", net("Shape", z), net.integers(0), net.integers(1))
        self.column = net("Concat", n, net.integers(1), axis=0)  # the shape [n, 1]

    def start(self, index: int, rows: slice) -> Value:
        value = self._slice(self.weights.start[index], (rows.start,), (rows.stop,), 1)
        # the first units of a layer may have nothing to read, and then no product brings in the batch
        return self.net("Expand", value, self.column) if rows.start == 0 else value

    def product(self, index: int, rows: slice, columns: slice, x: Value, start: Value) -> Value:
        weight = self._slice(self.weights.weight[index], (rows.start, columns.start), (rows.stop, columns.stop), 0, 1)
        return self.net("Gemm", x, weight, start, transB=1)

    def relu(self, x: Value) -> Value:
        return self.net("Relu", x)

    def add(self, a: Value, b: Value) -> Value:
        return self.net("Add", a, b)

    def cat(self, values: list[Value]) -> Value:
        return self.net("Concat", *values, axis=1) if len(values) > 1 else values[0]

    def split(self, value: Value, sizes: list[int]) -> list[Value]:
        return self.net.split(value, sizes, 1) if len(sizes) > 1 else [value]

    def inverse(self, z: Value, parameters: Value) -> tuple[Value, Value]:
        return self.weights.inverse(self.net, z, parameters)

    def _slice(self, value: Value, starts: Sequence[int], ends: Sequence[int], *axes: int) -> Value:
        integers = self.net.integers
        return self.net("Slice", value, integers(*starts), integers(*ends), integers(*axes))


def _looped(net: Net, weights: _Weights, z: Value) -> tuple[Value, Value]:
    """The first component outside, since no layer has read anything yet, and the others one a turn."""
    made = weights.made
    layers = len(made.layers)
    nothing = net("Slice", z, net.integers(0), net.integers(0), net.integers(1))  # [n, 0]
    first = _Nodes(net, weights, z)
    read: list[Value] = [nothing] * layers

    def linear(index: int, value: Value | None) -> Value | None:
        """Units of degree 0: those that read the context alone, and what reads them."""
        rows = slice(0, made.linear(index).outputs_below(1))
        if rows.stop == 0:
            return None
        start = first.start(index, rows)
        if value is None:
            return start
        read[index] = value
        return first.product(index, rows, slice(0, made.linear(index).inputs_below(1)), value, start)

    start = made.through(None, linear, *_optional(first))
    x, log_slope = weights.inverse(net, net("Gather", z, net.integers(0), axis=1), start)
    if made.size == 1:
        return x, log_slope
    log_det, before, *read = net.loop(made.size - 1, [log_slope, x, *read], _Turn(weights, z))
    return net("Concat", read[0], before, axis=1), log_det


class _Turn:
    """Writes one turn of the loop: the units of degree turn + 1."""

    def __init__(self, weights: _Weights, z: Value) -> None:
        self.weights, self.z = weights, z
        made = weights.made
        degrees = range(1, made.size)
        layers = [made.linear(index) for index in range(len(made.layers))]
        #: first row and column, and those after the last, of each layer's weights in each turn
        self.begins = [np.array([(layer.outputs_below(i), 0) for i in degrees]) for layer in layers]
        self.ends = [
            np.array([(layer.outputs_below(i + 1), layer.inputs_below(i + 1)) for i in degrees]) for layer in layers
        ]

    def __call__(self, net: Net, turn: Value, state: Sequence[Value]) -> list[Value]:
        total, before, *read = state

        def linear(index: int, value: Value) -> Value:
            read[index] = net("Concat", read[index], value, axis=1)
            begin, end = (net("Gather", net.constant(table[index]), turn) for table in (self.begins, self.ends))
            weight = net("Slice", self.weights.weight[index], begin, end, net.integers(0, 1))
            rows = [net("Slice", edge, net.integers(0), net.integers(1)) for edge in (begin, end)]
            start = net("Slice", self.weights.start[index], *rows, net.integers(1))
            return net("Gemm", read[index], weight, start, transB=1)

        parameters = self.weights.made.through(
            before, linear, lambda value: net("Relu", value), lambda a, b: net("Add", a, b)
        )
        column = net("Add", net("Unsqueeze", turn, net.integers(0)), net.integers(1))
        x, log_slope = self.weights.inverse(net, net("Gather", self.z, column, axis=1), parameters)
        return [net("Add", total, log_slope), x, *read]


def _optional(
    nodes: _Nodes,
) -> tuple[Callable[[Value | None], Value | None], Callable[[Value | None, Value | None], Value | None]]:
    """Relu and sum of values that may be of no units, and then are None."""
    return (
        lambda value: None if value is None else nodes.relu(value),
        lambda a, b: None if a is None or b is None else nodes.add(a, b),
    )
