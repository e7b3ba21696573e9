"""In-place operators of a traced program as operators that give a new tensor, where nobody can tell the difference.

``total += log_det`` is an operator that has no translation, and one of them is enough for torch's exporter to trace
the whole program again in order to remove it, which takes longer than all the rest. Where nothing else shares the
memory of the tensor that it changes, ``total = total + log_det`` is the same.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import fx

aten = torch.ops.aten
#: operators written in terms of others, which tell nothing of views, but make a new tensor all the same
_NEW = frozenset(
    {
        aten.linear.default,
        aten.matmul.default,
        aten.bilinear.default,
        aten.conv1d.default,
        aten.conv2d.default,
        aten.conv3d.default,
        aten.layer_norm.default,
        aten.group_norm.default,
        aten.batch_norm.default,
        aten.instance_norm.default,
        aten.softmax.int,
        aten.log_softmax.int,
        aten.outer.default,
        aten.ger.default,
    }
)


def rewritten(graph: fx.Graph) -> int:
    """Rewrite what can be; return how many operators were."""
    places, count = {node: place for place, node in enumerate(graph.nodes)}, 0
    for node in graph.nodes:
        target = _counterpart(node)
        tensor = node.args[0] if target is not None else None
        if isinstance(tensor, fx.Node) and _unseen(tensor, node, places):
            node.target = target
            for user in [each for each in tensor.users if places[each] > places[node]]:
                user.replace_input_with(tensor, node)  # which see what was written
            count += 1
    return count


def _counterpart(node: fx.Node) -> Any:
    """The operator that gives what an in-place one writes; None for other nodes, or where it would give another type.

    What is written in place keeps its type, where the new tensor would take that of both.
    """
    operator = node.target
    if not isinstance(operator, torch._ops.OpOverload) or not operator._schema.is_mutable:
        return None
    written = [
        argument.name for argument in operator._schema.arguments if argument.alias_info and argument.alias_info.is_write
    ]
    name = operator._schema.name.partition("::")[2]
    if written != [operator._schema.arguments[0].name] or not name.endswith("_") or name.startswith("_"):
        return None
    values = [each.meta.get("val") for each in node.all_input_nodes]
    types = {each.dtype for each in values if isinstance(each, torch.Tensor)}
    written_type = values[0].dtype if isinstance(values[0], torch.Tensor) else None
    # indices, and whole numbers beside floating ones, change no type
    if types != {written_type} and {each for each in types if each.is_floating_point} != {written_type}:
        return None
    return getattr(getattr(aten, name[:-1], None), operator._overloadname, None)


def _unseen(tensor: fx.Node, writer: fx.Node, places: dict[fx.Node, int]) -> bool:
    """Whether a tensor is new where it is made, and all that have used it before it is written to keep no view."""
    return _is_new(tensor) and all(_is_new(user) for user in tensor.users if places[user] < places[writer])


def _is_new(node: fx.Node) -> bool:
    """Whether a node gives a tensor that shares no memory with another."""
    operator = node.target
    if not isinstance(operator, torch._ops.OpOverload) or not isinstance(node.meta.get("val"), torch.Tensor):
        return False
    schema = operator._schema
    if schema.is_mutable or any(each.alias_info for each in schema.returns):
        return False
    composite = torch._C._dispatch_has_kernel_for_dispatch_key(operator._name, "CompositeImplicitAutograd")
    return operator in _NEW or not composite
