"""Loops of ONNX graphs, in place of :func:`zoo.models.loops.loop` while a graph is traced.

The tracer runs the body once, between symbolic operators that mark where the state enters and leaves it, as
:mod:`zoo_onnx.forward_mode` marks derivatives; and :func:`looped` makes what lies between them the body of a ``Loop``.
What the body reads besides its state is read from the graph around it, and computed once.
"""

from __future__ import annotations

import itertools
from typing import Any

import numpy as np
import onnx_ir as ir
import torch
from onnx_ir.passes import common
from torch import Tensor

from zoo.errors import ExportError
from zoo.models.loops import Body, State

#: the domain of the marks; no finished graph has it
DOMAIN = "genzoo.loop"
_loops = itertools.count()


def loop(turns: int, state: State, body: Body) -> State:
    """The state after so many turns, as :func:`zoo.models.loops.loop`: to be traced, not run.

    Raises:
        ExportError: the body changes the shape or type of the state.
    """
    number = next(_loops)
    entered = tuple(_enter(number, index, value) for index, value in enumerate(state))
    after = body(*entered)
    if len(after) != len(state) or any(
        a.dtype != b.dtype or a.ndim != b.ndim for a, b in zip(after, state, strict=True)
    ):
        raise ExportError("a loop changes the number, rank or type of what it carries from turn to turn")
    left = torch.onnx.ops.symbolic_multi_out(
        f"{DOMAIN}::Leave",
        # with the state that entered, which is nobody else's where a turn does not read it
        (*after, *entered),
        {"number": number, "turns": turns},
        dtypes=[each.dtype for each in state],
        shapes=[each.shape for each in state],
        version=1,
    )
    return tuple(left)


def _enter(number: int, index: int, value: Tensor) -> Tensor:
    attributes: dict[str, Any] = {"number": number, "index": index}
    return torch.onnx.ops.symbolic(
        f"{DOMAIN}::Enter", (value,), attributes, dtype=value.dtype, shape=value.shape, version=1
    )


def looped(model: ir.Model) -> None:
    """Write the marked parts of a graph as loops.

    Raises:
        ExportError: something outside reads what a turn computes, other than the state.
    """
    graph = model.graph
    if any(node.domain == DOMAIN for node in graph):
        # what nobody needs, such as tangents that were not asked for, would read the values of a turn from outside
        common.RemoveUnusedNodesPass()(model)
    # in topological order: a loop within another leaves before the other does, and is a node of its body then
    for number, leave in enumerate([node for node in graph if node.domain == DOMAIN and node.op_type == "Leave"]):
        _write(graph, leave, f"turn_{number}.")
    model.opset_imports.pop(DOMAIN, None)
    graph.opset_imports.pop(DOMAIN, None)


