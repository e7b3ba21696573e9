"""From a path to a data set: which reader reads it, with which options, and what its digest is."""

from __future__ import annotations

import hashlib
import inspect
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_type_hints

from zoo.data import Dataset
from zoo.errors import ConfigError, DataError, PluginError, UnknownNameError, ZooError
from zoo.files import sha256
from zoo.printable import assignments
from zoo.reading import building, options
from zoo.reading.content import Rows, Samples
from zoo.reading.formats import function
from zoo.registry.cards import DataReader
from zoo.registry.discovery import last_line

if TYPE_CHECKING:
    from zoo.registry import Registry


@dataclass(frozen=True)
class Opened:
    """What a path holds.

    Attributes:
        name: what messages and cards call it.
        content: what the reader returned, or a whole data set that a function made.
        options: those that all formats share.
        reader: the name of the reader.
    """

    name: str
    content: Rows | Samples | Dataset
    options: options.Options
    reader: str

    def built(self) -> building.Built:
        """Its data set; raises as :func:`zoo.reading.building.build` does."""
        if isinstance(self.content, Dataset):
            return building.Built(self.content, ())
        return building.build(self.name, self.content, self.options)


def is_function(path: str) -> bool:
    """Whether a path names code to run (``module:function``) rather than a file."""
    return function.NAMES.fullmatch(path) is not None and not Path(path).exists()


def opened(path: str, settings: Mapping[str, object], registry: Registry) -> Opened:
    """Read a path.

    Args:
        path: of a file or folder, or ``module:function``.
        settings: the options, both those that all formats share and those of its reader.
        registry: where readers are looked up.

    Raises:
        DataError: there is no such path, no reader reads it, or its content is invalid.
        ConfigError: an unknown option, or an invalid value.
        PluginError: a reader fails, which is named.
    """
    shared, own = options.read(settings, f"the options of {path}")
    if is_function(path):
        content: Any = function.called(path, **own)
        if isinstance(content, Dataset) and shared != options.Options():
            raise ConfigError(f"{path} returns a whole data set, to which {assignments(dict(settings))} does not apply")
        return Opened(path, content, shared, "function")
    place = Path(path)
    if not place.exists():
        raise DataError(f"there is no file or folder {path}")
    reader = reader_of(place, registry)
    read = registry.load_entry(reader)
    check_options(reader, read, own)
    try:
        content = read(place, **own)
    except ZooError:
        raise
    except Exception as error:
        with_options = f" with {assignments(own)}" if own else ""
        raise PluginError(f"{_origin(reader, registry)} fails on {path}{with_options}: {last_line(error)}") from error
    if not isinstance(content, (Rows, Samples, Dataset)):
        raise PluginError(f"{_origin(reader, registry)} returns {type(content).__name__}, not Rows or Samples")
    return Opened(place.name or str(place), content, shared, reader.name)


def reader_of(path: Path, registry: Registry) -> DataReader:
    """The reader of a file, by its suffix, or of a folder, by what it holds.

    Raises:
        DataError: there is none.
        PluginError: a reader fails to say whether it reads a folder.
    """
    readers = [item.description for item in registry.items("data reader")]
    known = [reader for reader in readers if isinstance(reader, DataReader)]
    if path.is_dir():
        # a manifest says what a folder is, and folders of other formats may hold pictures too
        ranks = {"shards": 0, "pictures": 2}
        order = sorted((r for r in known if r.recognises), key=lambda r: (ranks.get(r.name, 1), r.name))
        for reader in order:
            if _recognised(path, reader, registry):
                return reader
        raise DataError(f"no reader recognises the folder {path}", hint=_listed(known))
    suffix = path.suffix.lower()
    for reader in known:
        if suffix in reader.suffixes:
            return registry.data_reader(reader.name)
    raise DataError(f"no reader reads files that end with {suffix or 'nothing'}, such as {path}", hint=_listed(known))


def keywords_of(reader: DataReader, registry: Registry) -> list[str]:
    """The options that a reader has besides those of all formats."""
    return _keywords(registry.load_entry(reader))


def _keywords(read: Any) -> list[str]:
    return [n for n, p in inspect.signature(read).parameters.items() if p.kind is p.KEYWORD_ONLY]


def check_options(reader: DataReader, read: Any, own: Mapping[str, object]) -> None:
    """Refuse options that neither a reader nor all formats take.

    Raises:
        ConfigError: with near names.
    """
    takes = _keywords(read)
    for name in own:
        if name not in takes:
            every = [*takes, *options.Options.__dataclass_fields__]
            error = UnknownNameError("option", name, every)
            raise ConfigError(f"the data reader {reader.name}: {error}", hint=error.hint)
        _check_type(reader, name, own[name], get_type_hints(read).get(name))


def _check_type(reader: DataReader, name: str, value: object, wanted: object) -> None:
    """Refuse a value of another type than a reader's option has; those of more than one type are the reader's to read.

    Raises:
        ConfigError: the text ``"false"`` is true, for one.
    """
    words = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}
    if wanted not in words:
        return
    assert isinstance(wanted, type)
    fits = isinstance(value, (int, float) if wanted is float else wanted)
    if not fits or (isinstance(value, bool) and wanted is not bool):
        raise ConfigError(f"the data reader {reader.name}: {name} is {words[wanted]}, not {value!r}")


def _recognised(path: Path, reader: DataReader, registry: Registry) -> bool:
    module, _, name = reader.recognises.partition(":")
    try:
        import importlib

        return bool(getattr(importlib.import_module(module), name)(path))
    except ZooError:
        raise
    except Exception as error:
        told = f"{_origin(reader, registry)} cannot say whether it reads {path}: {last_line(error)}"
        raise PluginError(told) from error


def _origin(reader: DataReader, registry: Registry) -> str:
    item = registry.item("data reader", reader.name)
    return f"the data reader {reader.name} of {item.plugin.origin}"


def _listed(readers: list[DataReader]) -> str:
    suffixes = sorted({suffix for reader in readers for suffix in reader.suffixes})
    return (
        f"Files end with {', '.join(suffixes)}; folders hold pictures, recordings, shards, or a Hugging Face data set."
    )


def digest_or_none(path: str) -> str | None:
    """The digest of what is at a path; None if there is nothing, or it is code."""
    return None if is_function(path) or not Path(path).exists() else digest(path)


def digest(path: str) -> str:
    """The SHA-256 of a file, of all files of a folder with their paths, or of the module of a function.

    Raises:
        DataError: it cannot be read.
    """
    place: Path | None = Path(path)
    if is_function(path):
        place = function.source(path)
        if place is None:
            return ""
    assert place is not None
    try:
        if not place.is_dir():
            return sha256(place)
        # hidden files, such as those that file managers leave behind, are not read either
        shown = (each for each in place.rglob("*") if not any(p.startswith(".") for p in each.relative_to(place).parts))
        files = sorted(each for each in shown if each.is_file())
        lines = (f"{each.relative_to(place).as_posix()}\0{sha256(each)}\n" for each in files)
        return hashlib.sha256("".join(lines).encode()).hexdigest()
    except OSError as error:
        raise DataError(f"cannot read {error.filename or path}: {error.strerror}") from error
