"""Inverting a masked autoregressive transform at about the cost of one pass.

Component i of the inverse needs the parameters that the network computes from x₀ … xᵢ₋₁. d passes through the whole
network compute every unit d times, although it changes only once: when the last component that it reads becomes known.
Unfolded, the units of degree i are computed when it is the turn of degree i, so each once::

    for i = 0 … d-1:   in every layer, the units of degree i, from the units of degree ≤ i of the layer before
                       xᵢ = inverse map of zᵢ with the parameters of degree i

Degrees are taken in blocks of about √d. At the beginning of a block one large product adds the contributions of all
earlier blocks to all of its units; within it only the few units of the block itself are read. So little is copied, and
most of the arithmetic is in matrices large enough to be efficient.

Units are along the first axis here and samples along the second, so concatenating and slicing concern contiguous
memory. The same function runs in PyTorch (:class:`Tensors`), is recorded and run in place where no
gradient is wanted (:mod:`~zoo_flows.transforms.unfolding_plan`), and writes graphs without control flow (an algebra of
a graph's values): all are the same algorithm.
"""

from __future__ import annotations

import math
from itertools import pairwise
from typing import Generic, Protocol, TypeVar

import torch
from torch import Tensor

from zoo.overriding import override
from zoo_flows.transforms.made import ACTIVATIONS, MADE, MaskedLinear
from zoo_flows.transforms.maps import Map

_Value = TypeVar("_Value")


class Algebra(Protocol[_Value]):
    """What unfolding computes with: values ``[k, n]`` of k units, a layer's weights, and a map."""

    def start(self, index: int, rows: slice) -> _Value:
        """The constants of some outputs of a layer: bias, and for the first layer what the context contributes."""

    def product(self, index: int, rows: slice, columns: slice, x: _Value, start: _Value) -> _Value:
        """start + W·x with ``weight[rows, columns]`` of a layer."""

    def activation(self, x: _Value) -> _Value:
        """The activation of hidden units."""

    def seen(self, x: _Value) -> _Value:
        """What the network reads of a component: the component within ±reach."""

    def add(self, a: _Value, b: _Value) -> _Value:
        """Sum of two values."""

    def cat(self, values: list[_Value]) -> _Value:
        """Values one after the other along the first axis."""

    def split(self, value: _Value, sizes: list[int]) -> list[_Value]:
        """The inverse of :meth:`cat`."""

    def inverse(self, z: _Value, parameters: _Value) -> _Value:
        """The map's inverse: ``[1, n]`` and ``[P, n]`` to ``[1, n]``."""


def unfold(network: MADE, algebra: Algebra[_Value], z: _Value) -> tuple[_Value, _Value]:
    """Noise ``[d, n]`` to data ``[d, n]`` and the maps' parameters ``[d·P, n]``."""
    size = network.size
    block = max(1, math.isqrt(size))
    layers = [network.linear(index) for index in range(len(network.layers))]
    finished: list[_Value | None] = [None] * len(layers)
    pieces = algebra.split(z, [1] * size)
    xs: list[_Value] = []
    parameters: list[_Value] = []
    for low in range(0, size, block):
        turn = _Block(network, layers, algebra, low, min(low + block, size), finished)
        for degree in range(low, turn.high):
            parameters.append(turn.parameters(degree, algebra.seen(xs[-1]) if xs else None))
            xs.append(algebra.inverse(pieces[degree], parameters[-1]))
        if turn.high < size:
            finished = turn.finished()
    return algebra.cat(xs), algebra.cat(parameters)


