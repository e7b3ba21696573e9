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
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir


def portable(model: ir.Model) -> None:
    """Rewrite a graph and its nested graphs, where the ranks of values are known, without changing what they "
    "compute."""
    for graph in model.graphs():
        for node in list(graph):
            if node.op_type == "MatMul" and _rank(node.inputs[1]) == 1 and _rank(node.inputs[0]) != 1:
                _by_matrix(graph, node)
            elif _drops_one_axis_of_three(node):
                _kept(graph, node)


def _by_matrix(graph: ir.Graph, node: ir.Node) -> None:
    """MatMul(a, v) as Squeeze(MatMul(a, Unsqueeze(v)))."""
    a, vector = node.inputs
    first, last = _axis(graph, f"{node.name}.first", 1), _axis(graph, f"{node.name}.last", -1)
    column = ir.node("Unsqueeze", [vector, first], name=f"{node.name}.column")
    product = ir.node("MatMul", [a, column.outputs[0]], name=f"{node.name}.product")
    squeezed = ir.node("Squeeze", [product.outputs[0], last], name=f"{node.name}.squeezed")
    _replace(graph, node, [column, product, squeezed])


def _kept(graph: ir.Graph, node: ir.Node) -> None:
    """A reduction with its axis squeezed away afterwards."""
    value, axes = node.inputs
    attributes = {name: attribute.value for name, attribute in node.attributes.items()} | {"keepdims": 1}
    reduced = ir.node(node.op_type, [value, axes], attributes, name=f"{node.name}.kept")
    squeezed = ir.node("Squeeze", [reduced.outputs[0], axes], name=f"{node.name}.squeezed")
    _replace(graph, node, [reduced, squeezed])


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


def _axis(graph: ir.Graph, name: str, axis: int) -> ir.Value:
    tensor = ir.Tensor(np.array([axis], np.int64), name=name)
    value = ir.Value(name=name, type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape([1]), const_value=tensor)
    graph.register_initializer(value)
    return value


def _replace(graph: ir.Graph, node: ir.Node, nodes: list[ir.Node]) -> None:
    for each in nodes:
        each.outputs[0].name = f"{each.name}.out"
    (before,), after = node.outputs, nodes[-1].outputs[0]
    after.shape, after.type = before.shape, before.type
    ir.convenience.replace_nodes_and_values(graph, node, [node], nodes, [before], [after])
