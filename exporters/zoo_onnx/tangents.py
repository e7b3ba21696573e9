"""The rules of :mod:`zoo_onnx.forward_mode`: the tangents of an ONNX operator's outputs from those of its inputs.

A rule takes the operators being written and a node, and returns, for each output, its tangent and what replaces the
output: None for no tangent, or for an output that stays. A tangent has the sizes of its primal.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from zoo.errors import ExportError
from zoo_onnx.build import Builder

#: the tangent of an output, and the output written anew
Carried = tuple[ir.Value | None, ir.Value | None]


class Tangents(Builder):
    """The operators that compute tangents, to be inserted where the derivative is taken.

    Attributes:
        of: each value's tangent; a value without one does not depend on the point.
        primal: operators for outputs written anew, to be inserted before the node whose rule writes them.
    """

    def __init__(self, prefix: str) -> None:
        super().__init__(prefix)
        self.of: dict[ir.Value, ir.Value] = {}
        self.primal = Builder(f"{prefix}primal.")
        self._taken = 0

    def tangent(self, value: ir.Value | None) -> ir.Value | None:
        """The tangent of a value, or None."""
        return None if value is None else self.of.get(value)

    def take_primal(self) -> list[ir.Node]:
        """The operators for outputs written anew since the last call."""
        new = self.primal.nodes[self._taken :]
        self._taken = len(self.primal.nodes)
        return new


Rule = Callable[[Tangents, ir.Node], Sequence[Carried]]

# -- helpers -----------------------------------------------------------------------------------------------------------


def number(value: float) -> np.ndarray[Any, np.dtype[np.float32]]:
    """A float32 constant."""
    return np.array(value, np.float32)


def zeros_like(t: Builder, value: ir.Value) -> ir.Value:
    """Zeros of the sizes of a value."""
    return t("Expand", number(0.0), t("Shape", value))


def _attributes(node: ir.Node) -> dict[str, Any]:
    return {name: attribute.value for name, attribute in node.attributes.items()}


def _get(node: ir.Node, name: str, default: Any) -> Any:
    return node.attributes[name].value if name in node.attributes else default


def _same_sizes(a: ir.Value, b: ir.Value) -> bool:
    if a.shape is None or b.shape is None or len(a.shape) != len(b.shape):
        return False
    return all(x == y and (isinstance(x, int) or x.value is not None) for x, y in zip(a.shape, b.shape, strict=True))


def _fitted(t: Tangents, tangent: ir.Value, of: ir.Value, out: ir.Value) -> ir.Value:
    """The tangent of an operand ``of``, broadcast as ``out`` is."""
    return tangent if _same_sizes(of, out) else t("Expand", tangent, t("Shape", out))


def _sum(t: Tangents, *terms: ir.Value | None) -> ir.Value | None:
    total = None
    for term in terms:
        if term is not None:
            total = term if total is None else t("Add", total, term)
    return total


def _constant(value: ir.Value | None) -> Any:
    """The value of a constant as an array, or None."""
    tensor = None if value is None else ir.convenience.get_const_tensor(value)
    return None if tensor is None else tensor.numpy()


def _one(tangent: ir.Value | None, anew: ir.Value | None = None) -> list[Carried]:
    return [(tangent, anew)]


# -- operators linear in their first input, whose other inputs have no tangent -----------------------------------------


def _linear(t: Tangents, node: ir.Node) -> list[Carried]:
    count = len(node.outputs)
    written = t.outputs(node.op_type, t.tangent(node.inputs[0]), *node.inputs[1:], outputs=count, **_attributes(node))
    return [(each, None) for each in written]


def _pad(t: Tangents, node: ir.Node) -> list[Carried]:
    """What is filled in has no tangent."""
    pads, axes = node.inputs[1], node.inputs[3] if len(node.inputs) > 3 else None
    rest = [pads] if axes is None else [pads, None, axes]
    return _one(t("Pad", t.tangent(node.inputs[0]), *rest, **_attributes(node)))


def _cast(t: Tangents, node: ir.Node) -> list[Carried]:
    to = ir.DataType(_get(node, "to", 1)) if node.op_type == "Cast" else node.inputs[1].dtype  # type: ignore[union-attr]
    return _linear(t, node) if to is None or to.is_floating_point() else []


# -- functions of one number: the tangent from the input x, the output y and the input's tangent -----------------------

Slope = Callable[[Tangents, ir.Node, ir.Value, ir.Value], ir.Value]


def _unary(slope: Slope) -> Rule:
    def rule(t: Tangents, node: ir.Node) -> list[Carried]:
        x, tangent = node.inputs[0], t.tangent(node.inputs[0])
        assert x is not None
        return _one(t("Mul", tangent, slope(t, node, x, node.outputs[0])))

    return rule


def _one_less_square(t: Tangents, y: ir.Value) -> ir.Value:
    return t("Sub", number(1.0), t("Mul", y, y))


def _tan(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    return t("Add", number(1.0), t("Mul", y, y))


def _atan(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    return t("Reciprocal", t("Add", number(1.0), t("Mul", x, x)))


def _asinh(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    return t("Reciprocal", t("Sqrt", t("Add", number(1.0), t("Mul", x, x))))


def _asin(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    return t("Reciprocal", t("Sqrt", _one_less_square(t, x)))


def _sigmoid(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    return t("Mul", y, t("Sub", number(1.0), y))


def _density(t: Tangents, x: ir.Value, rate: float, factor: float) -> ir.Value:
    """factor·exp(-rate·x²)."""
    return t("Mul", number(factor), t("Exp", t("Mul", number(-rate), t("Mul", x, x))))


def _erf(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    return _density(t, x, 1.0, 2.0 / math.sqrt(math.pi))


def _gelu(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    if _get(node, "approximate", "none") == "tanh":
        square = t("Mul", x, x)
        linear, cubic = number(math.sqrt(2.0 / math.pi)), number(0.044715 * math.sqrt(2.0 / math.pi))
        u = t("Mul", x, t("Add", linear, t("Mul", cubic, square)))
        slope = t("Add", linear, t("Mul", number(3 * float(cubic)), square))
        tanh = t("Tanh", u)
        inner = t("Mul", t("Mul", x, _one_less_square(t, tanh)), slope)
        return t("Mul", number(0.5), t("Add", t("Add", number(1.0), tanh), inner))
    cdf = t("Mul", number(0.5), t("Add", number(1.0), t("Erf", t("Mul", x, number(math.sqrt(0.5))))))
    return t("Add", cdf, t("Mul", x, _density(t, x, 0.5, 1.0 / math.sqrt(2.0 * math.pi))))


def _softsign(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    more = t("Add", number(1.0), t("Abs", x))
    return t("Reciprocal", t("Mul", more, more))


def _mish(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    tanh = t("Tanh", t("Softplus", x))
    return t("Add", tanh, t("Mul", t("Mul", x, t("Sigmoid", x)), _one_less_square(t, tanh)))


def _hard_sigmoid(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    inside = t("And", t("Greater", y, number(0.0)), t("Less", y, number(1.0)))
    return t("Where", inside, number(_get(node, "alpha", 0.2)), number(0.0))


def _hard_swish(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    inside = t("Less", t("Abs", x), number(3.0))
    outside = t("Where", t("Greater", x, number(0.0)), number(1.0), number(0.0))
    return t("Where", inside, t("Add", number(0.5), t("Mul", x, number(1.0 / 3.0))), outside)


def _where_positive(t: Tangents, x: ir.Value, above: Any, below: Any) -> ir.Value:
    return t("Where", t("Greater", x, number(0.0)), above, below)


def _elu(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    return _where_positive(t, x, number(1.0), t("Add", y, number(_get(node, "alpha", 1.0))))


def _selu(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    alpha, gamma = _get(node, "alpha", 1.6732632423543772), _get(node, "gamma", 1.0507009873554805)
    return _where_positive(t, x, number(gamma), t("Add", y, number(alpha * gamma)))


def _celu(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    scaled = t("Mul", x, number(1.0 / _get(node, "alpha", 1.0)))
    return _where_positive(t, x, number(1.0), t("Exp", scaled))


def _leaky(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    return _where_positive(t, x, number(1.0), number(_get(node, "alpha", 0.01)))


def _inside(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    return t("Where", t("Equal", x, y), number(1.0), number(0.0))


SLOPES: dict[str, Slope] = {
    "Abs": lambda t, node, x, y: t("Sign", x),
    "Asin": _asin,
    "Asinh": _asinh,
    "Atan": _atan,
    "Atanh": lambda t, node, x, y: t("Reciprocal", _one_less_square(t, x)),
    "Celu": _celu,
    "Clip": _inside,
    "Cos": lambda t, node, x, y: t("Neg", t("Sin", x)),
    "Cosh": lambda t, node, x, y: t("Sinh", x),
    "Elu": _elu,
    "Erf": _erf,
    "Exp": lambda t, node, x, y: y,
    "Gelu": _gelu,
    "HardSigmoid": _hard_sigmoid,
    "HardSwish": _hard_swish,
    "LeakyRelu": _leaky,
    "Log": lambda t, node, x, y: t("Reciprocal", x),
    "Mish": _mish,
    "Reciprocal": lambda t, node, x, y: t("Neg", t("Mul", y, y)),
    "Relu": lambda t, node, x, y: _where_positive(t, x, number(1.0), number(0.0)),
    "Selu": _selu,
    "Sigmoid": _sigmoid,
    "Sin": lambda t, node, x, y: t("Cos", x),
    "Sinh": lambda t, node, x, y: t("Cosh", x),
    "Softplus": lambda t, node, x, y: t("Sigmoid", x),
    "Softsign": _softsign,
    "Sqrt": lambda t, node, x, y: t("Div", number(0.5), y),
    "Tan": _tan,
    "Tanh": lambda t, node, x, y: _one_less_square(t, y),
}

# -- operators of several tensors --------------------------------------------------------------------------------------


def _operands(t: Tangents, node: ir.Node) -> list[tuple[ir.Value, ir.Value | None]]:
    return [(each, t.tangent(each)) for each in node.inputs if each is not None]


def _add(t: Tangents, node: ir.Node) -> list[Carried]:
    """Any number of summands."""
    moving = [(a, ta) for a, ta in _operands(t, node) if ta is not None]
    if len(moving) == 1:
        return _one(_fitted(t, moving[0][1], moving[0][0], node.outputs[0]))
    total = _sum(t, *(ta for _, ta in moving))
    assert total is not None
    # what does not move may still be larger than all that does
    larger = any(not _same_sizes(a, node.outputs[0]) for a, _ in moving) and len(moving) < len(node.inputs)
    return _one(t("Expand", total, t("Shape", node.outputs[0])) if larger else total)


def _sub(t: Tangents, node: ir.Node) -> list[Carried]:
    (a, ta), (b, tb) = _operands(t, node)
    if ta is not None and tb is not None:
        return _one(t("Sub", ta, tb))
    if ta is not None:
        return _one(_fitted(t, ta, a, node.outputs[0]))
    assert tb is not None
    return _one(_fitted(t, t("Neg", tb), b, node.outputs[0]))


def _mul(t: Tangents, node: ir.Node) -> list[Carried]:
    (a, ta), (b, tb) = _operands(t, node)
    return _one(_sum(t, None if ta is None else t("Mul", ta, b), None if tb is None else t("Mul", tb, a)))


def _div(t: Tangents, node: ir.Node) -> list[Carried]:
    (_, ta), (b, tb) = _operands(t, node)
    if tb is None:
        return _one(t("Div", ta, b))
    moved = t("Mul", node.outputs[0], tb)
    return _one(t("Div", t("Neg", moved) if ta is None else t("Sub", ta, moved), b))


def _pow(t: Tangents, node: ir.Node) -> list[Carried]:
    (x, tx), (exponent, te) = _operands(t, node)
    if te is not None:
        raise ExportError("a power whose exponent depends on the data cannot be exported in a derivative")
    constant = _constant(exponent)
    if constant is not None and (constant == 2).all():
        slope = t("Add", x, x)
    else:
        less = t("Sub", exponent, number(1.0)) if constant is None else np.asarray(constant - 1, np.float32)
        factor = exponent if constant is None else np.asarray(constant, np.float32)
        slope = t("Mul", factor, t("Pow", x, less))
    return _one(t("Mul", tx, slope))


def _product(t: Tangents, node: ir.Node) -> list[Carried]:
    """Operators linear in each of their inputs, one at a time: MatMul, Einsum."""
    terms = []
    for i, each in enumerate(node.inputs):
        if (tangent := t.tangent(each)) is not None:
            operands = [tangent if j == i else other for j, other in enumerate(node.inputs)]
            terms.append(t(node.op_type, *operands, **_attributes(node)))
    return _one(_sum(t, *terms))


def _gemm(t: Tangents, node: ir.Node) -> list[Carried]:
    a, b = node.inputs[:2]
    c = node.inputs[2] if len(node.inputs) > 2 else None
    ta, tb, tc = (t.tangent(each) for each in (a, b, c))
    product = {name: value for name, value in _attributes(node).items() if name != "beta"}
    added = None
    if tc is not None:
        beta = _get(node, "beta", 1.0)
        scaled = tc if beta == 1 else t("Mul", number(beta), tc)
        added = t("Expand", scaled, t("Shape", node.outputs[0]))
    return _one(
        _sum(
            t,
            None if ta is None else t("Gemm", ta, b, **product),
            None if tb is None else t("Gemm", a, tb, **product),
            added,
        )
    )


def _convolution(t: Tangents, node: ir.Node) -> list[Carried]:
    if any(t.tangent(each) is not None for each in node.inputs[1:]):
        raise ExportError("a convolution whose weights depend on the data cannot be exported in a derivative")
    return _one(t(node.op_type, t.tangent(node.inputs[0]), node.inputs[1], **_attributes(node)))


def _concat(t: Tangents, node: ir.Node) -> list[Carried]:
    parts = [zeros_like(t, a) if ta is None else ta for a, ta in _operands(t, node)]
    return _one(t("Concat", *parts, **_attributes(node)))


def _chosen(t: Tangents, mask: ir.Value, a: ir.Value | None, b: ir.Value | None, out: ir.Value) -> ir.Value:
    """The tangents of what is chosen, in the sizes of ``out``."""
    zero = number(0.0)
    chosen = t("Where", mask, zero if a is None else a, zero if b is None else b)
    return chosen if a is not None and b is not None else t("Expand", chosen, t("Shape", out))


def _where(t: Tangents, node: ir.Node) -> list[Carried]:
    mask, a, b = node.inputs
    assert mask is not None
    return _one(_chosen(t, mask, t.tangent(a), t.tangent(b), node.outputs[0]))


def _extremum(t: Tangents, node: ir.Node) -> list[Carried]:
    """Of the first input that is the extremum."""
    out = node.outputs[0]
    operands = _operands(t, node)
    tangent = operands[-1][1]
    for a, ta in reversed(operands[:-1]):
        tangent = _chosen(t, t("Equal", out, a), ta, tangent, out)
    return _one(tangent)


def _scatter(t: Tangents, node: ir.Node) -> list[Carried]:
    data, indices, updates = node.inputs
    assert data is not None
    assert updates is not None
    if _get(node, "reduction", "none") not in ("none", "add"):
        raise ExportError(f"{node.op_type} with a reduction cannot be exported in a derivative")
    moved = [zeros_like(t, each) if t.tangent(each) is None else t.tangent(each) for each in (data, updates)]
    return _one(t(node.op_type, moved[0], indices, moved[1], **_attributes(node)))


# -- reductions and choices along axes ---------------------------------------------------------------------------------


def _reduce(t: Tangents, operator: str, value: Any, node: ir.Node, keep: bool | None = None) -> ir.Value:
    """A reduction over the axes of another one."""
    attributes = _attributes(node)
    if keep is not None:
        attributes["keepdims"] = int(keep)
    return t(operator, value, *node.inputs[1:], **attributes)


def _reduce_extremum(t: Tangents, node: ir.Node) -> list[Carried]:
    """The mean over the places that are the extremum, as torch has it."""
    x = node.inputs[0]
    there = t("Cast", t("Equal", x, _reduce(t, node.op_type, x, node, True)), to=1)
    sums = [_reduce(t, "ReduceSum", each, node) for each in (t("Mul", there, t.tangent(x)), there)]
    return _one(t("Div", *sums))


def _reduce_norm(t: Tangents, node: ir.Node) -> list[Carried]:
    x = node.inputs[0]
    moved = _reduce(t, "ReduceSum", t("Mul", x, t.tangent(x)), node)
    return _one(t("Div", moved, node.outputs[0]))


def _reduce_squares(t: Tangents, node: ir.Node) -> list[Carried]:
    x = node.inputs[0]
    return _one(_reduce(t, "ReduceSum", t("Mul", t("Add", x, x), t.tangent(x)), node))


def _reduce_absolute(t: Tangents, node: ir.Node) -> list[Carried]:
    x = node.inputs[0]
    return _one(_reduce(t, "ReduceSum", t("Mul", t("Sign", x), t.tangent(x)), node))


def _log_sum_exp(t: Tangents, node: ir.Node) -> list[Carried]:
    x = node.inputs[0]
    share = t("Exp", t("Sub", x, _reduce(t, node.op_type, x, node, True)))
    return _one(_reduce(t, "ReduceSum", t("Mul", share, t.tangent(x)), node))


def _top(t: Tangents, node: ir.Node) -> list[Carried]:
    axis = _get(node, "axis", -1)
    return [(t("GatherElements", t.tangent(node.inputs[0]), node.outputs[1], axis=axis), None)]


def _max_pool(t: Tangents, node: ir.Node) -> list[Carried]:
    _, places = t.outputs("MaxPool", node.inputs[0], outputs=2, **_attributes(node))
    return _one(t("Gather", t("Reshape", t.tangent(node.inputs[0]), t.integers(-1)), places))


def _softmax(t: Tangents, node: ir.Node) -> list[Carried]:
    y, axis = node.outputs[0], _get(node, "axis", -1)
    moved = t("Mul", y, t.tangent(node.inputs[0]))
    total = t("ReduceSum", moved, t.integers(axis), keepdims=1)
    return _one(t("Sub", moved, t("Mul", y, total)))


def _log_softmax(t: Tangents, node: ir.Node) -> list[Carried]:
    tangent, axis = t.tangent(node.inputs[0]), _get(node, "axis", -1)
    total = t("ReduceSum", t("Mul", t("Exp", node.outputs[0]), tangent), t.integers(axis), keepdims=1)
    return _one(t("Sub", tangent, total))


# -- normalisations and attention, whose outputs are written anew beside their tangents --------------------------------


def _rank(node: ir.Node) -> int:
    shape = node.inputs[0].shape if node.inputs[0] is not None else None
    if shape is None:
        raise ExportError(f"{node.op_type} of unknown rank cannot be exported in a derivative")
    return len(shape)


def _standardized(t: Tangents, x: ir.Value, tangent: ir.Value, axes: Sequence[int], eps: float) -> list[ir.Value]:
    """y = (x - mean) / √(variance + eps) and its tangent, (ċ - y·mean(y·ċ)) / √(…) with ċ = ẋ - mean(ẋ)."""
    p = t.primal
    where, again = p.integers(*axes), t.integers(*axes)
    centred = p("Sub", x, p("ReduceMean", x, where, keepdims=1))
    variance = p("ReduceMean", p("Mul", centred, centred), where, keepdims=1)
    scale = p("Reciprocal", p("Sqrt", p("Add", variance, number(eps))))
    y = p("Mul", centred, scale)
    c = t("Sub", tangent, t("ReduceMean", tangent, again, keepdims=1))
    mean = t("ReduceMean", t("Mul", y, c), again, keepdims=1)
    return [y, t("Mul", t("Sub", c, t("Mul", y, mean)), scale)]


def _scaled(t: Tangents, pair: Sequence[ir.Value], scale: Any, bias: Any) -> list[Carried]:
    """y·scale + bias and its tangent, as what replaces a normalisation."""
    y, tangent = pair
    p = t.primal
    y = y if _is_all(scale, 1.0) else p("Mul", y, scale)
    tangent = tangent if _is_all(scale, 1.0) else t("Mul", tangent, scale)
    return _one(tangent, y if _is_all(bias, 0.0) else p("Add", y, bias))


def _is_all(value: Any, what: float) -> bool:
    if value is None:
        return True
    array = value if isinstance(value, np.ndarray) else _constant(value)
    return array is not None and bool((array == what).all())


def _moving_input(t: Tangents, node: ir.Node) -> tuple[ir.Value, ir.Value]:
    x, tangent = node.inputs[0], t.tangent(node.inputs[0])
    if tangent is None or any(t.tangent(each) is not None for each in node.inputs[1:]):
        raise ExportError(f"{node.op_type} whose scale depends on the data cannot be exported in a derivative")
    assert x is not None
    return x, tangent


def _layer_norm(t: Tangents, node: ir.Node) -> list[Carried]:
    x, tangent = _moving_input(t, node)
    axis = _get(node, "axis", -1)
    axes = range(axis, 0) if axis < 0 else range(axis, _rank(node))
    scale, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    return _scaled(t, _standardized(t, x, tangent, axes, _get(node, "epsilon", 1e-5)), scale, bias)


def _by_channel(t: Tangents, value: ir.Value | None, rank: int, neutral: float) -> Any:
    """A vector of one number a channel, to be broadcast over samples and places."""
    if _is_all(value, neutral):
        return None
    array = _constant(value)
    sizes = [-1, *[1] * (rank - 2)]
    return array.reshape(sizes) if array is not None else t.primal("Reshape", value, t.primal.integers(*sizes))


def _instance_norm(t: Tangents, node: ir.Node) -> list[Carried]:
    x, tangent = _moving_input(t, node)
    rank = _rank(node)
    scale, bias = (
        _by_channel(t, each, rank, neutral) for each, neutral in zip(node.inputs[1:], (1.0, 0.0), strict=True)
    )
    return _scaled(t, _standardized(t, x, tangent, range(2, rank), _get(node, "epsilon", 1e-5)), scale, bias)


def _group_norm(t: Tangents, node: ir.Node) -> list[Carried]:
    x, tangent = _moving_input(t, node)
    rank, groups, p = _rank(node), _get(node, "num_groups", 1), t.primal
    rows = p("Reshape", x, p.integers(0, groups, -1))
    pair = _standardized(t, rows, t("Reshape", tangent, t.integers(0, groups, -1)), (2,), _get(node, "epsilon", 1e-5))
    whole = [p("Reshape", pair[0], p("Shape", x)), t("Reshape", pair[1], t("Shape", x))]
    scale, bias = (
        _by_channel(t, each, rank, neutral) for each, neutral in zip(node.inputs[1:], (1.0, 0.0), strict=True)
    )
    return _scaled(t, whole, scale, bias)


def _batch_norm(t: Tangents, node: ir.Node) -> list[Carried]:
    """With stored statistics."""
    _, tangent = _moving_input(t, node)
    _, scale, _, _, variance = node.inputs
    factor = t("Div", scale, t("Sqrt", t("Add", variance, number(_get(node, "epsilon", 1e-5)))))
    return _one(t("Mul", tangent, t("Reshape", factor, t.integers(-1, *[1] * (_rank(node) - 2)))))


def _attention(t: Tangents, node: ir.Node) -> list[Carried]:
    """softmax(q·kᵀ·scale + mask)·v of tensors ``[batch, heads, length, size]`` (opset 23)."""
    q, k, v = node.inputs[:3]
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    plain = all(each is None for each in node.inputs[4:]) and not _get(node, "is_causal", 0)
    assert q is not None
    size = q.shape[-1] if q.shape is not None and len(q.shape) == 4 else None
    if not plain or not isinstance(size, int) or t.tangent(mask) is not None:
        raise ExportError("attention of this kind cannot be exported in a derivative")
    p, factor = t.primal, number(_get(node, "scale", 1.0 / math.sqrt(size)))
    turned = {"perm": [0, 1, 3, 2]}
    keys = p("Transpose", k, **turned)
    scores = p("Mul", p("MatMul", q, keys), factor)
    share = p("Softmax", scores if mask is None else p("Add", scores, mask), axis=-1)
    tq, tk, tv = (t.tangent(each) for each in (q, k, v))
    moved = _sum(
        t,
        None if tq is None else t("MatMul", tq, keys),
        None if tk is None else t("MatMul", q, t("Transpose", tk, **turned)),
    )
    through = None
    if moved is not None:
        weighted = t("Mul", share, t("Mul", moved, factor))
        total = t("ReduceSum", weighted, t.integers(-1), keepdims=1)
        through = t("MatMul", t("Sub", weighted, t("Mul", share, total)), v)
    return _one(_sum(t, through, None if tv is None else t("MatMul", share, tv)), p("MatMul", share, v))


# -- the tables --------------------------------------------------------------------------------------------------------

#: operators whose outputs are integers, or have a derivative of zero
CONSTANT = frozenset(
    {
        *("Shape", "Size", "ArgMax", "ArgMin", "NonZero", "ConstantOfShape", "EyeLike", "OneHot"),
        *("Equal", "Less", "LessOrEqual", "Greater", "GreaterOrEqual", "IsNaN", "IsInf"),
        *("Sign", "Floor", "Ceil", "Round"),
    }
)

_LINEAR = (
    *("AveragePool", "GlobalAveragePool", "CumSum", "DepthToSpace", "SpaceToDepth", "Expand", "Flatten", "Gather"),
    *("GatherElements", "GatherND", "Identity", "Neg", "ReduceMean", "ReduceSum", "Reshape", "Resize", "Slice"),
    *("Split", "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze"),
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(_LINEAR, _linear),
    **{name: _unary(slope) for name, slope in SLOPES.items()},
    "Add": _add,
    "Attention": _attention,
    "BatchNormalization": _batch_norm,
    "Cast": _cast,
    "CastLike": _cast,
    "Concat": _concat,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Div": _div,
    "Einsum": _product,
    "Gemm": _gemm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
    "LogSoftmax": _log_softmax,
    "MatMul": _product,
    "Max": _extremum,
    "MaxPool": _max_pool,
    "Min": _extremum,
    "Mul": _mul,
    "Pad": _pad,
    "Pow": _pow,
    "ReduceL1": _reduce_absolute,
    "ReduceL2": _reduce_norm,
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMax": _reduce_extremum,
    "ReduceMin": _reduce_extremum,
    "ReduceSumSquare": _reduce_squares,
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
    "Softmax": _softmax,
    "Sub": _sub,
    "Sum": _add,
    "TopK": _top,
    "Where": _where,
}
