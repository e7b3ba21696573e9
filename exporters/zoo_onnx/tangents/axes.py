"""Rules of reductions and choices along axes."""

from __future__ import annotations

import onnx_ir as ir

from zoo_onnx.tangents.writing import Carried, Rule, Tangents, attribute_of, attributes_of, only


def _reduce(t: Tangents, operator: str, value: ir.Value | None, node: ir.Node, keep: bool | None = None) -> ir.Value:
    """A reduction over the axes of another one."""
    attributes = attributes_of(node)
    if keep is not None:
        attributes["keepdims"] = int(keep)
    return t(operator, value, *node.inputs[1:], **attributes)


def _reduce_extremum(t: Tangents, node: ir.Node) -> list[Carried]:
    """The mean over the places that are the extremum, as torch has it."""
    x = node.inputs[0]
    there = t("Cast", t("Equal", x, _reduce(t, node.op_type, x, node, True)), to=1)
    sums = [_reduce(t, "ReduceSum", each, node) for each in (t("Mul", there, t.tangent(x)), there)]
    return only(t("Div", *sums))


def _reduce_norm(t: Tangents, node: ir.Node) -> list[Carried]:
    x = node.inputs[0]
    moved = _reduce(t, "ReduceSum", t("Mul", x, t.tangent(x)), node)
    return only(t("Div", moved, node.outputs[0]))


def _reduce_squares(t: Tangents, node: ir.Node) -> list[Carried]:
    x = node.inputs[0]
    return only(_reduce(t, "ReduceSum", t("Mul", t("Add", x, x), t.tangent(x)), node))


def _reduce_absolute(t: Tangents, node: ir.Node) -> list[Carried]:
    x = node.inputs[0]
    return only(_reduce(t, "ReduceSum", t("Mul", t("Sign", x), t.tangent(x)), node))


def _log_sum_exp(t: Tangents, node: ir.Node) -> list[Carried]:
    x = node.inputs[0]
    share = t("Exp", t("Sub", x, _reduce(t, node.op_type, x, node, True)))
    return only(_reduce(t, "ReduceSum", t("Mul", share, t.tangent(x)), node))


def _top(t: Tangents, node: ir.Node) -> list[Carried]:
    axis = attribute_of(node, "axis", -1)
    return [(t("GatherElements", t.tangent(node.inputs[0]), node.outputs[1], axis=axis), None)]


def _max_pool(t: Tangents, node: ir.Node) -> list[Carried]:
    _, places = t.outputs("MaxPool", node.inputs[0], outputs=2, **attributes_of(node))
    return only(t("Gather", t("Reshape", t.tangent(node.inputs[0]), t.integers(-1)), places))


def _softmax(t: Tangents, node: ir.Node) -> list[Carried]:
    y, axis = node.outputs[0], attribute_of(node, "axis", -1)
    moved = t("Mul", y, t.tangent(node.inputs[0]))
    total = t("ReduceSum", moved, t.integers(axis), keepdims=1)
    return only(t("Sub", moved, t("Mul", y, total)))


def _log_softmax(t: Tangents, node: ir.Node) -> list[Carried]:
    tangent, axis = t.tangent(node.inputs[0]), attribute_of(node, "axis", -1)
    total = t("ReduceSum", t("Mul", t("Exp", node.outputs[0]), tangent), t.integers(axis), keepdims=1)
    return only(t("Sub", tangent, total))


RULES: dict[str, Rule] = {
    "LogSoftmax": _log_softmax,
    "MaxPool": _max_pool,
    "ReduceL1": _reduce_absolute,
    "ReduceL2": _reduce_norm,
    "ReduceLogSumExp": _log_sum_exp,
    "ReduceMax": _reduce_extremum,
    "ReduceMin": _reduce_extremum,
    "ReduceSumSquare": _reduce_squares,
    "Softmax": _softmax,
    "TopK": _top,
}