def _write(graph: ir.Graph, leave: ir.Node, prefix: str) -> None:
    """Replace the marks of one loop by a ``Loop``."""
    number = leave.attributes.get_int("number")
    entering = [
        n for n in graph if n.domain == DOMAIN and n.op_type == "Enter" and n.attributes.get_int("number") == number
    ]
    entering.sort(key=lambda node: node.attributes.get_int("index") or 0)
    after = [value for value in leave.inputs[: len(entering)] if value is not None]
    inside = _inside(graph, [node.outputs[0] for node in entering], after)
    state = [_fresh(f"{prefix}state_{i}", node.outputs[0]) for i, node in enumerate(entering)]
    for node, value in zip(entering, state, strict=True):
        ir.convenience.replace_all_uses_with(node.outputs[0], value, replace_graph_outputs=True)
    after = [value for value in leave.inputs[: len(entering)] if value is not None]
    body_set = {each for node in inside for each in (node, *_within(node))}
    for node in inside:
        for value in node.outputs:
            if any(user not in body_set and user is not leave for user in value.consumers()) or value.is_graph_output():
                raise ExportError(f"a value of one turn of a loop is used after it, {value.name}")
    for node in inside:
        graph.remove(node)
    nodes = [*inside]
    outputs = [_own(value, body_set, nodes, f"{prefix}next_{i}") for i, value in enumerate(after)]
    turn = ir.Value(name=f"{prefix}turn", type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(()))
    going = ir.Value(name=f"{prefix}going", type=ir.TensorType(ir.DataType.BOOL), shape=ir.Shape(()))
    goes_on = ir.Node("", "Identity", [going])
    goes_on.outputs[0].name, goes_on.outputs[0].type = f"{prefix}goes_on", ir.TensorType(ir.DataType.BOOL)
    goes_on.outputs[0].shape = ir.Shape(())
    body = ir.Graph(
        [turn, going, *state], [goes_on.outputs[0], *outputs], nodes=[goes_on, *nodes], name=f"{prefix}body"
    )
    written = ir.Node(
        "",
        "Loop",
        [
            _constant(graph, f"{prefix}turns", np.array(leave.attributes.get_int("turns"), np.int64)),
            _constant(graph, f"{prefix}first", np.array(True)),
            *(node.inputs[0] for node in entering),
        ],
        [ir.AttrGraph("body", body)],
        num_outputs=len(entering),
    )
    for output, old in zip(written.outputs, leave.outputs, strict=True):
        output.name, output.type, output.shape = f"{old.name}.left", old.type, old.shape
    graph.insert_before(leave, written)
    for output, old in zip(written.outputs, leave.outputs, strict=True):
        ir.convenience.replace_all_uses_with(old, output, replace_graph_outputs=True)
    for node in (leave, *entering):
        graph.remove(node, safe=True)


def _inside(graph: ir.Graph, starts: list[ir.Value], after: list[ir.Value]) -> list[ir.Node]:
    """The nodes that depend on the state and that the next state depends on, in order."""
    needed: set[ir.Node] = set()
    todo = list(after)
    while todo:
        node = todo.pop().producer()
        if node is not None and node not in needed:
            needed.add(node)
            todo += [each for each in (*node.inputs, *_captured(node)) if each is not None]
    moving, nodes = set(starts), []
    for node in graph:
        if node in needed and any(each in moving for each in (*node.inputs, *_captured(node))):
            moving.update(node.outputs)
            nodes.append(node)
    return nodes


def _within(node: ir.Node) -> list[ir.Node]:
    """The nodes of the bodies of a loop or branch."""
    bodies = [each.value for each in node.attributes.values() if each.type == ir.AttributeType.GRAPH]
    return [each for body in bodies for each in body.all_nodes()]


def _captured(node: ir.Node) -> list[ir.Value]:
    """The values outside that the bodies of a loop or branch read."""
    bodies = [each.value for each in node.attributes.values() if each.type == ir.AttributeType.GRAPH]
    inner = [value for body in bodies for each in body.all_nodes() for value in each.inputs if value is not None]
    return inner + [value for body in bodies for value in body.outputs]


def _fresh(name: str, like: ir.Value) -> ir.Value:
    return ir.Value(name=name, type=like.type, shape=like.shape)


def _own(value: ir.Value, body: set[ir.Node], nodes: list[ir.Node], name: str) -> ir.Value:
    """A value as an output of the body, which must come from one of its nodes, and of one output only."""
    producer = value.producer()
    if producer is not None and producer in body and not value.is_graph_output():
        return value
    node = ir.Node("", "Identity", [value])
    node.outputs[0].name, node.outputs[0].type, node.outputs[0].shape = name, value.type, value.shape
    nodes.append(node)
    return node.outputs[0]


def _constant(graph: ir.Graph, name: str, array: Any) -> ir.Value:
    tensor = ir.tensor(array, name=name)
    value = ir.Value(name=name, type=ir.TensorType(tensor.dtype), shape=ir.Shape(np.shape(array)), const_value=tensor)
    graph.register_initializer(value)
    return value
