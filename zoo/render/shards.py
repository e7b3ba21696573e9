"""A folder of shards, as bulk runs write it: files of samples or log-densities, and a manifest with their digests."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zoo.errors import DataError
from zoo.files import sha256, write_text

MANIFEST_FILE = "manifest.json"
_FORMAT, _VERSION = "genzoo-shards", 1
#: how the names of shards begin
PREFIX = "shard-"


@dataclass(frozen=True)
class Shard:
    """A finished shard.

    Attributes:
        file: its name in the folder.
        first: number of its first row among all.
        rows: how many it has.
        sha256: digest of the file.
    """

    file: str
    first: int
    rows: int
    sha256: str

    def __post_init__(self) -> None:
        """Refuse values of other types, and a name that leads elsewhere.

        Raises:
            ValueError: with what it is.
        """
        texts, numbers = (self.file, self.sha256), (self.first, self.rows)
        if not all(isinstance(each, str) for each in texts) or self.file != Path(self.file).name:
            raise ValueError(f"a shard's file is a name, not {self.file!r}")
        if not all(type(each) is int and each >= 0 for each in numbers):
            raise ValueError(f"rows are counted in whole numbers, not {numbers}")


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
        complete, command = bool(values.pop("complete")), str(values.pop("command"))
    except (OSError, ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise DataError(f"{path} is not the manifest of a folder of shards that can be read") from error
    return Manifest(values, shards, complete, command)


def sound(shard: Shard, folder: Path) -> bool:
    """Whether the file of a shard is what the manifest says."""
    path = folder / shard.file
    return path.is_file() and sha256(path) == shard.sha256


def recognises(folder: Path) -> bool:
    """Whether a folder has shards and a manifest, be it damaged."""
    path = folder / MANIFEST_FILE
    return path.is_file() and (f'"{_FORMAT}"' in _beginning(path) or any(folder.glob(f"{PREFIX}*")))


def _beginning(path: Path) -> str:
    with path.open("rb") as file:
        return file.read(200).decode(errors="replace")


def samples_in(folder: Path) -> list[tuple[Path, Shard]]:
    """The files of a folder of samples in the order of their rows, each with the digest that its manifest states.

    Raises:
        DataError: the folder is none of shards, or of log-densities, or is incomplete or damaged.
    """
    manifest = read(folder)
    if manifest is None:
        raise DataError(
            f"{folder} is a folder without the {MANIFEST_FILE} of shards",
            hint="Data are files, or folders that `zoo run --engine` wrote.",
        )
    if (holds := manifest.origin.get("holds")) != "samples":
        raise DataError(f"{folder} holds {holds if isinstance(holds, str) else 'something else'}, not samples")
    again = f"This goes on with it: {manifest.command}" if manifest.command else None
    shards = sorted(manifest.shards, key=lambda each: each.first)
    rows, n = sum(each.rows for each in shards), manifest.origin.get("n")
    ends = [0, *(each.first + each.rows for each in shards)]
    if not manifest.complete or rows != n or [each.first for each in shards] != ends[:-1]:
        told = f"{rows:,} of {n:,}" if isinstance(n, int) else f"{rows:,} of an unknown number of"
        raise DataError(f"{folder} is incomplete: it has {told} rows", hint=again)
    if not shards:
        raise DataError(f"{folder} holds no samples")
    for shard in shards:
        if not sound(shard, folder):
            there = "is not what the manifest says" if (folder / shard.file).is_file() else "is missing"
            raise DataError(f"{folder} is damaged: {shard.file} {there}", hint=again)
    return [(folder / shard.file, shard) for shard in shards]
