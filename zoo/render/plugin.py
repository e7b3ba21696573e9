"""The built-in formats and modalities, described through the same hook as those of other plugins."""

from __future__ import annotations

from zoo.registry.cards import Format, ModalityKind
from zoo.registry.hookspecs import hookimpl
from zoo.render.formats import FORMATS
from zoo.render.modalities import MODALITIES


@hookimpl
def zoo_formats() -> list[Format]:
    """Every format of this package."""
    return list(FORMATS.values())


@hookimpl
def zoo_modalities() -> list[ModalityKind]:
    """Every modality of this package."""
    return list(MODALITIES.values())
