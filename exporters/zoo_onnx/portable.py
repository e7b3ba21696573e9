"""Rewrites of patterns that some runtimes compute wrongly.

A product by a vector::

    MatMul(Transpose(x), v)        with v ``[k]``

ONNX Runtime's pass MatmulTransposeFusion fuses it into one FusedMatMul with transA = 1, which reads x as if it
were not transposed: right for one row, wrong for more (ONNX Runtime 1.32, from ORT_ENABLE_EXTENDED on).
Matrices are not affected, so the vector becomes a matrix with one column.

A sum over an axis of three::

    Reduce…(x, axis, keepdims=0) → + c        with x of rank 3 and c a constant ``[d]``

OpenVINO's CPU plugin fuses what follows into the reduction, and takes element 0 of the constant for all columns
(OpenVINO 2026.4). It does not if the axis is kept and squeezed away afterwards.

An integer division by a size::

    Div(a, b), Mod(a, b)                      with b made of sizes of tensors

terminates the process if b is 0, so readers of bundles refuse it (:mod:`zoo.bundle.scan.traps`). Sizes are 1 or
more, so Max(b, 1) is the same number, and provably positive.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from zoo_onnx.rewriting import constant, replace

_WHOLE = (ir.DataType.INT32, ir.DataType.INT64)
#: operators that give sizes of a tensor, and operators that compute sizes from sizes
_SIZES = ("Shape", "Size")
_OF_SIZES = ("Add", "Mul", "Div", "Max", "Min", "Concat")
_SIZES_CHOSEN = ("Gather", "Slice", "Squeeze", "Unsqueeze", "Reshape", "Cast", "Identity", "ReduceProd", "ReduceSum")


def portable(model: ir.Model) -> None:
    """Rewrite a graph and its nested graphs, where the ranks of values are known, without changing what they
    compute."""
    for graph in model.graphs():
        for node in list(graph):
            if node.op_type == "MatMul" and _rank(node.inputs[1]) == 1 and _rank(node.inputs[0]) != 1:
                _by_matrix(graph, node)
            elif _drops_one_axis_of_three(node):
                _kept(graph, node)
            elif node.op_type in ("Div", "Mod") and _is_size(node.inputs[1]):
                _by_one_or_more(graph, node)


def _by_matrix(graph: ir.Graph, node: ir.Node) -> None:
    """MatMul(a, v) as Squeeze(MatMul(a, Unsqueeze(v)))."""
    a, vector = node.inputs
    first = constant(graph, f"{node.name}.first", np.array([1], np.int64))
    last = constant(graph, f"{node.name}.last", np.array([-1], np.int64))
    column = ir.node("Unsqueeze", [vector, first], name=f"{node.name}.column")
    product = ir.node("MatMul", [a, column.outputs[0]], name=f"{node.name}.product")
    squeezed = ir.node("Squeeze", [product.outputs[0], last], name=f"{node.name}.squeezed")
    replace(graph, node, [column, product, squeezed])


def _kept(graph: ir.Graph, node: ir.Node) -> None:
    """A reduction with its axis squeezed away afterwards."""
    value, axes = node.inputs
    attributes = {name: attribute.value for name, attribute in node.attributes.items()} | {"keepdims": 1}
    reduced = ir.node(node.op_type, [value, axes], attributes, name=f"{node.name}.kept")
    squeezed = ir.node("Squeeze", [reduced.outputs[0], axes], name=f"{node.name}.squeezed")
    replace(graph, node, [reduced, squeezed])


def _by_one_or_more(graph: ir.Graph, node: ir.Node) -> None:
    """Rewrite a division by b as a division by Max(b, 1)."""
    dividend, divisor = node.inputs
    assert divisor is not None
    assert divisor.dtype is not None
    one = constant(graph, f"{node.name}.one", np.array(1, divisor.dtype.numpy()))
    least = ir.node("Max", [divisor, one], name=f"{node.name}.least")
    least.outputs[0].type, least.outputs[0].shape = divisor.type, divisor.shape
    attributes = {name: attribute.value for name, attribute in node.attributes.items()}
    quotient = ir.node(node.op_type, [dividend, least.outputs[0]], attributes, name=f"{node.name}.quotient")
    replace(graph, node, [least, quotient])


def _is_size(value: ir.Value | None) -> bool:
    """Whether integers are computed only from sizes of tensors and positive constants, and are not constant."""
    if value is None or value.dtype not in _WHOLE or ir.convenience.get_const_tensor(value) is not None:
        return False
    todo: list[ir.Value | None] = [value]
    seen: set[ir.Value] = set()
    while todo:
        value = todo.pop()
        if value is None or value in seen:
            continue
        seen.add(value)
        node, constant = value.producer(), ir.convenience.get_const_tensor(value)
        if constant is not None:
            if (constant.numpy() < 1).any():
                return False
        elif node is None or node.op_type not in (*_SIZES, *_OF_SIZES, *_SIZES_CHOSEN):
            return False
        elif node.op_type not in _SIZES:
            # inputs that select or reshape sizes are not sizes themselves
            todo += node.inputs[:1] if node.op_type in _SIZES_CHOSEN else node.inputs
    return True


def _drops_one_axis_of_three(node: ir.Node) -> bool:
    if not node.op_type.startswith("Reduce") or len(node.inputs) < 2 or node.inputs[1] is None:
        return False
    keepdims = node.attributes.get("keepdims")
    axes = ir.convenience.get_const_tensor(node.inputs[1])
    return (
        keepdims is not None
        and not keepdims.value
        and axes is not None
        and axes.size == 1
        and (_rank(node.inputs[0]) == 3)
    )


def _rank(value: ir.Value | None) -> int | None:
    """The rank of a value, or None if it is unknown."""
    if value is None:
        return None
    if value.const_value is not None:
        return len(value.const_value.shape)
    return None if value.shape is None else len(value.shape)
