"""What rewrites of ONNX graphs have in common."""

from __future__ import annotations

from collections.abc import Sequence

import onnx_ir as ir

from zoo.arrays import Array


def constant(graph: ir.Graph, name: str, array: Array) -> ir.Value:
    """A new initializer of a graph."""
    tensor = ir.Tensor(array, name=name)
    value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=tensor.shape, const_value=tensor)
    graph.register_initializer(value)
    return value


def replace(graph: ir.Graph, node: ir.Node, nodes: Sequence[ir.Node]) -> None:
    """Put nodes in the place of one with one output, which the last of them gives."""
    for each in nodes:
        each.outputs[0].name = f"{each.name}.out"
    (before,), after = node.outputs, nodes[-1].outputs[0]
    after.shape, after.type = before.shape, before.type
    ir.convenience.replace_nodes_and_values(graph, node, [node], nodes, [before], [after])
