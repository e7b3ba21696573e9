"""Modalities by their kind: the built-in ones, and those of plugins, by the same descriptions."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from zoo.arrays import Array
from zoo.errors import PluginError, ZooError
from zoo.modality import Modality
from zoo.registry import extensions
from zoo.registry.cards import ModalityKind

#: kind -> the built-in modality
MODALITIES: Mapping[str, ModalityKind] = {
    each.name: each
    for each in (
        ModalityKind(
            name="audio",
            summary="recordings in one channel",
            entry="zoo.modality:Audio",
            samples="recordings",
            suffix=".wav",
            draw="zoo.render.writers:recordings",
            rounding="zoo.render.audio:rounding",
        ),
        ModalityKind(
            name="text",
            summary="short texts of the symbols of an alphabet",
            entry="zoo.modality:Text",
            samples="texts",
            suffix=".txt",
        ),
        ModalityKind(
            name="table",
            summary="rows of a table with named columns",
            entry="zoo.modality:Table",
            samples="rows of a table",
            suffix=".csv",
            rounding="zoo.render.tables:rounding",
        ),
        ModalityKind(
            name="trajectory",
            summary="paths in the plane, such as a policy's plans",
            entry="zoo.modality:Trajectory",
            samples="paths in the plane",
            draw="zoo.render.sequences:draw_sequences",
        ),
    )
}


def kind_of(modality: Modality | None) -> ModalityKind | None:
    """The description of a modality; None for none, and for one whose plugin is not installed."""
    return None if modality is None else _described(modality.kind)


def called(kind: str) -> str:
    """What samples of a kind of modality are called, in the plural."""
    described = _described(kind)
    return kind if described is None else described.samples or kind


def _described(kind: str) -> ModalityKind | None:
    if kind in MODALITIES:
        return MODALITIES[kind]
    if kind not in extensions.claimed("modality"):
        return None
    description, _ = extensions.claim_of("modality", kind)
    return description if isinstance(description, ModalityKind) else None


def drawn(described: ModalityKind, samples: Array, extras: Any) -> bytes:
    """A picture by the function ``draw`` of a modality that has one.

    Args:
        described: the modality.
        samples: ``[n, *event]``.
        extras: :class:`~zoo.render.Extras`.

    Raises:
        PluginError: it cannot be loaded, or fails.
    """
    content: bytes = _call(described, "draw", samples, extras)
    return content


def rounding(modality: Modality | None, x: Array, seed: int) -> Array | None:
    """Uniform noise ``[n, *event]`` to add to data that were rounded before they are scored, or None for other data.

    Raises:
        PluginError: the modality's function cannot be loaded, fails, or returns another shape.
    """
    described = kind_of(modality)
    if described is None or not described.rounding:
        return None
    noise = _call(described, "rounding", x, modality, seed)
    if noise is not None and not (isinstance(noise, np.ndarray) and noise.shape == x.shape):
        raise PluginError(f"the rounding of the modality {described.name!r} does not have the shape of its data")
    return noise


def _call(described: ModalityKind, part: str, *arguments: Any) -> Any:
    """A function of a description, imported and called, with its exceptions converted."""
    if MODALITIES.get(described.name) is described:
        module, _, name = str(getattr(described, part)).partition(":")
        function: Callable[..., Any] = getattr(importlib.import_module(module), name)
        return function(*arguments)
    function = extensions.loaded("modality", described.name, part)
    try:
        return function(*arguments)
    except ZooError:
        raise
    except Exception as error:
        _, plugin = extensions.claim_of("modality", described.name)
        told = f"{part} of the modality {described.name!r} of {plugin.origin} failed: {type(error).__name__}: {error}"
        raise PluginError(told) from error
