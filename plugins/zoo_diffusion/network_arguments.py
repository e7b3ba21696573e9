"""Architectures that take their network's arguments as they are, without stating them again."""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import Any


def with_arguments_of(network: type, **defaults: Any) -> Callable[[Callable[..., None]], Callable[..., None]]:
    """Let an architecture's constructor take a network's keyword arguments beside its own.

    What is decorated takes them, each with a value, as a mapping before its own keywords. The signature that comes of
    it, by which configs are checked, has all of them by name.

    Args:
        network: a class that has these arguments and no others.
        defaults: where they differ from the network's.
    """
    taken = {
        p.name: p.replace(default=defaults.get(p.name, p.default))
        for p in inspect.signature(network).parameters.values()
    }

    def decorate(init: Callable[..., None]) -> Callable[..., None]:
        @functools.wraps(init)
        def constructor(self: Any, **given: Any) -> None:
            arguments = {name: given.pop(name, p.default) for name, p in taken.items()}
            init(self, arguments, **given)

        signature = inspect.signature(init)
        instance, _, *own, others = signature.parameters.values()
        merged = signature.replace(parameters=[instance, *own, *taken.values(), others])
        constructor.__signature__ = merged  # type: ignore[attr-defined]
        return constructor

    return decorate
