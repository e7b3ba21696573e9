"""Imports what a description refers to, or says why it is unavailable. Nothing is imported until it is used."""

from __future__ import annotations

import contextlib
import importlib
from collections.abc import Iterable
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from zoo.errors import MissingDependencyError, PluginError, ZooError
from zoo.registry.cards import Description
from zoo.registry.discovery import PluginRecord, culprit, last_line

#: module -> the extra of genzoo that installs it
EXTRAS = {
    "torch": "torch",
    "onnx": "onnx",
    "onnxscript": "onnx",
    "onnx_ir": "onnx",
    "onnxruntime": "cpu",
    "sklearn": "data",
    "scipy": "data",
    "FrEIA": "freia",
    "nflows": "nflows",
    "normflows": "normflows",
    "sbi": "sbi",
    "zuko": "zuko",
    "pyarrow": "tables",
    "soundfile": "audio",
    "huggingface_hub": "hub",
}


def importable(module: str) -> bool:
    """Whether a top-level module can be found, without importing it."""
    with contextlib.suppress(ImportError, ValueError):
        return find_spec(module.partition(".")[0]) is not None
    return False


def lacking(modules: Iterable[str]) -> str | None:
    """The missing ones of ``modules``, with the command that installs them: ``"needs torch: pip install ..."``."""
    missing = [module for module in modules if not importable(module)]
    if not missing:
        return None
    return f"needs {' and '.join(missing)}: pip install {' '.join(dict.fromkeys(map(_requirement, missing)))}"


def _requirement(module: str) -> str:
    return f"'genzoo[{EXTRAS[module]}]'" if module in EXTRAS else module


def load_entry(kind: str, description: Description, plugin: PluginRecord | None, part: str = "entry") -> Any:
    """Import what a description names.

    Args:
        kind: for messages: "architecture", "sampler", ...
        description: one with an ``entry``, or another ``part``.
        plugin: the plugin that described it, for messages.
        part: the field of the description.

    Raises:
        MissingDependencyError: a requirement is not installed.
        PluginError: it cannot be imported, or does not exist.
    """
    what = f"{kind} {description.name!r}"
    for module in description.requires:
        if not importable(module):
            raise missing(module, f"use {what}", among=description.requires)
    entry: str = getattr(description, part)
    origin = f" of {plugin.origin}" if plugin is not None else ""
    module_name, _, attribute = entry.partition(":")
    try:
        value: Any = importlib.import_module(module_name)
        for part in attribute.split("."):
            value = getattr(value, part)
    except (KeyboardInterrupt, ZooError):
        raise
    except BaseException as error:  # SystemExit too
        place = culprit(error)
        where = f" ({Path(place[0]).name}:{place[1]})" if place and place[0] != __file__ else ""
        hint = "`zoo plugins` shows where it is installed." if plugin is not None else None
        raise PluginError(f"{what}{origin} cannot be loaded: {last_line(error)}{where}", hint=hint) from error
    return value


def missing(module: str, purpose: str, *, among: Iterable[str] = ()) -> MissingDependencyError:
    """The error for a module that is not installed.

    Args:
        module: the missing module.
        purpose: what it is needed for.
        among: all required modules, so that one command installs everything: the extra ``onnx`` includes torch.
    """
    extra = EXTRAS.get(module, "")
    if extra == "torch" and "onnx" in map(EXTRAS.get, among):
        extra = "onnx"
    error = MissingDependencyError(module, purpose, extra=extra)
    if module not in EXTRAS:
        error.hint = f"pip install {module}"
    return error
