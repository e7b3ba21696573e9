"""The graphs of flows with sequential transforms: these are written, and the transforms between them are traced."""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from zoo.conditions import Condition
from zoo.models.contexts import StandardizedContext
from zoo.models.interface import finite_part
from zoo.programs.graph_writing import GraphBuilder, Value
from zoo.programs.ports import Dim
from zoo_flows.bases import Base, StandardNormal
from zoo_flows.transforms.base import Direction, Transform

_FLOAT = 1  # as ONNX numbers its types


@dataclass(frozen=True)
class WrittenFlow:
    """The parts of a flow that its graphs are written from.

    Attributes:
        transforms: of data, from data towards noise, their constants folded.
        base: the distribution of the noise.
        event_shape: shape of one sample.
        noise_shape: shape of one base sample.
        condition: what samples are conditioned on, or None.
        contexts: standardises a condition that is a vector, or None.
        context_size: length of the context that transforms see of it; 0 for none.
    """

    transforms: tuple[Transform, ...]
    base: Base
    event_shape: tuple[int, ...]
    noise_shape: tuple[int, ...]
    condition: Condition | None
    contexts: StandardizedContext | None
    context_size: int

    @property
    def size(self) -> int:
        """How many numbers an event holds."""
        return math.prod(self.event_shape)


def inverse(flow: WrittenFlow, way: str | None, builder: GraphBuilder, inputs: Sequence[Value]) -> list[Value]:
    """Base noise and condition to data.

    Args:
        flow: the flow.
        way: how sequential transforms are written; None without any, where every transform is a call.
        builder: the graph.
        inputs: of the graph ``inverse``.
    """
    noise, *condition = inputs
    if not isinstance(flow.base, StandardNormal):
        if len(flow.noise_shape) > 1:
            noise = builder("Flatten", noise, axis=1)
        noise = _of_base(builder, "from_noise", flow, noise, condition)
        if len(flow.event_shape) > 1:
            noise = builder("Reshape", noise, builder.integers(-1, *flow.event_shape))
    x, _ = _through(flow, "inverse", way, builder, [noise, *condition])
    return [builder("Reshape", x, builder.integers(-1, *flow.event_shape)) if len(flow.event_shape) > 1 else x]


def log_prob(flow: WrittenFlow, way: str | None, builder: GraphBuilder, inputs: Sequence[Value]) -> list[Value]:
    """Data and condition to log-density; arguments as for :func:`inverse`."""
    data, *condition = inputs
    finite, beyond = builder.call(finite_part, (data, ("batch", *flow.event_shape)))
    return [builder("Add", _of_finite(flow, way, builder, [finite, *condition]), beyond)]


def _of_finite(flow: WrittenFlow, way: str | None, builder: GraphBuilder, inputs: Sequence[Value]) -> Value:
    z, log_det = _through(flow, "forward", way, builder, inputs)
    if not isinstance(flow.base, StandardNormal):
        return builder("Add", log_det, _of_base(builder, "log_prob", flow, z, inputs[1:]))
    squares = builder("ReduceSum", builder("Mul", z, z), builder.integers(1), keepdims=0)
    constant = np.array(0.5 * flow.size * math.log(2.0 * math.pi), np.float32)
    return builder("Sub", builder("Sub", log_det, constant), builder("Mul", squares, np.array(0.5, np.float32)))


def _through(
    flow: WrittenFlow, direction: Direction, way: str | None, builder: GraphBuilder, inputs: Sequence[Value]
) -> tuple[Value, Value | None]:
    value, *condition = inputs
    if len(flow.event_shape) > 1:
        value = builder("Flatten", value, axis=1)
    context = _context(flow, builder, condition[0]) if condition else None
    total: list[Value] = []
    # of what is written, one number for all samples
    shared: list[Value] = []
    for part, is_written in _parts(flow, direction, way):
        if is_written:
            # without a way there is nothing sequential, and what is written is so in one way
            wanted = direction == "forward"
            value, log_det = part.write(builder, direction, way or "", value, context, log_det=wanted)
            shared += [] if log_det is None else [log_det]
        else:
            value, *volume = builder.call(part, *_with_context(flow, (value, ("batch", flow.size)), context))
            total += volume
    sums = [functools.reduce(lambda a, b: builder("Add", a, b), each) for each in (total, shared) if each]
    return value, functools.reduce(lambda a, b: builder("Add", a, b), sums) if sums else None


