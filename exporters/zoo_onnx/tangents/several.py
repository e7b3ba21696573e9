"""Rules of operators linear in an input, and of operators of several tensors."""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from zoo.errors import ExportError
from zoo_onnx.tangents.writing import (
    Carried,
    Rule,
    Tangents,
    attribute_of,
    attributes_of,
    constant_of,
    first_alone,
    fitted,
    number,
    only,
    operands_of,
    same_sizes,
    total_of,
    zeros_like,
)


def _linear(t: Tangents, node: ir.Node) -> list[Carried]:
    count = len(node.outputs)
    written = t.outputs(node.op_type, first_alone(t, node)[1], *node.inputs[1:], outputs=count, **attributes_of(node))
    return [(each, None) for each in written]


def _pad(t: Tangents, node: ir.Node) -> list[Carried]:
    """What is filled in has no tangent."""
    pads, axes = node.inputs[1], node.inputs[3] if len(node.inputs) > 3 else None
    rest = [pads] if axes is None else [pads, None, axes]
    return only(t("Pad", first_alone(t, node)[1], *rest, **attributes_of(node)))


def _cast(t: Tangents, node: ir.Node) -> list[Carried]:
    to = ir.DataType(attribute_of(node, "to", 1)) if node.op_type == "Cast" else node.inputs[1].dtype  # type: ignore[union-attr]
    tangent = t.tangent(node.inputs[0])  # the operand whose type CastLike takes may move: its values do not matter
    if tangent is None or not (to is None or to.is_floating_point()):
        return []
    return only(t(node.op_type, tangent, *node.inputs[1:], **attributes_of(node)))


def _add(t: Tangents, node: ir.Node) -> list[Carried]:
    """Any number of summands."""
    moving = [(a, ta) for a, ta in operands_of(t, node) if ta is not None]
    if len(moving) == 1:
        return only(fitted(t, moving[0][1], moving[0][0], node.outputs[0]))
    total = total_of(t, *(ta for _, ta in moving))
    assert total is not None
    # an operand that does not move may still be larger than all that do
    larger = any(not same_sizes(a, node.outputs[0]) for a, _ in moving) and len(moving) < len(node.inputs)
    return only(t("Expand", total, t("Shape", node.outputs[0])) if larger else total)


def _sub(t: Tangents, node: ir.Node) -> list[Carried]:
    (a, ta), (b, tb) = operands_of(t, node)
    if ta is not None and tb is not None:
        return only(t("Sub", ta, tb))
    if ta is not None:
        return only(fitted(t, ta, a, node.outputs[0]))
    assert tb is not None
    return only(fitted(t, t("Neg", tb), b, node.outputs[0]))


def _mul(t: Tangents, node: ir.Node) -> list[Carried]:
    (a, ta), (b, tb) = operands_of(t, node)
    return only(total_of(t, None if ta is None else t("Mul", ta, b), None if tb is None else t("Mul", tb, a)))


def _div(t: Tangents, node: ir.Node) -> list[Carried]:
    (_, ta), (b, tb) = operands_of(t, node)
    if tb is None:
        return only(t("Div", ta, b))
    moved = t("Mul", node.outputs[0], tb)
    return only(t("Div", t("Neg", moved) if ta is None else t("Sub", ta, moved), b))


def _pow(t: Tangents, node: ir.Node) -> list[Carried]:
    (x, tx), (exponent, te) = operands_of(t, node)
    if te is not None:
        raise ExportError("a power whose exponent depends on the data cannot be exported in a derivative")
    constant = constant_of(exponent)
    if constant is not None and constant.size == 1 and (constant == 2).all():
        slope = t("Add", x, x)
    else:
        less = t("Sub", exponent, number(1.0)) if constant is None else np.asarray(constant - 1, np.float32)
        factor = exponent if constant is None else np.asarray(constant, np.float32)
        slope = t("Mul", factor, t("Pow", x, less))
    return only(t("Mul", tx, slope))


