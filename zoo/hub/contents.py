"""What of a folder, an archive or a repository is the model: its card and weights, and the files of its bundle.

Nothing else is taken, so that a model's folder may hold notes, pictures and checkpoints. Where the files are is told by
the card or manifest nearest to the top, both of which are read within bounds and checked before any other file.
"""

from __future__ import annotations

import contextlib
import os
import zipfile
import zlib
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO, Protocol

from zoo.bundle import MANIFEST, FileInfo, Manifest, open_bundle
from zoo.bundle.plain import opened
from zoo.bundle.scan import read_header
from zoo.bundle.scan.wire import Malformed
from zoo.counts import Progress
from zoo.errors import BundleError, OutputError, UsageError
from zoo.files import reason_of, sha256
from zoo.jsonfile import strict
from zoo.registry.cards import CARD_FILE, ModelCard

_CHUNK = 1 << 20
_MOST_TOLD = 4 << 20  # bytes of a card or manifest
_MOST_FILES = 20_000
_DEPTH = 4
#: an archive may unpack to this many bytes, or if it is large, to this many times its own size
_UNPACKED, _RATIO = 1 << 30, 20
_ENCRYPTED = 1  # a flag of an archive's entry


class Files(Protocol):
    """Files by their names, with slashes: of a folder, an archive or a repository."""

    @property
    def what(self) -> str:
        """What they are the files of, for messages."""
        ...

    def names(self) -> Collection[str]:
        """All names."""
        ...

    def read(self, name: str, most: int) -> bytes:
        """The content of a file of at most so many bytes."""
        ...

    def write(self, names: Mapping[str, int | None], prefix: str, folder: Path, progress: Progress | None) -> None:
        """Write files, of the sizes that are stated, into a folder, without the prefix of their names."""
        ...


@dataclass(frozen=True)
class Chosen:
    """The files of a model.

    Attributes:
        prefix: the folder in which they lie, with a slash at its end; empty for the top.
        sizes: the size in bytes of each, as card or manifest state it, None for these two, by its name below that.
    """

    prefix: str
    sizes: Mapping[str, int | None]

    def write(self, files: Files, folder: Path, progress: Progress | None) -> None:
        """Write them into a folder."""
        files.write({self.prefix + name: size for name, size in self.sizes.items()}, self.prefix, folder, progress)


def choose(files: Files) -> Chosen:
    """The model among files.

    Raises:
        UsageError: none, or more than one.
        BundleError, ConfigError: its manifest or card is not one.
    """
    tops = _tops(files.names())
    if not tops:
        raise UsageError(
            f"{files.what} holds no model of genzoo",
            hint=f"A model's folder holds {CARD_FILE}, and a bundle {MANIFEST}.",
        )
    if len(tops) > 1:
        raise UsageError(f"{files.what} holds more than one model: {', '.join(sorted(tops)[:3])}")
    ((prefix, file),) = tops.items()
    if file == MANIFEST:
        return Chosen(prefix, _of_bundle(files, prefix, ""))
    try:
        values = strict(files.read(prefix + CARD_FILE, _MOST_TOLD).decode("utf-8"))
    except (ValueError, RecursionError) as error:
        raise BundleError(f"{prefix}{CARD_FILE} of {files.what} is not JSON: {error}") from error
    card = ModelCard.from_description(values)
    sizes: dict[str, int | None] = {CARD_FILE: None}
    bundle = None if card.bundle is None else PurePosixPath(card.bundle).as_posix()
    if bundle is not None and f"{prefix}{bundle}/{MANIFEST}" in files.names():
        sizes |= _of_bundle(files, prefix, f"{bundle}/")
    if card.weights is not None and prefix + card.weights.file in files.names():
        sizes[card.weights.file] = card.weights.size
    if len(sizes) == 1:
        raise BundleError(f"{files.what} holds the card of {card.name}, but neither its weights nor its bundle")
    return Chosen(prefix, sizes)


def check(folder: Path) -> str:
    """Check the digests of a model's files, and open its bundle; returns the model's name.

    Raises:
        BundleError, ConfigError: a file that is missing, altered, or not what it is said to be.
    """
    if not (folder / CARD_FILE).is_file():
        return open_bundle(folder).name
    card = ModelCard.from_folder(folder)
    weights, bundle = card.weights_path, card.bundle_path
    if bundle is not None and bundle.is_dir():
        open_bundle(bundle)
    if weights is not None and card.weights is not None and os.path.lexists(weights):
        check_file(weights, FileInfo(card.weights.size, card.weights.sha256))
        with opened(weights) as (file, size):
            try:
                read_header(file, size)
            except Malformed as error:
                raise BundleError(f"{weights} {error}") from None
    return card.name


def check_file(path: Path, info: FileInfo) -> None:
    """Refuse a file of another size or digest."""
    with opened(path) as (_, size):
        digest = sha256(path)
    if (size, digest) != (info.size, info.sha256):
        raise BundleError(
            f"{path} has been altered or damaged: its sha256 is {digest[:16]}…, expected {info.sha256[:16]}…"
        )


def _tops(names: Collection[str]) -> dict[str, str]:
    """The folders nearest to the top that hold a model, with the file that tells so: the card, if there are both."""
    tops: dict[str, str] = {}
    for name in names:
        folder, _, file = name.rpartition("/")
        if file in (CARD_FILE, MANIFEST) and name.count("/") <= _DEPTH:
            prefix = f"{folder}/" if folder else ""
            if tops.get(prefix) != CARD_FILE:
                tops[prefix] = file
    nearest = min((prefix.count("/") for prefix in tops), default=0)
    return {prefix: file for prefix, file in tops.items() if prefix.count("/") == nearest}


