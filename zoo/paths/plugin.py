"""The built-in paths, described through the same hook as those of other plugins."""

from __future__ import annotations

import sys

from zoo.paths import BUILTIN
from zoo.registry.cards import PathKind
from zoo.registry.hookspecs import hookimpl


@hookimpl
def zoo_paths() -> list[PathKind]:
    """Every path of this package."""
    return [
        PathKind(name=name, summary=_summary(cls.__module__), entry=f"{cls.__module__}:{cls.__name__}")
        for name, cls in BUILTIN.items()
    ]


def _summary(module: str) -> str:
    """What its module's docstring says first."""
    first = (sys.modules[module].__doc__ or "").partition("\n")[0]
    return first.removesuffix(".")