def _product(t: Tangents, node: ir.Node) -> list[Carried]:
    """Operators linear in each of their inputs, one at a time: MatMul, Einsum."""
    terms = []
    for i, each in enumerate(node.inputs):
        if (tangent := t.tangent(each)) is not None:
            operands = [tangent if j == i else other for j, other in enumerate(node.inputs)]
            terms.append(t(node.op_type, *operands, **attributes_of(node)))
    return only(total_of(t, *terms))


def _gemm(t: Tangents, node: ir.Node) -> list[Carried]:
    a, b = node.inputs[:2]
    c = node.inputs[2] if len(node.inputs) > 2 else None
    ta, tb, tc = (t.tangent(each) for each in (a, b, c))
    product = {name: value for name, value in attributes_of(node).items() if name != "beta"}
    added = None
    if tc is not None:
        beta = attribute_of(node, "beta", 1.0)
        scaled = tc if beta == 1 else t("Mul", number(beta), tc)
        added = t("Expand", scaled, t("Shape", node.outputs[0]))
    return only(
        total_of(
            t,
            None if ta is None else t("Gemm", ta, b, **product),
            None if tb is None else t("Gemm", a, tb, **product),
            added,
        )
    )


def _convolution(t: Tangents, node: ir.Node) -> list[Carried]:
    return only(t(node.op_type, first_alone(t, node)[1], node.inputs[1], **attributes_of(node)))


def _concat(t: Tangents, node: ir.Node) -> list[Carried]:
    parts = [zeros_like(t, a) if ta is None else ta for a, ta in operands_of(t, node)]
    return only(t("Concat", *parts, **attributes_of(node)))


def _chosen(t: Tangents, mask: ir.Value, a: ir.Value | None, b: ir.Value | None, out: ir.Value) -> ir.Value:
    """The tangents of the chosen values, in the sizes of ``out``."""
    zero = number(0.0)
    chosen = t("Where", mask, zero if a is None else a, zero if b is None else b)
    return chosen if a is not None and b is not None else t("Expand", chosen, t("Shape", out))


def _where(t: Tangents, node: ir.Node) -> list[Carried]:
    mask, a, b = node.inputs
    assert mask is not None
    return only(_chosen(t, mask, t.tangent(a), t.tangent(b), node.outputs[0]))


def _extremum(t: Tangents, node: ir.Node) -> list[Carried]:
    """Of the first input that is the extremum."""
    out = node.outputs[0]
    operands = operands_of(t, node)
    tangent = operands[-1][1]
    for a, ta in reversed(operands[:-1]):
        tangent = _chosen(t, t("Equal", out, a), ta, tangent, out)
    return only(tangent)


def _scatter(t: Tangents, node: ir.Node) -> list[Carried]:
    data, indices, updates = node.inputs
    assert data is not None
    assert updates is not None
    if attribute_of(node, "reduction", "none") not in ("none", "add"):
        raise ExportError(f"{node.op_type} with a reduction cannot be exported in a derivative")
    moved = [zeros_like(t, each) if t.tangent(each) is None else t.tangent(each) for each in (data, updates)]
    return only(t(node.op_type, moved[0], indices, moved[1], **attributes_of(node)))


_LINEAR = (
    *("AveragePool", "GlobalAveragePool", "CumSum", "DepthToSpace", "SpaceToDepth", "Expand", "Flatten", "Gather"),
    *("GatherElements", "GatherND", "Identity", "Neg", "ReduceMean", "ReduceSum", "Reshape", "Resize", "Slice"),
    *("Split", "Squeeze", "Tile", "Transpose", "Trilu", "Unsqueeze"),
)

RULES: dict[str, Rule] = {
    **dict.fromkeys(_LINEAR, _linear),
    "Add": _add,
    "Cast": _cast,
    "CastLike": _cast,
    "Concat": _concat,
    "Conv": _convolution,
    "ConvTranspose": _convolution,
    "Div": _div,
    "Einsum": _product,
    "Gemm": _gemm,
    "MatMul": _product,
    "Max": _extremum,
    "Min": _extremum,
    "Mul": _mul,
    "Pad": _pad,
    "Pow": _pow,
    "ScatterElements": _scatter,
    "ScatterND": _scatter,
    "Sub": _sub,
    "Sum": _add,
    "Where": _where,
}
