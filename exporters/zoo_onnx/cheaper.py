"""Rewrites of patterns that ONNX Runtime computes slowly into others that it computes fast.

Its optimiser blocks the channels of two-dimensional convolutions only, so one of signals::

    Conv(x, w)                                                    with x ``[n, c, length]`` and w a constant

becomes one of pictures of height 1.

Pixels, each repeated in a block, are what networks write that need a forward-mode derivative, which torch's upsampling
does not have::

    Reshape(Expand(Unsqueeze(x, [3, 5]), [1, c, h, down, w, across]), [-1, c, h·down, w·across])

and become a Resize to the nearest, which does not copy number by number.

The inner part of Mish, ``x·tanh(softplus(x))``, has two functions that are computed number by number::

    Tanh(Where(x > 20, x, Softplus(x)))   and   Tanh(Softplus(x))

Both are ``1/(1 + 2/(u·(u + 2)))`` with ``u = exp(x)``, which keeps its digits where it is small. In float32 it is 1
from x = 10 on, so x can be bounded; in float16 u overflows sooner, and it is 1 all the same.

A soft limit is written in four operators where two or three do, and over the largest arrays that flows have::

    x / (1 + |x|·k), x / (1 + |x|/c)  and  x / (-1 - |x|·k)           k, c > 0, of one number or several

are ``softsign(k·x)/k`` and its negative.

A reshape to sizes all but one of which are known needs none computed::

    Reshape(x, Concat(Slice(Shape(x), …), [-1, 2]))             of shape ``[batch, 7, 2]`` is Reshape(x, [-1, 7, 2])

A number that is combined with an array whose last axis is 1 is combined number by number, at some 10 ns each, unless
it has as many axes: then 80 times as fast (ONNX Runtime 1.32)::

    x + 3                                                       with x ``[7, batch, 1]`` and 3 without an axis
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from zoo.arrays import Array
from zoo_onnx.rewriting import constant, replace

#: exp of it and its square are finite
_LARGEST = 20.0
#: tanh(softplus(x)) is 1 in float32 above
_ONE_ABOVE = 10.0
#: operators that combine two arrays number by number
_OF_TWO = {"Add", "Sub", "Mul", "Div", "Max", "Min", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "Equal"}


def cheaper(model: ir.Model) -> None:
    """Rewrite a graph and its nested graphs, where shapes are known, without changing what they compute."""
    numbers: dict[tuple[ir.Value, int], ir.Value] = {}
    for graph in model.graphs():
        weights: dict[ir.Value, ir.Value] = {}
        for node in list(graph):
            if node.op_type == "Conv" and _is_of_signals(node):
                _as_of_pictures(graph, node, weights)
            elif node.op_type == "Reshape" and (repeats := _repeats(node)) is not None:
                _resized(graph, node, *repeats)
            elif node.op_type == "Tanh" and (x := _argument_of_softplus(node.inputs[0])) is not None:
                _by_exponential(graph, node, x)
            elif node.op_type == "Reshape" and (sizes := _known_sizes(node)) is not None:
                node.replace_input_with(1, constant(graph, f"{node.name}.sizes", sizes))
            elif node.op_type == "Div" and (limit := _soft_limit(node)) is not None:
                _by_softsign(graph, node, *limit)
        for node in graph:
            if node.op_type in _OF_TWO:
                _with_axes(model.graph, node, numbers)


def _soft_limit(node: ir.Node) -> tuple[ir.Value, Array | None, float] | None:
    """x, k and the sign s, if a quotient is s·x / (1 + |x|·k); k is None for 1."""
    x, denominator = node.inputs
    added, taken = _producer(denominator, "Add"), _producer(denominator, "Sub")
    sum = added or taken
    if x is None or sum is None:
        return None
    one, term = sum.inputs if taken is not None or _number(sum.inputs[0]) is not None else sum.inputs[::-1]
    sign = _number(one)
    if sign not in (1.0, -1.0):
        return None
    towards = sign if taken is None else -sign
    for operator in ("Mul", "Div"):
        scaled = _producer(term, operator)
        if scaled is None:
            continue
        for absolute, factor in (scaled.inputs, scaled.inputs[::-1])[: 2 if operator == "Mul" else 1]:
            k = None if factor is None else ir.convenience.get_const_tensor(factor)
            if k is not None and _is_absolute(absolute, x) and (towards * k.numpy() > 0).all():
                size = np.abs(k.numpy())
                return x, size if operator == "Mul" else np.asarray(1.0 / size, size.dtype), sign
    return (x, None, sign) if towards > 0 and _is_absolute(term, x) else None


def _is_absolute(value: ir.Value | None, x: ir.Value) -> bool:
    """Whether a value is the absolute value of x."""
    absolute = _producer(value, "Abs")
    return absolute is not None and absolute.inputs[0] is x


def _by_softsign(graph: ir.Graph, node: ir.Node, x: ir.Value, k: Array | None, sign: float) -> None:
    def scaled(what: str, value: ir.Value, factor: Array) -> ir.Node:
        by = constant(graph, f"{node.name}.{what}_by", factor)
        product = ir.node("Mul", [value, by], name=f"{node.name}.{what}")
        product.outputs[0].shape, product.outputs[0].type = node.outputs[0].shape, node.outputs[0].type
        return product

    steps = [] if k is None else [scaled("within", x, k)]
    softsign = ir.node("Softsign", [steps[0].outputs[0] if steps else x], name=f"{node.name}.softsign")
    softsign.outputs[0].shape, softsign.outputs[0].type = node.outputs[0].shape, node.outputs[0].type
    steps.append(softsign)
    if k is not None or sign < 0:
        kind = np.float32 if x.dtype is None else x.dtype.numpy()
        inverse = np.asarray(sign if k is None else sign / k.astype(np.float64), kind)
        steps.append(scaled("beyond", softsign.outputs[0], inverse))
    replace(graph, node, steps)


def _with_axes(graph: ir.Graph, node: ir.Node, numbers: dict[tuple[ir.Value, int], ir.Value]) -> None:
    """Give the number of an operator of two inputs as many axes as the array has whose last one is 1."""
    if len(node.inputs) != 2:
        return
    for place, (value, other) in enumerate((node.inputs, node.inputs[::-1])):
        if value is None or other is None or other.shape is None or len(other.shape) < 2 or other.shape[-1] != 1:
            continue
        tensor, rank = ir.convenience.get_const_tensor(value), len(other.shape)
        if tensor is None or tensor.size != 1 or len(tensor.shape) >= rank:
            continue
        if (value, rank) not in numbers:
            array = tensor.numpy().reshape([1] * rank)
            numbers[value, rank] = constant(graph, f"{value.name}.of_{rank}_axes", array)
        node.replace_input_with(place, numbers[value, rank])


def _is_of_signals(node: ir.Node) -> bool:
    weight = node.inputs[1]
    padded = node.attributes.get("auto_pad")
    return (
        weight is not None
        and weight.const_value is not None
        and len(weight.const_value.shape) == 3
        and (padded is None or padded.value == "NOTSET")
    )


def _as_of_pictures(graph: ir.Graph, node: ir.Node, weights: dict[ir.Value, ir.Value]) -> None:
    x, weight, *bias = node.inputs
    assert x is not None
    assert weight is not None
    if weight not in weights:
        assert weight.const_value is not None
        weights[weight] = constant(graph, f"{weight.name}.flat", weight.const_value.numpy()[:, :, None])
    height = constant(graph, f"{node.name}.height", np.array([2], np.int64))
    attributes = {name: attribute.value for name, attribute in node.attributes.items() if name != "auto_pad"}
    for name, neutral in (("kernel_shape", 1), ("strides", 1), ("dilations", 1)):
        if name in attributes:
            attributes[name] = [neutral, *attributes[name]]
    if "pads" in attributes:
        before, after = attributes["pads"]
        attributes["pads"] = [0, before, 0, after]
    picture = ir.node("Unsqueeze", [x, height], name=f"{node.name}.picture")
    convolved = ir.node("Conv", [picture.outputs[0], weights[weight], *bias], attributes, name=f"{node.name}.flat")
    signal = ir.node("Squeeze", [convolved.outputs[0], height], name=f"{node.name}.signal")
    replace(graph, node, [picture, convolved, signal])


def _repeats(node: ir.Node) -> tuple[ir.Value, int, int] | None:
    """The picture of which a reshape repeats the pixels, and how often downwards and across."""
    expanded = _producer(node.inputs[0], "Expand")
    if expanded is None:
        return None
    apart, to, after = expanded.inputs[0], _numbers(expanded.inputs[1]), _numbers(node.inputs[1])
    x = apart
    while (step := _producer(x, "Unsqueeze")) is not None:
        x = step.inputs[0]
    if x is None or apart is None or to is None or len(to) != 6 or apart.shape is None or len(x.shape or ()) != 4:
        return None
    _, channels, height, down, width, across = to
    if to[0] != 1 or [channels, height, 1, width, 1] != list(apart.shape)[1:]:
        return None
    return (x, down, across) if after == [-1, channels, height * down, width * across] else None


def _resized(graph: ir.Graph, node: ir.Node, x: ir.Value, down: int, across: int) -> None:
    scales = constant(graph, f"{node.name}.scales", np.array([1, 1, down, across], np.float32))
    # every runtime agrees on these for whole scales
    how = {"mode": "nearest", "coordinate_transformation_mode": "asymmetric", "nearest_mode": "floor"}
    replace(graph, node, [ir.node("Resize", [x, None, scales], how, name=f"{node.name}.resized")])


def _known_sizes(node: ir.Node) -> Array | None:
    """The shape that a reshape makes, with -1 for the one size that is not known; None if it is written so already."""
    shape = node.outputs[0].shape
    target = node.inputs[1]
    if shape is None or target is None or ir.convenience.get_const_tensor(target) is not None:
        return None
    sizes = [size if isinstance(size, int) else -1 for size in shape]
    return np.array(sizes, np.int64) if sizes.count(-1) == 1 and 0 not in sizes else None


def _argument_of_softplus(value: ir.Value | None) -> ir.Value | None:
    """x, if a value is softplus(x) as torch's exporter writes it, at the unit scale."""
    if (plain := _producer(value, "Softplus")) is not None:
        return plain.inputs[0]
    chosen = _producer(value, "Where")
    if chosen is None:
        return None
    above, x, small = chosen.inputs
    compared, curve = _producer(above, "Greater"), _producer(_unscaled(small), "Softplus")
    if compared is None or curve is None:
        return None
    threshold = _number(compared.inputs[1])
    if threshold is None or threshold < _ONE_ABOVE:
        return None
    return x if _unscaled(compared.inputs[0]) is x and _unscaled(curve.inputs[0]) is x else None


