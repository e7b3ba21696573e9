"""The cache of pulled models: below ``models`` in the folder of :func:`zoo.data.fetch.cache_folder`.

::

    hf--ORG--NAME--COMMIT/         an entry: of a commit of the Hub, or sha256--DIGEST of a file
        pulled.json                where it came from, and the digest of each of its files
        model/                     its files, as a folder or a bundle that everything else opens
    pins/DIGEST.json               which commit a branch or tag meant when it was pulled
    downloads/DIGEST.part          what has been downloaded of a file

What huggingface_hub downloads lies in its own cache; files here are hard links to it where the disk allows that.
"""

from __future__ import annotations

import hashlib
import json
import shutil
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from zoo.bundle import FileInfo, file_info
from zoo.data.fetch import cache_folder
from zoo.errors import BundleError, OutputError, ZooError
from zoo.files import atomic_folder, reason_of, write_text
from zoo.hub.contents import check, check_file
from zoo.jsonfile import strict

RECORD, MODEL = "pulled.json", "model"
_FORMAT = 1


@dataclass(frozen=True)
class Entry:
    """A pulled model.

    Attributes:
        folder: of the entry.
        source: the address that it was pulled from, which stands for exactly these files.
        name: the model's name.
        files: size and digest of each file, by its name.
    """

    folder: Path
    source: str
    name: str
    files: Mapping[str, FileInfo] = field(default_factory=dict)

    @property
    def model(self) -> Path:
        """The model's folder, or the bundle."""
        return self.folder / MODEL

    @property
    def size(self) -> int:
        """Bytes of its files."""
        return sum(info.size for info in self.files.values())

    def verify(self) -> None:
        """Check every file against the digest that it was pulled with, and open the bundle.

        Raises:
            ZooError: what is missing, altered or not listed.
        """
        there = {path.relative_to(self.model).as_posix() for path in self.model.rglob("*") if not path.is_dir()}
        for name, info in self.files.items():
            check_file(self.model / name, info)
        if extra := sorted(there - set(self.files)):
            raise BundleError(f"{self.model / extra[0]} was not pulled")
        check(self.model)


class Store:
    """The entries in a folder."""

    def __init__(self, folder: Path | None = None) -> None:
        self.folder = cache_folder() / "models" if folder is None else folder

    @property
    def downloads(self) -> Path:
        """Where unfinished downloads lie."""
        return self.folder / "downloads"

    def find(self, key: str) -> Entry | None:
        """The entry of a key, or None; its files are not checked.

        Raises:
            BundleError: an entry whose record cannot be read.
        """
        folder = self.folder / key
        if not folder.is_dir():
            return None
        path = folder / RECORD
        try:
            values = strict(path.read_text("utf-8"))
            if values["format"] != _FORMAT:
                raise ValueError(f"it is of format {values['format']!r}")
            files = {name: FileInfo(info["size"], info["sha256"]) for name, info in values["files"].items()}
            return Entry(folder, str(values["source"]), str(values["name"]), files)
        except (OSError, ValueError, TypeError, KeyError, AttributeError, RecursionError) as error:
            raise BundleError(
                f"{path} cannot be read: {reason_of(error)}", hint=f"`zoo cache rm {folder.name}`, and pull it again."
            ) from error

    def entries(self) -> Iterator[Entry | ZooError]:
        """All entries, by key; of one that cannot be read the error."""
        for key in self._keys():
            try:
                entry = self.find(key)
            except ZooError as error:
                yield error
            else:
                if entry is not None:
                    yield entry

    def addresses(self) -> dict[str, str]:
        """Names of models by the addresses that stand for them: as they were pulled, and of exactly their files."""
        there = {each.folder.name: each for each in self.entries() if isinstance(each, Entry)}
        named = {}
        for path in sorted((self.folder / "pins").glob("*.json")):
            try:
                values = strict(path.read_text("utf-8"))
                named[str(values["address"])] = there[values["entry"]].name
            except (OSError, ValueError, TypeError, KeyError, RecursionError):
                continue
        return named | {each.source: each.name for each in there.values()}

    def damaged(self) -> list[str]:
        """The keys of the entries whose record cannot be read."""
        keys = []
        for key in self._keys():
            try:
                self.find(key)
            except ZooError:
                keys.append(key)
        return keys

    def _keys(self) -> list[str]:
        return sorted(path.name for path in self.folder.glob("[!.]*--*") if path.is_dir())

    @contextmanager
    def adding(self, key: str) -> Iterator[Path]:
        """A folder for a new entry, which is there when the block has filled it: its files, and :meth:`record`."""
        self._prepare()
        with atomic_folder(self.folder / key, replace=True) as folder:
            yield folder

    def record(self, folder: Path, source: str, name: str) -> None:
        """Write the record of an entry whose files are in ``folder / MODEL``."""
        model = folder / MODEL
        there = sorted(path for path in model.rglob("*") if path.is_file())
        files = {path.relative_to(model).as_posix(): file_info(path) for path in there}
        values = {
            "format": _FORMAT,
            "source": source,
            "name": name,
            "files": {each: vars(info) for each, info in files.items()},
        }
        write_text(folder / RECORD, json.dumps(values, indent=2) + "\n")

    def pinned(self, address: str) -> str | None:
        """The key of the entry that an address meant when it was last pulled."""
        try:
            values = strict(self._pin(address).read_text("utf-8"))
            return str(values["entry"]) if values["address"] == address else None
        except (OSError, ValueError, TypeError, KeyError, RecursionError):
            return None

    def pin(self, address: str, key: str) -> None:
        """Remember what an address means."""
        self._prepare()
        path = self._pin(address)
        try:
            path.parent.mkdir(exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
        write_text(path, json.dumps({"address": address, "entry": key}, indent=2) + "\n")

    def pins(self, key: str) -> list[Path]:
        """The files of the pins of an entry."""
        pins = []
        for path in sorted((self.folder / "pins").glob("*.json")):
            try:
                values = strict(path.read_text("utf-8"))
                if values["entry"] == key:
                    pins.append(path)
            except (OSError, ValueError, TypeError, KeyError, RecursionError):
                continue
        return pins

    def remove(self, key: str) -> None:
        """Remove an entry and its pins.

        Raises:
            OutputError: it cannot be removed.
        """
        try:
            for pin in self.pins(key):
                pin.unlink(missing_ok=True)
            shutil.rmtree(self.folder / key)
        except OSError as error:
            raise OutputError(f"cannot remove {self.folder / key}: {reason_of(error)}") from error

    def _pin(self, address: str) -> Path:
        return self.folder / "pins" / f"{hashlib.sha256(address.encode()).hexdigest()[:32]}.json"

    def _prepare(self) -> None:
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise OutputError(f"cannot write {self.folder}: {reason_of(error)}") from error
