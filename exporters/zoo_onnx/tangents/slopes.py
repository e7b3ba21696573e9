"""Functions of one number: the slope from the input x and the output y."""

from __future__ import annotations

import math
from collections.abc import Callable

import onnx_ir as ir

from zoo_onnx.build import Operand
from zoo_onnx.tangents.writing import Carried, Rule, Tangents, attribute_of, first_alone, number, only

Slope = Callable[[Tangents, ir.Node, ir.Value, ir.Value], ir.Value]


def unary(slope: Slope) -> Rule:
    """The rule of a function with this slope."""

    def rule(t: Tangents, node: ir.Node) -> list[Carried]:
        x, tangent = first_alone(t, node)
        return only(t("Mul", tangent, slope(t, node, x, node.outputs[0])))

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
    if attribute_of(node, "approximate", "none") == "tanh":
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
    return t("Where", inside, number(attribute_of(node, "alpha", 0.2)), number(0.0))


def _hard_swish(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    inside = t("Less", t("Abs", x), number(3.0))
    outside = t("Where", t("Greater", x, number(0.0)), number(1.0), number(0.0))
    return t("Where", inside, t("Add", number(0.5), t("Mul", x, number(1.0 / 3.0))), outside)


def _where_positive(t: Tangents, x: ir.Value, above: Operand, below: Operand) -> ir.Value:
    return t("Where", t("Greater", x, number(0.0)), above, below)


def _elu(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    return _where_positive(t, x, number(1.0), t("Add", y, number(attribute_of(node, "alpha", 1.0))))


def _selu(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    alpha, gamma = attribute_of(node, "alpha", 1.6732632423543772), attribute_of(node, "gamma", 1.0507009873554805)
    return _where_positive(t, x, number(gamma), t("Add", y, number(alpha * gamma)))


def _celu(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    scaled = t("Mul", x, number(1.0 / attribute_of(node, "alpha", 1.0)))
    return _where_positive(t, x, number(1.0), t("Exp", scaled))


def _leaky(t: Tangents, node: ir.Node, x: ir.Value, y: ir.Value) -> ir.Value:
    return _where_positive(t, x, number(1.0), number(attribute_of(node, "alpha", 0.01)))


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
