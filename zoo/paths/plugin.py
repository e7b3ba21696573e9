"""The built-in paths, described through the same hook as those of other plugins."""

from __future__ import annotations

import sys

from zoo.paths import BUILTIN
from zoo.registry.cards import PathKind
from zoo.registry.hookspecs import hookimpl


@hookimpl
def zoo_paths() -> list[PathKind]:
    """Every path of this package."""
    described = []
    for name, cls in BUILTIN.items():
        # what its module's docstring says first
        summary = (sys.modules[cls.__module__].__doc__ or "").partition("\n")[0].removesuffix(".")
        described.append(PathKind(name=name, summary=summary, entry=f"{cls.__module__}:{cls.__name__}"))
    return described
