"""Linear algebra on weights, computed at export time: inverses, log-determinants, orthogonal matrices.

Whatever depends on weights alone is the same in every run. Most of it is cheap and is left to the runtime, which
folds it once when it loads a graph. Factorizations and inverses are expensive, and ONNX has no operators for
most of them. If the weights are the matrix of a linear system, the matrix is inverted, so that solving becomes a
product.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor, fx

_EXPENSIVE = (
    *("linalg_", "slogdet", "logdet", "det.", "inverse", "matrix_exp", "cholesky", "lu_", "pinverse", "qr.", "svd"),
    "triangular_solve",
)
_CHEAP = ("linalg_vector_norm", "linalg_norm", "linalg_cross", "linalg_diagonal", "linalg_vecdot")


def folded(
    program: torch.export.ExportedProgram, inputs: Sequence[Tensor], dynamic_shapes: Any
) -> torch.export.ExportedProgram:
    """The program with expensive computations on weights folded; the same program if there are none.

    Args:
        program: of a frozen module.
        inputs: the inputs it was traced with.
        dynamic_shapes: likewise.
    """
    if not any(is_expensive(node) for node in program.graph.nodes):
        return program
    module = program.module()
    assert isinstance(module, fx.GraphModule)
    if not _modernized(module) + _fold(module):
        return program
    return torch.export.export(module, tuple(inputs), dynamic_shapes=dynamic_shapes, strict=False)


def _modernized(module: fx.GraphModule) -> int:
    """Replace ``triangular_solve`` by its successor ``linalg.solve_triangular``; return how many were replaced."""
    old, new = torch.ops.aten.triangular_solve.default, torch.ops.aten.linalg_solve_triangular.default
    count = 0
    for node in list(module.graph.nodes):
        if node.target is not old:
            continue
        arguments = dict(zip(("b", "matrix", "upper", "transpose", "unitriangular"), node.args, strict=False))
        options = {"upper": True, "transpose": False, "unitriangular": False, **arguments, **node.kwargs}
        turns = bool(options["transpose"])
        with module.graph.inserting_before(node):
            matrix = arguments["matrix"]
            if turns:
                matrix = module.graph.call_function(torch.ops.aten.transpose.int, (matrix, -2, -1))
            solved = module.graph.call_function(
                new,
                (matrix, arguments["b"]),
                {"upper": bool(options["upper"]) != turns, "unitriangular": options["unitriangular"]},
            )
            solved.meta = {"val": node.meta["val"][0]} if "val" in node.meta else {}
        # the second result is a copy of the matrix
        for user in list(node.users):
            user.replace_all_uses_with(arguments["matrix"] if user.args[1] else solved)
        count += 1
    module.graph.eliminate_dead_code()
    return count


def _fold(module: fx.GraphModule) -> int:
    """Replace nodes by constants, and linear systems by products; return how many were replaced."""
    known: dict[fx.Node, Any] = {}
    expensive: set[fx.Node] = set()
    for node in module.graph.nodes:
        if node.op == "get_attr":
            known[node] = _attribute(module, str(node.target))
        elif node.op == "call_function" and all(each in known for each in node.all_input_nodes):
            if isinstance(node.target, torch._ops.OpOverload) and torch.Tag.nondeterministic_seeded in node.target.tags:
                continue
            arguments = fx.node.map_arg((node.args, node.kwargs), known.__getitem__)
            with torch.no_grad():
                known[node] = node.target(*arguments[0], **arguments[1])
            if is_expensive(node) or any(each in expensive for each in node.all_input_nodes):
                expensive.add(node)
    count = 0

    def constant(value: Tensor) -> fx.Node:
        nonlocal count
        count += 1
        module.register_buffer(f"folded_{count}", value.detach().clone())
        return module.graph.get_attr(f"folded_{count}")

    for node in list(module.graph.nodes):
        value = known.get(node)
        with module.graph.inserting_before(node):
            if node in expensive and isinstance(value, Tensor) and not all(user in known for user in node.users):
                node.replace_all_uses_with(constant(value), delete_user_cb=lambda user: user not in known)
            elif node not in known and (inverse := _inverse(node, known)) is not None:
                factors = constant(inverse), node.args[1]
                if not node.kwargs.get("left", True):
                    factors = factors[::-1]
                node.replace_all_uses_with(module.graph.call_function(torch.ops.aten.matmul.default, factors))
    module.graph.eliminate_dead_code()
    module.recompile()
    return count


def _inverse(node: fx.Node, known: dict[fx.Node, Any]) -> Tensor | None:
    """The inverse of a system's matrix, if the matrix is constant and ``node`` solves the system."""
    solve, triangular = torch.ops.aten.linalg_solve.default, torch.ops.aten.linalg_solve_triangular.default
    if node.target not in (solve, triangular) or not isinstance(node.args[0], fx.Node):
        return None
    matrix = known.get(node.args[0])
    if not isinstance(matrix, Tensor):
        return None
    precise = matrix.double()
    if node.target is triangular:
        eye = torch.eye(precise.shape[-1], dtype=torch.float64).expand_as(precise)
        options = {name: node.kwargs.get(name, False) for name in ("upper", "unitriangular")}
        inverse: Tensor = torch.linalg.solve_triangular(precise, eye, **options)
        return inverse.to(matrix.dtype)
    # a stack of vectors cannot be told from matrices
    if node.meta["val"].dim() < 2 or matrix.dim() > 2:
        return None
    inverse = torch.linalg.inv(precise)
    return inverse.to(matrix.dtype)


def is_expensive(node: fx.Node) -> bool:
    """Whether a node is linear algebra that is folded if its inputs are weights."""
    target = node.target
    if node.op != "call_function" or not isinstance(target, torch._ops.OpOverload):
        return False
    name = str(target).removeprefix("aten.").removeprefix("_")
    return name.startswith(_EXPENSIVE) and not name.startswith(_CHEAP)


def _attribute(module: torch.nn.Module, path: str) -> Any:
    value: Any = module
    for name in path.split("."):
        value = getattr(value, name)
    return value