class _Block(Generic[_Value]):
    """The degrees from ``low`` to ``high`` (exclusive); ``earlier`` is what each layer read of lower degrees."""

    def __init__(
        self,
        network: MADE,
        layers: list[MaskedLinear],
        algebra: Algebra[_Value],
        low: int,
        high: int,
        earlier: list[_Value | None],
    ) -> None:
        self.network, self.layers, self.algebra = network, layers, algebra
        self.low, self.high, self.earlier = low, high, earlier
        #: what each layer has read of degrees in this block
        self.recent: list[_Value | None] = [None] * len(layers)
        #: for each layer, the contributions of lower blocks to the units of each degree
        self.starts = [self._starts(index) for index in range(len(layers))]

    def _starts(self, index: int) -> list[_Value | None]:
        layer = self.layers[index]
        edges = [layer.outputs_below[degree] for degree in range(self.low, self.high + 1)]
        sizes = [b - a for a, b in pairwise(edges)]
        if edges[0] == edges[-1]:
            return [None] * len(sizes)
        rows = slice(edges[0], edges[-1])
        start = self.algebra.start(index, rows)
        if (before := self.earlier[index]) is not None:
            start = self.algebra.product(index, rows, slice(0, layer.inputs_below[self.low]), before, start)
        pieces = iter(self.algebra.split(start, [size for size in sizes if size]))
        return [next(pieces) if size else None for size in sizes]

    def parameters(self, degree: int, x: _Value | None) -> _Value:
        """The parameters of a component; ``x`` is what is seen of the component before it."""

        def linear(index: int, value: _Value | None) -> _Value | None:
            self.recent[index] = recent = self._joined(self.recent[index], value)
            start = self.starts[index][degree - self.low]
            if start is None or recent is None:
                return start
            layer = self.layers[index]
            rows = slice(layer.outputs_below[degree], layer.outputs_below[degree + 1])
            columns = slice(layer.inputs_below[self.low], layer.inputs_below[degree + 1])
            return self.algebra.product(index, rows, columns, recent, start)

        def activation(value: _Value | None) -> _Value | None:
            return None if value is None else self.algebra.activation(value)

        def add(a: _Value | None, b: _Value | None) -> _Value | None:
            return None if a is None or b is None else self.algebra.add(a, b)

        parameters = self.network.through(x, linear, activation, add)
        assert parameters is not None  # every component has parameters
        return parameters

    def finished(self) -> list[_Value | None]:
        """What each layer has read up to the end of this block."""
        return [self._joined(a, b) for a, b in zip(self.earlier, self.recent, strict=True)]

    def _joined(self, a: _Value | None, b: _Value | None) -> _Value | None:
        if a is None or b is None:
            return b if a is None else a
        return self.algebra.cat([a, b])


class Tensors(Algebra[Tensor]):
    """Unfolding with PyTorch.

    Args:
        network: the network.
        transform: the map.
        n: how many samples.
        context: ``[n, c]``, or None.
    """

    def __init__(self, network: MADE, map: Map, n: int, context: Tensor | None) -> None:
        self.map, self.reach = map, network.reach
        self._activation, _ = ACTIVATIONS[network.activation]
        # what is masked is not read either
        self.weights = [network.linear(index).weight for index in range(len(network.layers))]
        self.starts = [network.linear(index).bias.unsqueeze(1).expand(-1, n) for index in range(len(network.layers))]
        for index, module in () if context is None else network.of_context().items():
            self.starts[index] = self.starts[index] + module(context).T

    @override
    def start(self, index: int, rows: slice) -> Tensor:
        return self.starts[index][rows]

    @override
    def product(self, index: int, rows: slice, columns: slice, x: Tensor, start: Tensor) -> Tensor:
        return torch.addmm(start, self.weights[index][rows, columns], x)

    @override
    def activation(self, x: Tensor) -> Tensor:
        return self._activation(x)

    @override
    def seen(self, x: Tensor) -> Tensor:
        return x.clamp(-self.reach, self.reach)

    @override
    def add(self, a: Tensor, b: Tensor) -> Tensor:
        return a + b

    @override
    def cat(self, values: list[Tensor]) -> Tensor:
        return torch.cat(values)

    @override
    def split(self, value: Tensor, sizes: list[int]) -> list[Tensor]:
        return list(torch.split(value, sizes))

    @override
    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        return self.map.inverse(z, parameters)


def data(network: MADE, map: Map, z: Tensor, context: Tensor | None) -> tuple[Tensor, Tensor]:
    """Noise ``[n, d]`` to data ``[d, n]`` and the maps' parameters ``[d·P, n]``, with gradients if they are wanted."""
    return unfold(network, Tensors(network, map, z.shape[0], context), z.T.clone(memory_format=torch.contiguous_format))
