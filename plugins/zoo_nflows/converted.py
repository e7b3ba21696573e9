"""Autoregressive transforms of nflows as those of genzoo: their sampling is written, each hidden unit computed once.

A masked network of nflows is one of :mod:`zoo_flows.transforms.made` once its units are sorted by degree. Other
transforms beside them stay the library's own, and are traced.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

import torch
from nflows.distributions.normal import StandardNormal
from nflows.transforms import made
from nflows.transforms.autoregressive import (
    AutoregressiveTransform,
    MaskedAffineAutoregressiveTransform,
    MaskedPiecewiseRationalQuadraticAutoregressiveTransform,
)
from nflows.transforms.base import CompositeTransform
from nflows.transforms.base import Transform as NflowsTransform
from nflows.transforms.permutations import Permutation as NflowsPermutation
from torch import Tensor, nn
from torch.nn import functional as F

from zoo import Condition
from zoo.overriding import override
from zoo.programs.graph_writing import Writer
from zoo_flows import graph_writing
from zoo_flows.bases import StandardNormal as StandardBase
from zoo_flows.transforms import Autoregressive, Map, Permutation, Transform
from zoo_flows.transforms.base import WAYS
from zoo_flows.transforms.made import MADE, MaskedLinear
from zoo_nflows import mends, shared

_Value = TypeVar("_Value")

#: the activations that both have
_ACTIVATIONS: Mapping[object, str] = {
    F.relu: "relu",
    torch.relu: "relu",
    torch.tanh: "tanh",
    F.tanh: "tanh",
    F.elu: "elu",
}


def written(flow: Any, event_shape: tuple[int, ...], context: int) -> dict[str, Writer]:
    """The ways to write the graph from noise to data of a flow of nflows; none where it is better traced.

    Args:
        flow: in evaluation mode.
        event_shape: of one sample.
        context: length of the context that its transforms see, 0 for none.
    """
    described = converted(flow, event_shape, context)
    return {} if described is None else {way: partial(graph_writing.inverse, described, way) for way in WAYS}


def converted(flow: Any, event_shape: tuple[int, ...], context: int) -> graph_writing.WrittenFlow | None:
    """The parts of an equal flow, with copies of the weights as they are; None where nothing is gained.

    Arguments as for :func:`written`.
    """
    layers: list[Transform] = []
    if len(event_shape) != 1 or not isinstance(flow._distribution, StandardNormal):
        return None
    for part in _flat(flow._transform):
        if isinstance(part, AutoregressiveTransform):
            transform = _autoregressive(part)
            if transform is None:
                return None
            layers.append(transform.frozen())
        elif isinstance(part, NflowsPermutation) and part._dim == 1:
            layers.append(Permutation(event_shape[0], part._permutation.cpu()).frozen())
        elif any(isinstance(each, AutoregressiveTransform) for each in part.modules()):
            return None  # within something that is not taken apart
        else:
            layers.append(_Own(part).eval())
    if not any(isinstance(each, Autoregressive) for each in layers):
        return None
    condition = Condition.vector(context) if context else None
    return graph_writing.WrittenFlow(
        tuple(layers), StandardBase(event_shape[0]), event_shape, event_shape, condition, None, context
    )


def _flat(transform: NflowsTransform) -> list[NflowsTransform]:
    if type(transform) is not CompositeTransform:
        return [transform]
    return [each for part in transform._transforms for each in _flat(part)]


class _Own(Transform):
    """A transform of the library, in its own code."""

    def __init__(self, part: NflowsTransform) -> None:
        super().__init__()
        self.part = part

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        with mends.uncached(self.part), mends.mended():
            z, volume = self.part(x, context)
        return z, volume

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        with mends.uncached(self.part), mends.mended():
            x, volume = self.part.inverse(z, context)
        return x, volume


@dataclass(frozen=True)
class _Affine(Map):
    """z = (softplus(u) + ε)·x + t with the parameters (u, t), as ``MaskedAffineAutoregressiveTransform`` has it."""

    least: float

    @property
    @override
    def count(self) -> int:
        return 2

    @override
    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        u, shift = parameters.chunk(2)
        slope = F.softplus(u) + self.least
        return slope * x + shift, torch.log(slope).expand_as(x)

    @override
    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        u, shift = parameters.chunk(2)
        return (z - shift) / (F.softplus(u) + self.least)

    @override
    def inverse_with_slope(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        x = self.inverse(z, parameters)
        return x, -torch.log(F.softplus(parameters.chunk(2)[0]) + self.least).expand_as(x)


@dataclass(frozen=True)
class _Spline(Map):
    """The rational-quadratic spline of nflows, with linear tails.

    Attributes:
        bins: of the spline.
        bound: it acts on [-bound, bound].
        divisor: of the logits of widths and heights.
        options: further arguments of the library's function.
    """

    bins: int
    bound: float
    divisor: float
    options: tuple[tuple[str, float], ...]

    @property
    @override
    def count(self) -> int:
        return 3 * self.bins - 1

    def _applied(self, x: Tensor, parameters: Tensor, inverse: bool) -> tuple[Tensor, Tensor]:
        widths, heights, derivatives = torch.split(
            parameters.movedim(0, -1), [self.bins, self.bins, self.bins - 1], dim=-1
        )
        arguments = {
            "unnormalized_widths": widths / self.divisor,
            "unnormalized_heights": heights / self.divisor,
            "unnormalized_derivatives": derivatives,
            "inverse": inverse,
            **dict(self.options),
        }
        y, log_slope = shared.rational_quadratic(x.squeeze(0), arguments, self.bound)
        return y.unsqueeze(0), log_slope.unsqueeze(0)

    @override
    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return self._applied(x, parameters, False)

    @override
    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        return self._applied(z, parameters, True)[0]

    @override
    def inverse_with_slope(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        return self._applied(z, parameters, True)


def _autoregressive(part: AutoregressiveTransform) -> Autoregressive | None:
    map = _map(part)
    network = None if map is None else _network(part.autoregressive_net, map.count)
    if map is None or network is None:
        return None
    transform = Autoregressive.__new__(Autoregressive)
    Transform.__init__(transform)
    transform.map, transform.ways, transform.network = map, WAYS, network
    return transform


def _map(part: AutoregressiveTransform) -> Map | None:
    """The map of each component; None for others than affine ones and splines with linear tails."""
    if type(part) is MaskedAffineAutoregressiveTransform:
        return _Affine(float(part._epsilon))
    if type(part) is not MaskedPiecewiseRationalQuadraticAutoregressiveTransform or part.tails != "linear":
        return None
    divisor = math.sqrt(getattr(part.autoregressive_net, "hidden_features", 1))
    options = tuple(
        (name, float(getattr(part, name))) for name in ("min_bin_width", "min_bin_height", "min_derivative")
    )
    return _Spline(int(part.num_bins), float(part.tail_bound), divisor, options)


class _Network(MADE):
    """A masked network of nflows: residual blocks end without an activation, and each layer may read the context."""

    #: by the index of a layer
    contexts: nn.ModuleDict

    @override
    def of_context(self) -> dict[int, nn.Module]:
        return {int(index): module for index, module in self.contexts.items()}

    @override
    def through(
        self,
        x: _Value,
        linear: Callable[[int, _Value], _Value],
        activation: Callable[[_Value], _Value],
        add: Callable[[_Value, _Value], _Value],
    ) -> _Value:
        if not self.residual:
            return super().through(x, linear, activation, add)
        last = len(self.layers) - 1
        h = linear(0, x)
        for index in range(1, last, 2):
            inner = linear(index, activation(h))
            h = add(h, linear(index + 1, activation(inner)))
        return linear(last, h)


class _Activated(nn.Module):
    """What the first layer reads of a context."""

    def __init__(self, linear: nn.Linear, activation: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self.linear, self._activation = linear, activation

    def forward(self, context: Tensor) -> Tensor:
        return self._activation(self.linear(context))


def _network(theirs: Any, count: int) -> MADE | None:
    """The network with its units in order of degree; None for one that has something else in it."""
    activation = _ACTIVATIONS.get(theirs.activation) if type(theirs) is made.MADE else None
    if activation is None:
        return None
    blocks, residual = list(theirs.blocks), bool(theirs.use_residual_blocks)
    if any(block.use_batch_norm if residual else block.batch_norm is not None for block in blocks):
        return None
    inner = [each for block in blocks for each in (block.linear_layers if residual else [block.linear])]
    size = theirs.initial_layer.in_features
    columns, before, layers = torch.arange(size), list(range(1, size + 1)), []
    orders = []
    for each in (theirs.initial_layer, *inner, theirs.final_layer):
        last = each is theirs.final_layer
        degrees = [i for i in range(size) for _ in range(count)] if last else each.degrees.tolist()
        rows = torch.argsort(torch.tensor(degrees), stable=True)
        after = sorted(degrees)
        layer = MaskedLinear(before, after, size)
        assert layer.mask is not None
        if not torch.equal(each.mask.cpu()[rows][:, columns].bool(), layer.mask):
            return None
        layer.weight = nn.Parameter(each.weight.detach().cpu()[rows][:, columns] * layer.mask)
        layer.bias = nn.Parameter(each.bias.detach().cpu()[rows])
        layers.append(layer)
        orders.append(rows)
        columns, before = rows, after
    if residual and any(not torch.equal(orders[0], each) for each in orders[:-1]):
        return None  # sums are of the same units
    network = _Network.__new__(_Network)
    nn.Module.__init__(network)
    network.size, network.outputs, network.residual, network.reach = size, count, residual, math.inf
    network.activation, network.context = activation, None
    network.layers, network.contexts = nn.ModuleList(layers), nn.ModuleDict()
    if hasattr(theirs, "context_layer"):
        first = _sorted(theirs.context_layer, orders[0])
        network.contexts["0"] = _Activated(first, theirs.activation)
        if residual:
            for number, block in enumerate(blocks):
                network.contexts[str(1 + 2 * number)] = _sorted(block.context_layer, orders[1 + 2 * number])
    return network


def _sorted(linear: nn.Linear, rows: Tensor) -> nn.Linear:
    """A layer that reads the context, with its units sorted."""
    ours = nn.Linear(linear.in_features, linear.out_features)
    ours.weight = nn.Parameter(linear.weight.detach().cpu()[rows])
    ours.bias = nn.Parameter(linear.bias.detach().cpu()[rows])
    return ours
