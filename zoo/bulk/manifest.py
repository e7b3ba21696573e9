"""``manifest.json`` of a folder of shards: what they are of, and each with its digest."""

from __future__ import annotations

import json
import platform
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from importlib import metadata
from pathlib import Path
from typing import Any

from zoo.bulk.job import Shard
from zoo.errors import DataError, OutputError
from zoo.files import sha256, write_text
from zoo.version import __version__

MANIFEST_FILE = "manifest.json"
_FORMAT, _VERSION = "genzoo-shards", 1


@dataclass(frozen=True)
class Manifest:
    """What a folder of shards says of itself.

    Attributes:
        origin: everything that their content depends on, as JSON values: a run goes on only with the same.
        shards: those that are finished, in order.
        complete: whether they are all.
        command: the command line that began it.
    """

    origin: Mapping[str, Any]
    shards: tuple[Shard, ...] = field(default=())
    complete: bool = False
    command: str = ""

    def write(self, folder: Path) -> None:
        """Write it atomically."""
        values = {"format": _FORMAT, "version": _VERSION, "complete": self.complete, **self.origin}
        values |= {"command": self.command, "shards": [asdict(each) for each in self.shards]}
        write_text(folder / MANIFEST_FILE, json.dumps(values, indent=2) + "\n")


def read(folder: Path) -> Manifest | None:
    """The manifest of a folder; None if it has none.

    Raises:
        DataError: it is damaged, or no manifest of shards.
    """
    path = folder / MANIFEST_FILE
    if not path.exists():
        return None
    try:
        values = json.loads(path.read_text("utf-8"))
        if values.pop("format") != _FORMAT or values.pop("version") != _VERSION:
            raise ValueError("another format")
        shards = tuple(Shard(**each) for each in values.pop("shards"))
        if any(each.file != Path(each.file).name for each in shards):
            raise ValueError("a name that leads elsewhere")
        complete, command = bool(values.pop("complete")), str(values.pop("command"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise DataError(f"{path} is not the manifest of a folder of shards that can be read") from error
    return Manifest(values, shards, complete, command)


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


def sound(shard: Shard, folder: Path) -> bool:
    """Whether the file of a shard is what the manifest says."""
    path = folder / shard.file
    return path.is_file() and sha256(path) == shard.sha256


def versions() -> dict[str, str]:
    """Of what samples depend on up to rounding."""
    installed = {"genzoo": __version__, "python": platform.python_version()}
    for package in ("numpy", "onnxruntime", "onnxruntime-gpu", "pyarrow"):
        try:
            installed[package] = metadata.version(package)
        except metadata.PackageNotFoundError:
            continue
    return installed
