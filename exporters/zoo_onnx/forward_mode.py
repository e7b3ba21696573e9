"""Forward-mode derivatives of ONNX graphs, in place of ``torch.func.jvp`` while a graph is traced.

torch's own forward mode runs in C++, where symbolic sizes become numbers (so the batch would be baked in) and fake
tensors lose their device. So the tracer sees a mark instead of a derivative: :func:`jvp` calls the function once,
between two symbolic operators, and :func:`expanded` replaces these in the finished ONNX graph. There each operator
between the point and the value is followed by the rule that carries the tangent along (Griewank & Walther 2008,
*Evaluating Derivatives*, section 3.1). The rules are in :mod:`zoo_onnx.tangents`; an operator without one fails the
export and is named. The tracer never sees the derivative, which has several times as many operators as the function.

The proof compares the result with ``torch.func.jvp``, so the two check each other.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from typing import Any

import onnx_ir as ir
import torch
from torch import Tensor

from zoo.errors import ExportError
from zoo_onnx.tangents import CONSTANT, RULES, Tangents, zeros_like

#: the domain of the two marks; no finished graph has it
DOMAIN = "genzoo.derivative"
Function = Callable[[Tensor], Tensor]

#: of the families whose graphs take a derivative, those that can do without
WITHOUT = "The graph takes a derivative, which a diffusion built with likelihood = false leaves out."
#: no two points are one, even where they are equal: what depends on one is constant for the derivative at the other
_points = itertools.count()


def jvp(function: Function, point: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
    """The value and the derivative along a direction, as :func:`zoo.models.derivatives.jvp`: to be traced, not run."""
    start = _mark("Point", point)
    value = function(start)
    return value, _mark("Tangent", value, start, direction)


class Marking:
    """:func:`jvp` that remembers whether it was called.

    Attributes:
        taken: whether the traced graph takes a derivative.
    """

    def __init__(self) -> None:
        self.taken = False

    def __call__(self, function: Function, point: Tensor, direction: Tensor) -> tuple[Tensor, Tensor]:
        """As :func:`jvp`."""
        self.taken = True
        return jvp(function, point, direction)


def advised(hint: str | None) -> str:
    """What to do about an error of a graph that takes a derivative: also to do without it."""
    if hint is not None and "likelihood" in hint:
        return hint
    return f"{hint or ''} {WITHOUT}".strip()


def _mark(name: str, *inputs: Tensor) -> Tensor:
    like = inputs[0]
    number: dict[str, Any] = {"number": next(_points)}
    return torch.onnx.ops.symbolic(f"{DOMAIN}::{name}", inputs, number, dtype=like.dtype, shape=like.shape, version=1)


def expanded(model: ir.Model) -> None:
    """Write out the derivatives of a graph that was traced with :func:`jvp`.

    Raises:
        ExportError: an operator has no rule, or a derivative is taken in the body of a loop or branch.
    """
    graph = model.graph
    for inner in model.graphs():
        if inner is not graph and any(node.domain == DOMAIN for node in inner):
            raise ExportError(f"graph {graph.name} takes a derivative in the body of a loop or branch")
    # in topological order: a derivative within the function of another is ordinary operators by then
    for count, node in enumerate([node for node in graph if _is(node, "Tangent")]):
        _write(graph, node, f"tangent_{count}.")
    for node in [node for node in graph if _is(node, "Point")]:
        _replace(graph, node, node.inputs[0])
    model.opset_imports.pop(DOMAIN, None)
    graph.opset_imports.pop(DOMAIN, None)


def _is(node: ir.Node, name: str) -> bool:
    return node.domain == DOMAIN and node.op_type == name


def _write(graph: ir.Graph, mark: ir.Node, prefix: str) -> None:
    """Replace the mark of a tangent by operators that compute it."""
    value, start, direction = mark.inputs
    assert value is not None
    assert start is not None
    assert direction is not None
    tangents = Tangents(prefix)
    tangents.of[start] = direction
    for node in _between(graph, start, value):
        _carry(graph, tangents, node)
    # a rule may have written the value anew
    value = mark.inputs[0]
    assert value is not None
    result = tangents.tangent(value)
    if result is None:
        result = zeros_like(tangents, value)
        result.shape, result.type = value.shape, value.type
    graph.insert_before(mark, tangents.nodes)
    for constant in (*tangents.constants, *tangents.primal.constants):
        graph.register_initializer(constant)
    _replace(graph, mark, result)


def _between(graph: ir.Graph, start: ir.Value, value: ir.Value) -> list[ir.Node]:
    """The nodes that the value depends on and that depend on the start, in order."""
    needed: set[ir.Node] = set()
    todo = [value]
    while todo:
        node = todo.pop().producer()
        if node is not None and node not in needed:
            needed.add(node)
            todo += [each for each in (*node.inputs, *_captured(node)) if each is not None]
    moving, nodes = {start}, []
    for node in graph:
        if node in needed and any(each in moving for each in (*node.inputs, *_captured(node))):
            moving.update(node.outputs)
            nodes.append(node)
    return nodes


def _captured(node: ir.Node) -> list[ir.Value]:
    """The values outside that the bodies of a loop or branch read."""
    graphs = [attribute.value for attribute in node.attributes.values() if attribute.type == ir.AttributeType.GRAPH]
    return [value for graph in graphs for inner in graph.all_nodes() for value in inner.inputs if value is not None]


def _carry(graph: ir.Graph, tangents: Tangents, node: ir.Node) -> None:
    """Write the tangents of a node's outputs."""
    if node.op_type in CONSTANT and not node.domain:
        return
    if _is(node, "Point"):  # of a derivative within the function, which is written by now
        if (tangent := tangents.tangent(node.inputs[0])) is not None:
            tangents.of[node.outputs[0]] = tangent
        return
    if all(tangents.tangent(each) is None for each in (*node.inputs, *_captured(node))):
        return
    rule = None if node.domain else RULES.get(node.op_type)
    if rule is None:
        origin = str(node.metadata_props.get("pkg.torch.onnx.fx_node", "")).rpartition("call_function[target=")[2]
        source = origin.partition("]")[0].strip()
        raise ExportError(
            f"there is no rule for the derivative of the operator {node.op_type} in a graph"
            + (f"; it comes from {source}" if source else ""),
            hint="Write the network with other operations, or add a rule to zoo_onnx.tangents.",
        )
    written = rule(tangents, node)
    graph.insert_before(node, tangents.take_primal())
    for output, (tangent, anew) in zip(node.outputs, written, strict=False):
        if tangent is not None:
            tangent.shape, tangent.type = tangent.shape or output.shape, tangent.type or output.type
            tangents.of[output if anew is None else anew] = tangent
        if anew is not None:
            anew.shape, anew.type = output.shape, output.type
            ir.convenience.replace_all_uses_with(output, anew, replace_graph_outputs=True)


def _replace(graph: ir.Graph, node: ir.Node, value: ir.Value | None) -> None:
    """Remove a node with one output, which becomes ``value``."""
    assert value is not None
    ir.convenience.replace_all_uses_with(node.outputs[0], value, replace_graph_outputs=True)
    graph.remove(node, safe=True)
