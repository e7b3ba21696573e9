"""The built-in formats, described through the same hook as those of other plugins."""

from __future__ import annotations

from zoo.registry.cards import Format
from zoo.registry.hookspecs import hookimpl
from zoo.render.formats import FORMATS


@hookimpl
def zoo_formats() -> list[Format]:
    """Every format of this package."""
    return list(FORMATS.values())
