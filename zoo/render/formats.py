"""Formats of files by their extension: the built-in ones, and those of plugins, by the same descriptions."""

from __future__ import annotations

import importlib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from zoo.errors import UsageError
from zoo.registry import extensions
from zoo.registry.cards import Format


def _both(name: str, summary: str, **more: Any) -> Format:
    writer, reader = f"zoo.render.writers:{name}", f"zoo.render.readers:{name}"
    return Format(name=name, summary=summary, writer=writer, reader=reader, **more)


#: extension -> the built-in format
FORMATS: Mapping[str, Format] = {
    f".{each.name}": each
    for each in (
        _both("csv", "one flattened sample per row, with a header"),
        _both("npy", "one NumPy array"),
        _both("npz", "NumPy arrays: samples, condition, and how they were drawn"),
        _both("png", "a picture", fits="zoo.render.writers:unpictured", picture=True),
        _both("txt", "one text per line, for models of texts", modality="text"),
        _both("safetensors", "tensors samples and condition, and how they were drawn as metadata"),
        Format(
            name="parquet",
            summary="columns of a table, of a vector, or of lists",
            writer="zoo.render.parquet:write",
            reader="zoo.render.parquet:read",
            requires=("pyarrow",),
        ),
        _both("wav", "recordings, one after another", modality="audio"),
    )
}


def known() -> dict[str, Format]:
    """Extension -> format, of all that are installed."""
    brought = {f".{name}": claims[0][0] for name, claims in extensions.claimed("format").items()}
    return {**{suffix: each for suffix, each in sorted(brought.items()) if isinstance(each, Format)}, **FORMATS}


def format_of(path: Path, usable: Callable[[Format], object] = bool) -> Format:
    """The format that the extension of a path names.

    Args:
        path: of a file, which need not be there.
        usable: whether a format will do; an error lists those that will.

    Raises:
        UsageError: no extension, or an unknown or unusable one.
        NameConflictError: two plugins claim it.
    """
    suffix = path.suffix.lower()
    described = FORMATS.get(suffix)
    if described is None and suffix[1:] in extensions.claimed("format"):
        description, _ = extensions.claim_of("format", suffix[1:])
        described = description if isinstance(description, Format) else None
    if described is not None and usable(described):
        return described
    if path.suffix:
        told = f"the extension {path.suffix!r} of {path.name} is not a known format"
        if described is not None:
            told = f"the extension {path.suffix!r} of {path.name} is not a format for this"
    else:
        told = f"{path.name} has no extension, which determines the format"
    listed = "; ".join(
        f"{each} ({format.summary or 'no summary'})" for each, format in known().items() if usable(format)
    )
    raise UsageError(told, hint=f"There are: {listed}.")


def is_picture(path: Path) -> bool:
    """Whether a file is a picture by its extension, whose numbers are shades 0 ... 255."""
    suffix = path.suffix.lower()
    described = FORMATS.get(suffix) or known().get(suffix)
    return described is not None and described.picture


def origin(described: Format) -> str:
    """The package that brings a format, as in ``" of zoo-tsv 1.0"``; empty for a built-in one."""
    if _builtin(described):
        return ""
    return f" of {extensions.claim_of('format', described.name)[1].origin}"


def load(described: Format, part: str) -> Callable[..., Any]:
    """The ``writer``, ``reader`` or ``fits`` of a format, imported.

    Raises:
        PluginError, MissingDependencyError: it cannot be loaded.
    """
    if not _builtin(described):
        function: Callable[..., Any] = extensions.loaded("format", described.name, part)
        return function
    module, _, name = str(getattr(described, part)).partition(":")
    function = getattr(importlib.import_module(module), name)
    return function


def _builtin(described: Format) -> bool:
    return FORMATS.get(f".{described.name}") is described
