"""Exporting, as far as it is the same for every target: a folder that appears whole or not at all."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cards import ModelCard
from zoo.files import atomic_folder, check_free
from zoo.registry import Registry, installed

if TYPE_CHECKING:
    from zoo.model import GenerativeModel

#: called with (what is being done, parts done, parts in all)
Progress = Callable[[str, int, int], None]


def export(
    model: GenerativeModel,
    folder: str | os.PathLike[str],
    *,
    card: ModelCard | None = None,
    target: str = "onnx",
    force: bool = False,
    registry: Registry | None = None,
    progress: Progress | None = None,
    **options: Any,
) -> Path:
    """Export a model.

    Args:
        model: any :class:`~zoo.model.GenerativeModel`; it is not changed.
        folder: what to write. It appears when everything in it is written and proven.
        card: what is known of the model; None for one that says no more than the model itself.
        target: name of an exporter.
        force: whether an existing folder is replaced.
        registry: where exporters are looked up; None for all that are installed.
        progress: called before each part.
        options: the exporter's own, such as ``opset``.

    Returns:
        the folder.

    Raises:
        OutputError: the folder exists, or cannot be written.
        UnknownNameError: no such exporter.
        MissingDependencyError: something that the exporter requires is not installed.
        ExportError: the target cannot express the model.
        ProofError: what was written does not equal the model; nothing is left.
    """
    folder = Path(folder)
    registry = registry or installed()
    check_free(folder, replace=force)
    write = registry.load_entry(registry.exporter(target))
    with atomic_folder(folder, replace=force) as temporary:
        write(model, card or card_of(model, folder.name), temporary, progress=progress, **options)
    return folder


def card_of(model: GenerativeModel, name: str) -> ModelCard:
    """A card with what a model says of itself."""
    return ModelCard(
        name=name,
        family=model.family,
        architecture="",
        event_shape=tuple(model.event_shape),
        condition=model.condition,
        parameters=sum(p.numel() for p in model.parameters()),
    )
