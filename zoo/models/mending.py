"""Mends of foreign code for the time in which it is traced. This module needs torch.

A graph cannot branch on values, take the number of samples as a Python number, or run until something is small enough.
Other people's code does. An adapter mends it in a block (:meth:`zoo.Wrapped.mended`) that an exporter enters while it
traces, and nobody else: what the graph is compared with stays the library's own function.
"""

from __future__ import annotations
import __future__

import ast
import builtins
import contextlib
import inspect
import textwrap
import types
from collections.abc import Callable, Iterator
from functools import cache
from typing import Any

import torch
from torch import Tensor

from zoo.errors import ExportError
from zoo.files import reason_of
from zoo.overriding import override

#: an object, the name of one of its attributes, and the value in its place
Change = tuple[object, str, object]
_ABSENT = object()


@contextlib.contextmanager
def replaced(*changes: Change) -> Iterator[None]:
    """A block in which attributes of modules or classes have other values.

    Raises:
        ExportError: an attribute to replace does not exist: the library is of another version.
    """
    before: list[Change] = []
    try:
        for owner, name, value in changes:
            own = vars(owner).get(name, _ABSENT)
            if own is _ABSENT and not hasattr(owner, name) and not hasattr(builtins, name):
                named = getattr(owner, "__qualname__", getattr(owner, "__name__", owner))
                raise ExportError(
                    f"{named} has no {name}, which an adapter mends while it is traced",
                    hint="The library may be of a version that the adapter was not written for.",
                )
            before.append((owner, name, own))
            setattr(owner, name, value)
        yield
    finally:
        for owner, name, own in reversed(before):
            if own is _ABSENT:
                delattr(owner, name)
            else:
                setattr(owner, name, own)


def symbolic_len(*modules: types.ModuleType) -> list[Change]:
    """``len`` in some modules without the batch becoming a number: of a tensor, its first size."""
    return [(module, "len", _len) for module in modules]


def _len(value: Any) -> Any:
    return value.shape[0] if isinstance(value, Tensor) else builtins.len(value)


@cache
def plain(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function that can be traced as it stands in its source, but for a few statements.

    Its ``assert`` statements and its ``if …: raise …`` are left out, as they look at the values of tensors. What it
    writes in place is computed anew instead: ``x[..., -1] = y`` and ``x /= y`` of its variables. Lines keep their
    numbers. The module of the function is that of the original, so what it calls is looked up there.

    Raises:
        ExportError: its source is not there.
    """
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError) as error:
        raise ExportError(f"the source of {function.__qualname__} cannot be read: {reason_of(error)}") from error
    tree = ast.fix_missing_locations(ast.increment_lineno(_Plain().visit(tree), first - 1))
    flags = function.__code__.co_flags & __future__.annotations.compiler_flag
    code = compile(tree, function.__code__.co_filename, "exec", flags=flags, dont_inherit=True)
    own = next(c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == function.__name__)
    if own.co_freevars:
        raise ExportError(f"{function.__qualname__} is defined within another function, and cannot be mended")
    mended = types.FunctionType(own, function.__globals__, function.__name__, function.__defaults__)
    mended.__kwdefaults__, mended.__qualname__ = function.__kwdefaults__, function.__qualname__
    return mended


def put(x: Tensor, index: int, value: Any) -> Tensor:
    """``x`` with ``value``, a number or ``[...]``, in the first or the last place of its last axis."""
    place = x[..., :1]
    piece = (
        value.unsqueeze(-1).expand_as(place)
        if isinstance(value, Tensor) and value.ndim
        else (torch.zeros_like(place) + value)
    )
    return torch.cat([piece, x[..., 1:]], -1) if index == 0 else torch.cat([x[..., :-1], piece], -1)


class _Plain(ast.NodeTransformer):
    """Removes assertions, and conditions that only raise; replaces what is written in place."""

    @override
    def visit_Assert(self, node: ast.Assert) -> Any:
        return ast.copy_location(ast.Pass(), node)

    @override
    def visit_If(self, node: ast.If) -> Any:
        if not node.orelse and all(isinstance(each, ast.Raise) for each in node.body):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)

    @override
    def visit_Assign(self, node: ast.Assign) -> Any:
        target = node.targets[0]
        if len(node.targets) > 1 or (place := _end_of(target)) is None:
            return node
        return _put(node, *place, node.value)

    @override
    def visit_AugAssign(self, node: ast.AugAssign) -> Any:
        if isinstance(node.target, ast.Name):
            value = ast.BinOp(ast.Name(node.target.id, ast.Load()), node.op, node.value)
            return ast.copy_location(ast.Assign([node.target], value), node)
        if (place := _end_of(node.target)) is None:
            return node
        assert isinstance(node.target, ast.Subscript)
        read = ast.Subscript(ast.Name(place[0], ast.Load()), node.target.slice, ast.Load())
        return _put(node, *place, ast.BinOp(read, node.op, node.value))


def _end_of(target: ast.expr) -> tuple[str, int] | None:
    """The variable and the place of ``x[..., 0]`` or ``x[..., -1]``; None for other targets."""
    if not isinstance(target, ast.Subscript) or not isinstance(target.value, ast.Name):
        return None
    index = ast.unparse(target.slice).replace(" ", "").strip("()")
    places = {"...,0": 0, "...,-1": -1}
    return (target.value.id, places[index]) if index in places else None


def _put(node: ast.stmt, name: str, index: int, value: ast.expr) -> ast.stmt:
    """``x = put(x, index, value)``."""
    here = ast.parse(f"{name} = __import__({__name__!r}, fromlist=['put']).put({name}, {index}, None)").body[0]
    assert isinstance(here, ast.Assign)
    assert isinstance(here.value, ast.Call)
    here.value.args[2] = value
    for each in ast.walk(here):
        if not hasattr(each, "lineno") or each is not value:
            ast.copy_location(each, node)
    return here