def _by_exponential(graph: ir.Graph, node: ir.Node, x: ir.Value) -> None:
    kind = np.float32 if x.dtype is None else x.dtype.numpy()
    numbers = {"one": 1.0, "two": 2.0, "largest": _LARGEST}
    one, two, largest = (
        constant(graph, f"{node.name}.{name}", np.array(number, kind)) for name, number in numbers.items()
    )
    steps: list[ir.Node] = []

    def step(operator: str, *inputs: ir.Value) -> ir.Value:
        steps.append(ir.node(operator, inputs, name=f"{node.name}.{len(steps)}"))
        return steps[-1].outputs[0]

    u = step("Exp", step("Min", x, largest))
    inverse = step("Div", two, step("Mul", u, step("Add", u, two)))
    step("Div", one, step("Add", one, inverse))
    replace(graph, node, steps)


def _producer(value: ir.Value | None, operator: str) -> ir.Node | None:
    node = None if value is None else value.producer()
    return node if node is not None and node.op_type == operator else None


def _unscaled(value: ir.Value | None) -> ir.Value | None:
    """The value without a product or a quotient by a constant 1."""
    for operator in ("Mul", "Div"):
        node = _producer(value, operator)
        if node is not None and _number(node.inputs[1]) == 1.0:
            return node.inputs[0]
    return value


def _number(value: ir.Value | None) -> float | None:
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None or tensor.size != 1 else float(tensor.numpy().item())


def _numbers(value: ir.Value | None) -> list[int] | None:
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None or len(tensor.shape) != 1 else [int(each) for each in tensor.numpy()]
