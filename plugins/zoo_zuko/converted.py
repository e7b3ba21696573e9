"""zuko's MAF and NSF as flows of genzoo, whose transforms have the same parameters: sampling is written, not traced.

A masked network of zuko is one of :mod:`zoo_flows.transforms.made` once its units are sorted by degree: the number of
components, in the transform's order, that a unit depends on.
"""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
from torch import Tensor, nn
from zuko.distributions import DiagNormal
from zuko.flows import MaskedAutoregressiveTransform
from zuko.lazy import LazyComposedTransform
from zuko.nn import MaskedLinear as ZukoLinear
from zuko.nn import MaskedMLP
from zuko.transforms import MonotonicAffineTransform, MonotonicRQSTransform

from zoo import Condition
from zoo_flows.flow import Flow
from zoo_flows.transforms import AffineMap, Autoregressive, Map, Permutation, SplineMap, Transform
from zoo_flows.transforms.base import WAYS
from zoo_flows.transforms.made import MADE, MaskedLinear

#: slopes that both libraries limit alike, and where zuko's splines end
_SLOPE, _BOUND = 1e-3, 5.0


def converted(flow: Any, condition: Condition | None) -> Flow | None:
    """An equal flow, with copies of the weights as they are; None for one that has something else in it.

    Args:
        flow: of zuko.
        condition: a vector, or None.
    """
    transforms = flow.transform.transforms if type(flow.transform) is LazyComposedTransform else [flow.transform]
    if not _standard(flow.base(None)):
        return None
    layers: list[Transform] = []
    size = int(flow.base(None).event_shape[0])
    before = torch.arange(size)
    for transform in transforms:
        masked = _network(transform, 0 if condition is None else condition.size)
        if masked is None:
            return None
        network, map = masked
        order = torch.argsort(transform.order)
        layers += _permuted(before[order])
        layers.append(_autoregressive(network, map))
        before = torch.argsort(order)
    layers += _permuted(before)
    ours = Flow((size,), [], layers, condition=condition)
    return ours.to(flow.base(None).base_dist.loc).eval().requires_grad_(False)


def _standard(base: Any) -> bool:
    """Whether a base is of independent standard normals."""
    if not isinstance(base, DiagNormal):
        return False
    normal = base.base_dist
    return bool((normal.loc == 0).all()) and bool((normal.scale == 1).all())


def _permuted(order: Tensor) -> list[Transform]:
    return [] if torch.equal(order, torch.arange(len(order))) else [Permutation(len(order), order)]


def _autoregressive(network: MADE, map: Map) -> Transform:
    transform = Autoregressive.__new__(Autoregressive)
    Transform.__init__(transform)
    transform.map, transform.ways, transform.network = map, WAYS, network
    return transform


def _map(transform: Any) -> Map | None:
    """The map of each component."""
    univariate = transform.univariate
    if univariate is MonotonicAffineTransform and list(transform.shapes) == [(), ()]:
        return AffineMap(1 / _SLOPE)
    if (
        isinstance(univariate, partial)
        and univariate.func is MonotonicRQSTransform
        and not univariate.args
        and univariate.keywords == {"slope": _SLOPE}
    ):
        (bins,), (heights,), (derivatives,) = transform.shapes
        return SplineMap(bins, _BOUND) if (heights, derivatives) == (bins, bins - 1) else None
    return None


def _network(transform: Any, context: int) -> tuple[MADE, Map] | None:
    """The network with its units in order of degree, and the map; None for another kind of transform."""
    if type(transform) is not MaskedAutoregressiveTransform or type(transform.hyper) is not MaskedMLP:
        return None
    map, order = _map(transform), transform.order
    linear, activations = list(transform.hyper)[::2], list(transform.hyper)[1::2]
    if map is None or order is None or sorted(order.tolist()) != list(range(len(order))):
        return None
    if any(type(each) is not ZukoLinear or each.bias is None for each in linear):
        return None
    if any(type(each) is not nn.ReLU for each in activations):
        return None
    size = len(order)
    if linear[0].in_features != size + context:
        return None
    features = torch.argsort(order)
    degrees = list(range(1, size + 1))
    columns, layers = features, []
    for index, each in enumerate(linear):
        mask = each.mask[:, :size] if index == 0 else each.mask
        if index == len(linear) - 1:
            rows = (features.unsqueeze(1) * map.count + torch.arange(map.count)).flatten()
            after = [i for i in range(size) for _ in range(map.count)]
        else:
            unsorted = (mask[:, columns] * torch.tensor(degrees)).amax(1)
            rows = torch.argsort(unsorted, stable=True)
            after = unsorted[rows].tolist()
        layer = _layer(each, rows, columns, degrees, after, size)
        if layer is None:
            return None
        layers.append(layer)
        columns, degrees = rows, after
        if index == 0:
            first = rows
    masked = MADE.__new__(MADE)
    nn.Module.__init__(masked)
    masked.size, masked.outputs, masked.residual, masked.reach = size, map.count, False, math.inf
    masked.layers = nn.ModuleList(layers)
    masked.context = None
    if context:
        if not bool(linear[0].mask[:, size:].all()):
            return None
        masked.context = nn.Linear(context, len(first), bias=False)
        masked.context.weight = nn.Parameter(linear[0].weight[first, size:].detach().clone())
    return masked, map


def _layer(
    linear: Any, rows: Tensor, columns: Tensor, before: list[int], after: list[int], size: int
) -> MaskedLinear | None:
    """A layer with its units sorted; None if it reads others than those of its degree or less."""
    layer = MaskedLinear(before, after, size)
    assert layer.mask is not None
    if not torch.equal(linear.mask[rows][:, columns], layer.mask):
        return None
    layer.weight = nn.Parameter(linear.weight[rows][:, columns].detach() * layer.mask)
    layer.bias = nn.Parameter(linear.bias[rows].detach().clone())
    return layer
