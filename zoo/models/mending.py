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

from torch import Tensor

from zoo.errors import ExportError
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
            if own is _ABSENT and not hasattr(builtins, name):
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
def without_checks(function: Callable[..., Any]) -> Callable[..., Any]:
    """A function without its ``assert`` statements and its ``if …: raise …``, which look at the values of tensors.

    Lines keep their numbers. The module of the function is that of the original, so what it calls is looked up there.

    Raises:
        ExportError: its source is not there.
    """
    try:
        lines, first = inspect.getsourcelines(function)
        tree = ast.parse(textwrap.dedent("".join(lines)))
    except (OSError, TypeError, SyntaxError) as error:
        raise ExportError(f"the source of {function.__qualname__} cannot be read: {error}") from error
    tree = ast.fix_missing_locations(ast.increment_lineno(_Unchecked().visit(tree), first - 1))
    flags = function.__code__.co_flags & __future__.annotations.compiler_flag
    code = compile(tree, function.__code__.co_filename, "exec", flags=flags, dont_inherit=True)
    found = next(c for c in code.co_consts if isinstance(c, types.CodeType) and c.co_name == function.__name__)
    if found.co_freevars:
        raise ExportError(f"{function.__qualname__} is defined within another function, and cannot be mended")
    mended = types.FunctionType(found, function.__globals__, function.__name__, function.__defaults__)
    mended.__kwdefaults__, mended.__qualname__ = function.__kwdefaults__, function.__qualname__
    return mended


class _Unchecked(ast.NodeTransformer):
    """Removes assertions, and conditions that only raise."""

    @override
    def visit_Assert(self, node: ast.Assert) -> Any:
        return ast.copy_location(ast.Pass(), node)

    @override
    def visit_If(self, node: ast.If) -> Any:
        if not node.orelse and all(isinstance(each, ast.Raise) for each in node.body):
            return ast.copy_location(ast.Pass(), node)
        return self.generic_visit(node)