def _of_bundle(files: Files, prefix: str, below: str) -> dict[str, int | None]:
    """The files of a bundle with their sizes."""
    name = f"{prefix}{below}{MANIFEST}"
    try:
        text = files.read(name, _MOST_TOLD).decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"{name} of {files.what} is not a manifest: {error}") from error
    manifest = Manifest.from_json(text, source=f"{name} of {files.what}")
    sizes: dict[str, int | None] = {f"{below}{MANIFEST}": None}
    missing = [each for each in manifest.files if f"{prefix}{below}{each}" not in files.names()]
    if missing:
        raise BundleError(f"{files.what} lacks {min(missing)}, which its manifest lists")
    return sizes | {f"{below}{each}": info.size for each, info in manifest.files.items()}


@dataclass(frozen=True)
class FolderFiles:
    """The plain files of a folder."""

    folder: Path

    @property
    def what(self) -> str:
        """The folder."""
        return str(self.folder)

    def names(self) -> Collection[str]:
        """All names; a folder with very many is not searched to its end."""
        names: list[str] = []
        for folder, _, files in os.walk(self.folder):
            names += [(Path(folder).relative_to(self.folder) / file).as_posix() for file in files]
            if len(names) > _MOST_FILES:
                break
        return frozenset(names)

    def read(self, name: str, most: int) -> bytes:
        """The content of a small file, which is no link."""
        with opened(self.folder / name) as (file, size):
            _check_small(name, size, most)
            return file.read(most)

    def write(self, names: Mapping[str, int | None], prefix: str, folder: Path, progress: Progress | None) -> None:
        """Copy files."""
        for name, size in _counted(names, progress):
            with opened(self.folder / name) as (file, actual):
                _copy(file, target(folder, name.removeprefix(prefix)), actual if size is None else size, name)


class ZipFiles:
    """The files of a .zip, of which entries that are twice there, encrypted or links are refused."""

    def __init__(self, path: Path, what: str = "") -> None:
        self.what = what or str(path)
        try:
            self._archive = zipfile.ZipFile(path)
        except (OSError, ValueError, zipfile.BadZipFile) as error:
            raise BundleError(f"{self.what} cannot be read as a .zip: {reason_of(error)}") from error
        self._size = path.stat().st_size
        entries = [entry for entry in self._archive.infolist() if not entry.is_dir()]
        self._entries = {entry.filename: entry for entry in entries}
        if len(entries) > _MOST_FILES:
            raise BundleError(f"{self.what} has {len(entries)} files, and may have at most {_MOST_FILES}")
        if len(self._entries) < len(entries):
            raise BundleError(f"{self.what} has two files of the same name")

    def names(self) -> Collection[str]:
        """All names."""
        return self._entries.keys()

    def read(self, name: str, most: int) -> bytes:
        """The content of a small file."""
        _check_small(name, self._entries[name].file_size, most)
        with self._opened(name) as file:
            return file.read(most)

    def write(self, names: Mapping[str, int | None], prefix: str, folder: Path, progress: Progress | None) -> None:
        """Unpack files; never more bytes than their stated sizes, nor than an honest archive of this size holds."""
        total = sum(self._entries[name].file_size for name in names)
        if total > max(_UNPACKED, _RATIO * self._size):
            raise BundleError(f"{self.what} is not unpacked: its {self._size} bytes would become {total}")
        for name, size in _counted(names, progress):
            expected = self._entries[name].file_size if size is None else size
            with self._opened(name) as file:
                _copy(file, target(folder, name.removeprefix(prefix)), expected, f"{name} of {self.what}")

    @contextlib.contextmanager
    def _opened(self, name: str) -> Iterator[IO[bytes]]:
        """A file of the archive; that it is damaged may show only as it is read."""
        entry = self._entries[name]
        if entry.flag_bits & _ENCRYPTED or entry.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
            how = "encrypted" if entry.flag_bits & _ENCRYPTED else "compressed by a method that is not read"
            raise BundleError(f"{name} of {self.what} is {how}")
        try:
            with self._archive.open(entry) as file:
                yield file
        except (zipfile.BadZipFile, zlib.error, EOFError) as error:
            raise BundleError(f"{name} of {self.what} is damaged: {reason_of(error)}") from error

    def close(self) -> None:
        """Close the archive."""
        self._archive.close()


def target(folder: Path, name: str) -> Path:
    """Where a file goes, in a folder that exists then."""
    path = folder / name
    if not path.resolve().is_relative_to(folder.resolve()):
        raise BundleError(f"{name!r} leaves the model's folder")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
    return path


def _counted(names: Mapping[str, int | None], progress: Progress | None) -> Iterator[tuple[str, int | None]]:
    total, done = sum(size or 0 for size in names.values()), 0
    for name, size in names.items():
        yield name, size
        done += size or 0
        if progress is not None:
            progress(done, total)


def _check_small(name: str, size: int, most: int) -> None:
    if size > most:
        raise BundleError(f"{name} has {size} bytes, and such a file has at most {most}")


def _copy(file: IO[bytes], path: Path, size: int, what: str) -> None:
    """Write a file of so many bytes, no less and no more."""
    left = size
    try:
        with path.open("xb") as written:
            while left and (chunk := _read(file, min(left, _CHUNK), what)):
                left -= len(chunk)
                written.write(chunk)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
    if left or _read(file, 1, what):
        raise BundleError(f"{what} has {'fewer' if left else 'more'} bytes than the {size} that are stated")


def _read(file: IO[bytes], most: int, what: str) -> bytes:
    """The next bytes; a disk that cannot be read is not mistaken for one that is full."""
    try:
        return file.read(most)
    except OSError as error:
        raise BundleError(f"cannot read {what}: {reason_of(error)}") from error
