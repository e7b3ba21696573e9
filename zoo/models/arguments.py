"""Constructors that take the arguments of another class beside their own, without stating them again."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable, Collection, Mapping
from typing import Any

_Init = Callable[..., None]


def with_arguments_of(
    *sources: type,
    make: Callable[..., Any] = dict,
    leaving: Collection[str] = (),
    defaults: Mapping[str, object] | None = None,
) -> Callable[[_Init], _Init]:
    """Let a constructor take the keyword arguments of other classes beside its own.

    The decorated constructor gets ``make(**arguments)``, of ``defaults`` and the caller's arguments, as its first
    argument after ``self``. The resulting signature, by which configs are checked, has all of them by name.

    >>> class Style:
    ...     def __init__(self, *, colour: str = "red", size: int = 1) -> None: ...
    >>> class Shape:
    ...     @with_arguments_of(Style, leaving=["size"])
    ...     def __init__(self, style, *, corners: int) -> None:
    ...         self.style, self.corners = style, corners
    >>> list(inspect.signature(Shape).parameters)
    ['corners', 'colour']
    >>> Shape(corners=3, colour="blue").style
    {'colour': 'blue'}

    Args:
        sources: classes with these arguments.
        make: called with the arguments by name.
        leaving: arguments of the classes that callers cannot give.
        defaults: where they differ from the classes'.
    """
    changed = dict(defaults or {})
    taken = {
        p.name: p.replace(kind=p.KEYWORD_ONLY, default=changed.get(p.name, p.default))
        for source in sources
        for p in inspect.signature(source).parameters.values()
        if p.name not in leaving and p.kind is not p.VAR_KEYWORD
    }

    def decorate(init: _Init) -> _Init:
        @functools.wraps(init)
        def constructor(self: Any, *args: Any, **keywords: Any) -> None:
            arguments = {**changed, **{name: keywords.pop(name) for name in taken if name in keywords}}
            init(self, make(**arguments), *args, **keywords)

        signature = inspect.signature(init)
        instance, _, *own = signature.parameters.values()
        others = [own.pop()] if own and own[-1].kind is inspect.Parameter.VAR_KEYWORD else []
        merged = signature.replace(parameters=[instance, *own, *taken.values(), *others])
        constructor.__signature__ = merged  # type: ignore[attr-defined]
        return constructor

    return decorate
