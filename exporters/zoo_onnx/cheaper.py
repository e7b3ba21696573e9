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
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from zoo_onnx.rewriting import constant, replace

#: exp of it and its square are finite
_LARGEST = 20.0
#: tanh(softplus(x)) is 1 in float32 above
_ONE_ABOVE = 10.0


def cheaper(model: ir.Model) -> None:
    """Rewrite a graph and its nested graphs, where shapes are known, without changing what they compute."""
    for graph in model.graphs():
        weights: dict[ir.Value, ir.Value] = {}
        for node in list(graph):
            if node.op_type == "Conv" and _is_of_signals(node):
                _as_of_pictures(graph, node, weights)
            elif node.op_type == "Reshape" and (repeats := _repeats(node)) is not None:
                _resized(graph, node, *repeats)
            elif node.op_type == "Tanh" and (x := _argument_of_softplus(node.inputs[0])) is not None:
                _by_exponential(graph, node, x)


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
