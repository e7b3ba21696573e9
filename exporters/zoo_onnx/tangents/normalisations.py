"""Rules of normalisations and attention, whose outputs are written anew beside their tangents."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx_ir as ir

from zoo.errors import ExportError
from zoo_onnx.tangents.writing import (
    Carried,
    Rule,
    Tangents,
    attribute_of,
    constant_of,
    first_alone,
    number,
    only,
    total_of,
)


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
    return only(tangent, y if _is_all(bias, 0.0) else p("Add", y, bias))


def _is_all(value: ir.Value | None, what: float) -> bool:
    if value is None:
        return True
    array = value if isinstance(value, np.ndarray) else constant_of(value)
    return array is not None and bool((array == what).all())


def _layer_norm(t: Tangents, node: ir.Node) -> list[Carried]:
    x, tangent = first_alone(t, node)
    axis = attribute_of(node, "axis", -1)
    axes = range(axis, 0) if axis < 0 else range(axis, _rank(node))
    scale, bias = node.inputs[1], node.inputs[2] if len(node.inputs) > 2 else None
    return _scaled(t, _standardized(t, x, tangent, axes, attribute_of(node, "epsilon", 1e-5)), scale, bias)


def _by_channel(t: Tangents, value: ir.Value | None, rank: int, neutral: float) -> Any:
    """A vector of one number a channel, to be broadcast over samples and places."""
    if _is_all(value, neutral):
        return None
    array = constant_of(value)
    sizes = [-1, *[1] * (rank - 2)]
    return array.reshape(sizes) if array is not None else t.primal("Reshape", value, t.primal.integers(*sizes))


def _instance_norm(t: Tangents, node: ir.Node) -> list[Carried]:
    x, tangent = first_alone(t, node)
    rank = _rank(node)
    scale, bias = (
        _by_channel(t, each, rank, neutral) for each, neutral in zip(node.inputs[1:], (1.0, 0.0), strict=True)
    )
    return _scaled(t, _standardized(t, x, tangent, range(2, rank), attribute_of(node, "epsilon", 1e-5)), scale, bias)


def _group_norm(t: Tangents, node: ir.Node) -> list[Carried]:
    x, tangent = first_alone(t, node)
    rank, groups, p = _rank(node), attribute_of(node, "num_groups", 1), t.primal
    rows = p("Reshape", x, p.integers(0, groups, -1))
    pair = _standardized(
        t, rows, t("Reshape", tangent, t.integers(0, groups, -1)), (2,), attribute_of(node, "epsilon", 1e-5)
    )
    whole = [p("Reshape", pair[0], p("Shape", x)), t("Reshape", pair[1], t("Shape", x))]
    scale, bias = (
        _by_channel(t, each, rank, neutral) for each, neutral in zip(node.inputs[1:], (1.0, 0.0), strict=True)
    )
    return _scaled(t, whole, scale, bias)


def _batch_norm(t: Tangents, node: ir.Node) -> list[Carried]:
    """With stored statistics."""
    _, tangent = first_alone(t, node)
    _, scale, _, _, variance = node.inputs
    factor = t("Div", scale, t("Sqrt", t("Add", variance, number(attribute_of(node, "epsilon", 1e-5)))))
    return only(t("Mul", tangent, t("Reshape", factor, t.integers(-1, *[1] * (_rank(node) - 2)))))


def _attention(t: Tangents, node: ir.Node) -> list[Carried]:
    """softmax(q·kᵀ·scale + mask)·v of tensors ``[batch, heads, length, size]`` (opset 23)."""
    q, k, v = node.inputs[:3]
    mask = node.inputs[3] if len(node.inputs) > 3 else None
    plain = all(each is None for each in node.inputs[4:]) and not attribute_of(node, "is_causal", 0)
    assert q is not None
    size = q.shape[-1] if q.shape is not None and len(q.shape) == 4 else None
    if not plain or not isinstance(size, int) or t.tangent(mask) is not None:
        raise ExportError("attention of this kind cannot be exported in a derivative")
    p, factor = t.primal, number(attribute_of(node, "scale", 1.0 / math.sqrt(size)))
    turned = {"perm": [0, 1, 3, 2]}
    keys = p("Transpose", k, **turned)
    scores = p("Mul", p("MatMul", q, keys), factor)
    share = p("Softmax", scores if mask is None else p("Add", scores, mask), axis=-1)
    tq, tk, tv = (t.tangent(each) for each in (q, k, v))
    moved = total_of(
        t,
        None if tq is None else t("MatMul", tq, keys),
        None if tk is None else t("MatMul", q, t("Transpose", tk, **turned)),
    )
    through = None
    if moved is not None:
        weighted = t("Mul", share, t("Mul", moved, factor))
        total = t("ReduceSum", weighted, t.integers(-1), keepdims=1)
        through = t("MatMul", t("Sub", weighted, t("Mul", share, total)), v)
    return only(total_of(t, through, None if tv is None else t("MatMul", share, tv)), p("MatMul", share, v))


RULES: dict[str, Rule] = {
    "Attention": _attention,
    "BatchNormalization": _batch_norm,
    "GroupNormalization": _group_norm,
    "InstanceNormalization": _instance_norm,
    "LayerNormalization": _layer_norm,
}
