"""What the shards of a run depend on, and whether those that are there are of the same run."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from importlib import metadata
from pathlib import Path
from typing import Any

from zoo.errors import OutputError
from zoo.render.shards import Manifest
from zoo.version import __version__


def going_on(before: Manifest, origin: Mapping[str, Any], folder: Path) -> None:
    """Refuse to go on with shards that are made of something else.

    Raises:
        OutputError: with what differs.
    """
    now = json.loads(json.dumps(origin))
    for name in (*now, *before.origin):
        if before.origin.get(name) != now.get(name):
            was, is_ = (json.dumps(each.get(name)) for each in (before.origin, now))
            raise OutputError(
                f"{folder} holds shards of another run: {name} was {_short(was)} and is {_short(is_)}",
                hint="Choose another folder with -o, or pass --force to begin anew.",
            )


def _short(text: str) -> str:
    return text if len(text) <= 80 else f"{text[:77]}..."


def versions() -> dict[str, str]:
    """Of what samples depend on up to rounding."""
    installed = {"genzoo": __version__, "python": platform.python_version()}
    for package in ("numpy", "onnxruntime", "onnxruntime-gpu", "pyarrow"):
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed
