"""Pulling: from an address to a folder of the cache that everything else opens."""

from __future__ import annotations

import hashlib
import os
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from zoo.counts import Progress
from zoo.errors import BundleError, HubError, OutputError, UsageError, ZooError
from zoo.files import reason_of, sha256
from zoo.hub.addresses import Address, ArchiveAddress, HubAddress, WebAddress, address_of, is_address
from zoo.hub.contents import Files, FolderFiles, ZipFiles, check, choose
from zoo.hub.hugging_face import HubFiles, offline
from zoo.hub.store import MODEL, Entry, Store


@dataclass(frozen=True)
class Pulled:
    """A model in the cache.

    Attributes:
        entry: where it lies.
        address: what was asked for.
        exact: the address that stands for the same files at all times: of a commit, or with a digest.
        new: whether it was not in the cache before.
        stale: why it may not be the newest, if the hub could not be asked.
    """

    entry: Entry
    address: Address
    exact: Address
    new: bool
    stale: str = ""

    @property
    def folder(self) -> Path:
        """The model's folder, or the bundle."""
        return self.entry.model


def pull(address: Address, *, store: Store | None = None, progress: Progress | None = None) -> Pulled:
    """Download a model into the cache, unless it is there, and pin what its address means.

    A branch of the Hub is asked for anew; a commit, or a file with a digest, that is in the cache needs no network.

    Args:
        address: what to pull.
        store: the cache; None for the user's.
        progress: called with bytes done and in all.

    Raises:
        MissingDependencyError: huggingface_hub is needed, and not installed.
        HubError: it cannot be fetched, or is not what was asked for.
        UsageError: there is no model at the address.
        BundleError, ConfigError: what was fetched is damaged, altered or hostile; it is not kept.
        OutputError: the cache cannot be written.
    """
    store = store or Store()
    if isinstance(address, HubAddress):
        return _from_hub(address, store, progress)
    if isinstance(address, WebAddress):
        return _from_web(address, store, progress)
    return _from_path(address, store, progress)


def cached(address: Address, *, store: Store | None = None) -> Pulled | None:
    """What is in the cache under an address, without the network: of a branch, the commit that was pulled last."""
    store = store or Store()
    if isinstance(address, HubAddress):
        key = _hub_key(address) if address.exact else store.pinned(str(address))
        entry = store.find(key) if key else None
        return None if entry is None or key is None else Pulled(entry, address, address.at(key[-40:]), new=False)
    digest = address.sha256 if isinstance(address, WebAddress) else _digest(address.path)
    entry = store.find(_file_key(digest)) if digest else None
    return None if entry is None else Pulled(entry, address, address, new=False)


def local(model: str | os.PathLike[str], *, progress: Progress | None = None) -> Path | None:
    """The folder of a model that is named by an address of the Hub or of the web, or by a .zip; None for another.

    It is pulled if it is not in the cache.
    """
    text = os.fspath(model)
    if not is_address(text):
        return None
    address = address_of(text)
    return (cached(address) or pull(address, progress=progress)).folder


def _hub_key(address: HubAddress) -> str:
    return f"hf--{address.repository.replace('/', '--')}--{address.revision}"


def _file_key(digest: str) -> str:
    return f"sha256--{digest}"


def _from_hub(address: HubAddress, store: Store, progress: Progress | None) -> Pulled:
    if address.exact and (known := cached(address, store=store)) is not None:
        return known
    files = HubFiles.of(address)
    exact = address.at(files.commit)
    key = _hub_key(exact)
    entry = store.find(key)
    new = entry is None
    if entry is None:
        archives = [name for name in files.names() if name.lower().endswith(".zip") and "/" not in name]
        told = any(name.rpartition("/")[2] in ("card.json", "manifest.json") for name in files.names())
        if archives and not told:
            if len(archives) > 1:
                raise UsageError(f"{address} holds more than one archive: {', '.join(sorted(archives)[:3])}")
            files.download({archives[0]: None}, progress)
            entry = _unpack(store, key, files.folder / archives[0], f"{archives[0]} of {address}", str(exact))
        else:
            try:
                entry = _add(store, key, files, str(exact), progress)
            except UsageError as error:
                raise UsageError(str(error), hint=_OTHERS.format(address.repository)) from error
    if not address.exact:
        store.pin(str(address), key)
    return Pulled(entry, address, exact, new, files.unreached)


_OTHERS = (
    "It is a repository with a card.json or manifest.json, or a .zip. For a folder of diffusers, "
    "`hf download {0} --local-dir DIR` and `zoo export DIR`."
)


def _from_web(address: WebAddress, store: Store, progress: Progress | None) -> Pulled:
    from zoo.data.transfer import transfer  # what it imports takes a while

    known = cached(address, store=store)
    if known is not None:
        return known
    if offline():
        raise HubError(f"{address.shown} is not in the cache, and ZOO_OFFLINE forbids fetching it")
    part = store.downloads / f"{address.sha256}.part"
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        resumed = part.exists()
        transfer(address.url, part, progress)
        if resumed and sha256(part) != address.sha256:
            part.unlink()  # its beginning may have been that of another file
            transfer(address.url, part, progress)
        digest = sha256(part)
        if digest != address.sha256:
            part.unlink()
            raise HubError(
                f"{address.shown} is not the file that was asked for: its sha256 is {digest[:16]}…, expected "
                f"{address.sha256[:16]}…",
                hint="It was not opened, and has been removed.",
            )
        entry = _unpack(store, _file_key(digest), part, address.shown, f"{address.shown}#sha256={digest}")
        part.unlink()
    except OSError as error:
        raise OutputError(f"cannot write {part}: {reason_of(error)}") from error
    return Pulled(entry, address, address, new=True)


def _from_path(address: ArchiveAddress, store: Store, progress: Progress | None) -> Pulled:
    path = address.path
    if not path.exists():
        raise UsageError(f"there is no model at {path}", hint="A model of the Hub is named hf:ORG/NAME.")
    known = cached(address, store=store)
    if known is not None:
        return known
    if path.is_file():
        key = _file_key(sha256(path))
        return Pulled(_unpack(store, key, path, str(path), str(path.resolve())), address, address, new=True)
    files = FolderFiles(path)
    key = _file_key(_digest(path) or "")
    return Pulled(_add(store, key, files, str(path.resolve()), progress), address, address, new=True)


def _digest(path: Path) -> str | None:
    """What identifies a file or a model's folder: its content; None if it cannot be read, as pulling it will tell."""
    try:
        if path.is_file():
            return sha256(path)
        files = FolderFiles(path)
        chosen = choose(files)
    except (OSError, ZooError):
        return None
    digest = hashlib.sha256()
    for name in sorted(chosen.sizes):
        digest.update(f"{name} {sha256(path / (chosen.prefix + name))}\n".encode())
    return digest.hexdigest()


def _unpack(store: Store, key: str, path: Path, what: str, source: str) -> Entry:
    with closing(ZipFiles(path, what)) as files:
        return _add(store, key, files, source, None)


def _add(store: Store, key: str, files: Files, source: str, progress: Progress | None) -> Entry:
    """Choose, write and check the files of a new entry."""
    chosen = choose(files)
    with store.adding(key) as folder:
        model = folder / MODEL
        model.mkdir()
        chosen.write(files, model, progress)
        name = _checked(model, files.what)
        store.record(folder, source, name)
    entry = store.find(key)
    assert entry is not None, "it has just been written"
    return entry


def _checked(model: Path, what: str) -> str:
    """The model's name, if its files are what they are said to be.

    A message tells of their origin, not of the folder they are in, which is gone when the message is read.
    """
    try:
        return check(model)
    except ZooError as error:
        told = str(error).replace(f"{model}{os.sep}", "").replace(str(model), "it")
        raise BundleError(f"{what} is refused: {told}") from error