def _parts(flow: WrittenFlow, direction: Direction, way: str | None) -> Iterator[tuple[Any, bool]]:
    """Transforms that are written, and modules that are traced, in order, each with whether it is written."""
    for is_written, group in groupby(_in_order(flow, direction), lambda t: direction in t.written):
        if is_written:
            yield from ((transform, True) for transform in group)
        elif way is not None:
            yield _Chain(list(group), direction), False
        else:  # one by one, so that one is traced for all that are alike
            yield from ((_Step(each, "forward" if direction == "forward" else "data"), False) for each in group)


def _of_base(builder: GraphBuilder, method: str, flow: WrittenFlow, value: Value, condition: Sequence[Value]) -> Value:
    size = flow.base.noise_size if method == "from_noise" else flow.size
    context = _context(flow, builder, condition[0]) if condition else None
    (out,) = builder.call(_Base(flow.base, method), *_with_context(flow, (value, ("batch", size)), context))
    return out


def _in_order(flow: WrittenFlow, direction: Direction) -> Iterator[Transform]:
    return iter(flow.transforms if direction == "forward" else flow.transforms[::-1])


def _context(flow: WrittenFlow, builder: GraphBuilder, condition: Value) -> Value:
    """The context that transforms receive: the vector standardised, the class one-hot, or the encoded parts."""
    assert flow.condition is not None
    if not flow.condition.plain:
        return condition
    if flow.condition.kind == "vector":
        standardize = flow.contexts
        if standardize is None:
            return condition
        shift, scale = (builder.constant(buffer.numpy()) for buffer in (standardize.shift, standardize.scale))
        return builder("Div", builder("Sub", condition, shift), scale)
    classes = np.arange(flow.condition.size, dtype=np.int32)
    return builder("Cast", builder("Equal", builder("Unsqueeze", condition, builder.integers(1)), classes), to=_FLOAT)


def _with_context(
    flow: WrittenFlow, first: tuple[Value, tuple[Dim, ...]], context: Value | None
) -> list[tuple[Value, tuple[Dim, ...]]]:
    inputs = [first]
    if context is not None:
        inputs.append((context, ("batch", flow.context_size)))
    return inputs


class _Base(nn.Module):
    """A method of a base distribution."""

    def __init__(self, base: Base, method: str) -> None:
        super().__init__()
        self.base, self.method = base, method

    def forward(self, value: Tensor, context: Tensor | None = None) -> Tensor:
        result: Tensor = getattr(self.base, self.method)(value, context)
        return result


class _Step(nn.Module):
    """A method of a transform."""

    def __init__(self, transform: Transform, method: str) -> None:
        super().__init__()
        self.transform, self.method = transform, method

    def forward(self, value: Tensor, context: Tensor | None = None) -> Any:
        return getattr(self.transform, self.method)(value, context)


class _Chain(nn.Module):
    """Transforms one after the other, in one direction."""

    def __init__(self, transforms: Sequence[Transform], direction: Direction) -> None:
        super().__init__()
        self.transforms = nn.ModuleList(transforms)
        self.direction = direction

    def forward(self, value: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = torch.zeros_like(value[:, 0])
        for transform in self.transforms:
            assert isinstance(transform, Transform)
            step = transform.forward if self.direction == "forward" else transform.inverse
            value, log_det = step(value, context)
            total = total + log_det
        return value, total
