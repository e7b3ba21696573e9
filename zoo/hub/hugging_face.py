"""The Hugging Face Hub through huggingface_hub: its cache, tokens, endpoint, offline mode and retries, and its errors
as sentences."""

from __future__ import annotations

import contextlib
import errno
import glob
import hashlib
import os
import re
import shutil
import warnings
from collections.abc import Collection, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo.bundle import FileInfo
from zoo.counts import Progress
from zoo.errors import BundleError, HubError, MissingDependencyError, OutputError, UsageError, ZooError
from zoo.files import reason_of, write_text
from zoo.hub.addresses import HubAddress
from zoo.hub.contents import target
from zoo.printable import shortened

_LIBRARY = {"library_name": "genzoo"}
_LOG_IN = "Log in with `hf auth login`, or set HF_TOKEN."
_CHUNK = 1 << 20


def library() -> Any:
    """huggingface_hub, imported when it is first needed.

    Raises:
        MissingDependencyError: it is not installed.
    """
    try:
        import huggingface_hub
        import huggingface_hub.constants
        import huggingface_hub.errors
        import huggingface_hub.file_download
        import huggingface_hub.utils
    except ModuleNotFoundError as error:
        purpose = "pull from and push to the Hugging Face Hub"
        raise MissingDependencyError("huggingface_hub", purpose, extra="hub") from error
    return huggingface_hub


def offline() -> bool:
    """Whether nothing may be fetched: ``ZOO_OFFLINE``, as for data sets; the library looks at ``HF_HUB_OFFLINE``."""
    return bool(os.environ.get("ZOO_OFFLINE"))


@dataclass
class HubFiles:
    """The files of a repository at one commit, downloaded when they are read.

    Attributes:
        address: the repository at the revision that was asked for.
        commit: what that revision is.
        folder: the snapshot in the library's cache, of links to what has been downloaded.
        stated: of each file its size, and its digest as the hub states it: a SHA-256, or that of a git blob.
        unreached: why the hub was not asked, if it was not; the commit is then the one that was asked for last.
    """

    address: HubAddress
    commit: str
    folder: Path
    stated: Mapping[str, tuple[int, str]] = field(repr=False)
    unreached: str = ""

    @classmethod
    def of(cls, address: HubAddress) -> HubFiles:
        """Ask the hub what the revision is, and which files it has; if it cannot be reached, the library's cache.

        Raises:
            MissingDependencyError: huggingface_hub is not installed.
            HubError: no such repository or revision, no access, or no network and not in the cache.
        """
        commit, unreached = address.revision, None
        if not address.exact:
            try:
                commit = _commit(address)
            except _UnreachedError as error:
                unreached = error
        with _sentences(address, "pulled", unreached):
            folder = Path(_snapshot(address, commit, [], None, local=unreached is not None))
            stated = {}
            for each in library().get_cached_repo_tree(address.repository, revision=folder.name):
                digest = each.blob_id if each.lfs is None else each.lfs.sha256
                stated[each.path] = (int(each.size), str(digest))
        if unreached is None and not address.exact:
            _keep_ref(address, commit)
        return cls(address, folder.name, folder, stated, "" if unreached is None else unreached.why)

    @property
    def what(self) -> str:
        """The address."""
        return str(self.address)

    def names(self) -> Collection[str]:
        """All names."""
        return self.stated.keys()

    def read(self, name: str, most: int) -> bytes:
        """The content of a small file."""
        if self.stated[name][0] > most:
            raise BundleError(f"{name} of {self.what} has {self.stated[name][0]} bytes, and may have at most {most}")
        self.download({name: None}, None)
        return (self.folder / name).read_bytes()

    def write(self, names: Mapping[str, int | None], prefix: str, folder: Path, progress: Progress | None) -> None:
        """Download files, and link or copy them from the library's cache."""
        self.download(names, progress)
        for name in names:
            path = target(folder, name.removeprefix(prefix))
            blob = (self.folder / name).resolve()
            try:
                os.link(blob, path)
            except OSError:  # another disk, or one without links
                shutil.copyfile(blob, path)

    def download(self, names: Mapping[str, int | None], progress: Progress | None) -> None:
        """Download files, and check them against what the hub states.

        Raises:
            HubError: one cannot be fetched, is not of the size that the model states, or not what the hub states.
        """
        for name, size in names.items():
            if size is not None and self.stated[name][0] != size:
                raise HubError(
                    f"{name} of {self.what} has {self.stated[name][0]} bytes, and {size} by the model's own statement"
                )
        with _sentences(self.address, "pulled"):
            patterns = [glob.escape(name) for name in names]
            _snapshot(self.address, self.commit, patterns, progress, local=bool(self.unreached))
        for name in names:
            self._check(name)

    def _check(self, name: str) -> None:
        """Compare a downloaded file with the hub's digest; a wrong one is removed from the library's cache."""
        path, (_, digest) = self.folder / name, self.stated[name]
        if _digest(path, sha256=len(digest) == 64) != digest:
            with contextlib.suppress(OSError):
                path.resolve().unlink()
                path.unlink()
            raise HubError(
                f"{name} of {self.what} is not the file that the hub states: its digest is not {digest[:16]}…",
                hint="It was not opened, and has been removed; pull again.",
            )


class _UnreachedError(HubError):
    """The hub was not reached, so that what is in the cache is as new as it gets.

    Args:
        message: what cannot be done, and why.
        why: the reason alone.
        hint: what to do.
    """

    def __init__(self, message: str, *, why: str, hint: str | None = None) -> None:
        super().__init__(message, hint=hint)
        self.why = why


def _commit(address: HubAddress) -> str:
    """The commit that a branch or tag is now, by the hub."""
    if offline():
        raise _not_cached(address, "pulled", "ZOO_OFFLINE forbids asking the hub")
    with _sentences(address, "pulled"):
        return str(library().HfApi(**_LIBRARY).model_info(address.repository, revision=address.revision).sha)


def _snapshot(address: HubAddress, commit: str, patterns: list[str], progress: Progress | None, *, local: bool) -> str:
    """The folder of a commit in the library's cache, with the files that match."""
    options: dict[str, Any] = {"allow_patterns": patterns, "tqdm_class": _meter(progress)}
    options["local_files_only"] = local or offline()
    return str(library().snapshot_download(address.repository, revision=commit, **options, **_LIBRARY))


def _keep_ref(address: HubAddress, commit: str) -> None:
    """Write into the library's cache what a branch is, so that the library keeps its files and finds them offline."""
    hub = library()
    repository = hub.file_download.repo_folder_name(repo_id=address.repository, repo_type="model")
    path = Path(hub.constants.HF_HUB_CACHE).expanduser() / repository / "refs" / address.revision
    with contextlib.suppress(OSError, OutputError):  # what is pulled is found by our own pin
        path.parent.mkdir(parents=True, exist_ok=True)
        write_text(path, commit)


def _meter(progress: Progress | None) -> Any:
    """A progress bar of the library's that draws nothing and tells bytes to ``progress``."""
    bar: Any = library().utils.tqdm

    class Meter(bar):  # type: ignore[misc]
        def __init__(self, *args: Any, **keywords: Any) -> None:
            self._bytes, self._done = keywords.get("unit") == "B", 0
            super().__init__(*args, **{**keywords, "disable": True})

        def update(self, n: float | None = 1) -> None:
            # a bar that is not drawn does not count
            self._done += int(n or 0)
            if self._bytes and progress is not None and self.total:
                progress(min(self._done, int(self.total)), int(self.total))

    return Meter


def _digest(path: Path, *, sha256: bool) -> str:
    """The digest of a file as the hub states it: SHA-256 of a large one, else that of a git blob."""
    size = path.stat().st_size
    digest = hashlib.sha256() if sha256 else hashlib.sha1(b"blob %d\0" % size, usedforsecurity=False)
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


def forget(address: HubAddress) -> int:
    """Remove a commit from the library's own cache; returns the bytes that this frees.

    Raises:
        HubError, OutputError: it cannot be removed.
    """
    hub = library()
    with _sentences(address, "removed"):
        try:
            strategy = hub.scan_cache_dir(hub.constants.HF_HUB_CACHE).delete_revisions(address.revision)
        except hub.CacheNotFound:
            return 0
        freed = int(strategy.expected_freed_size)
        strategy.execute()
        return freed


def commit(
    address: HubAddress, files: Mapping[str, FileInfo], folder: Path, *, message: str, private: bool | None
) -> str:
    """Put files of a folder into a repository, which is made if there is none, in one commit; returns its address.

    A card or manifest that is not among the files is deleted, since the repository would then hold two models.

    Args:
        address: the repository and branch.
        files: by their names in the repository.
        folder: where they lie.
        message: of the commit.
        private: whether a new repository is; None for the account's choice.

    Raises:
        HubError: no access, or no network; the repository is then as it was.
    """
    hub = library()
    if offline():
        raise _not_cached(address, "pushed", "ZOO_OFFLINE forbids asking the hub")
    api = hub.HfApi(**_LIBRARY)
    with _sentences(address, "pushed"):
        api.create_repo(address.repository, private=private, exist_ok=True)
        if address.revision != "main":
            api.create_branch(address.repository, branch=address.revision, exist_ok=True)
        there = set(api.list_repo_files(address.repository, revision=address.revision))
        operations: list[Any] = [hub.CommitOperationAdd(name, folder / name) for name in files]
        operations += [hub.CommitOperationDelete(name) for name in sorted(_TELLING & there - set(files))]
        done = api.create_commit(
            address.repository, operations, commit_message=message, revision=address.revision, num_threads=2
        )
    return str(done.oid)


#: the files at the top that tell what a repository holds
_TELLING = {"card.json", "manifest.json"}


@contextlib.contextmanager
def _sentences(address: HubAddress, what: str, known: ZooError | None = None) -> Iterator[None]:
    """A block whose errors of the library become sentences, and in which it draws and logs nothing itself.

    ``known`` is what is already known to be wrong, and is told instead.
    """
    hub = library()
    verbosity = hub.utils.logging.get_verbosity()
    drawn = not hub.utils.are_progress_bars_disabled()
    hub.utils.logging.set_verbosity(50)  # what goes wrong is told once, by the error
    if drawn:
        hub.utils.disable_progress_bars()
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", UserWarning)  # such as of a disk that is about to be full
            yield
    except ZooError:
        raise
    except (OSError, ValueError, RuntimeError, hub.utils.HfHubHTTPError) as error:
        raise known or _told(error, address, what) from error
    except Exception as error:
        if not type(error).__module__.startswith(("httpx", "huggingface_hub", "hf_xet")):
            raise
        raise known or _told(error, address, what) from error
    finally:
        hub.utils.logging.set_verbosity(verbosity)
        if drawn:
            hub.utils.enable_progress_bars()


def _told(error: Exception, address: HubAddress, what: str) -> ZooError:
    """An error of the library as a sentence."""
    from huggingface_hub import errors

    chain = list(_chain(error))
    endpoint = library().constants.ENDPOINT
    for each in chain:
        if isinstance(each, errors.OfflineModeIsEnabled):
            return _not_cached(address, what, "HF_HUB_OFFLINE forbids asking the hub")
        if isinstance(each, errors.HfHubHTTPError):
            return _answered(each, address, what, endpoint)
        if isinstance(each, OSError) and each.errno in _DISK:
            place = each.filename or library().constants.HF_HUB_CACHE
            return OutputError(f"cannot write {place}: {reason_of(each)}")
    if isinstance(error, errors.HFValidationError):
        return UsageError(f"{address} is not an address of the hub: {_line(error)}")
    if isinstance(error, errors.LocalEntryNotFoundError) and offline():
        return _not_cached(address, what, "ZOO_OFFLINE forbids asking the hub")
    for each in chain:
        if type(each).__name__ in ("ConnectError", "ConnectTimeout", "ProxyError", "UnsupportedProtocol"):
            why = f"{endpoint} cannot be reached ({_line(each)})"
            hint = "What has been pulled already runs without a network." if what == "pulled" else None
            return _UnreachedError(f"{address} cannot be {what}: {why}", why=why, hint=hint)
        if type(each).__module__.startswith("httpx") or "Consistency check failed" in str(each):
            return HubError(
                f"{address} cannot be {what}: the connection to {endpoint} was cut ({_line(each)})",
                hint="What is complete is kept: try again, and it goes on from there.",
            )
    return HubError(f"{address} cannot be {what}: {'; '.join(dict.fromkeys(map(_line, chain[:2])))}")


_DISK = {errno.ENOSPC, errno.EDQUOT, errno.EROFS, errno.EACCES, errno.EPERM, errno.EFBIG, errno.ENOTDIR, errno.EIO}


def _answered(error: Any, address: HubAddress, what: str, endpoint: str) -> HubError:
    """What the hub refuses."""
    from huggingface_hub import errors

    status = error.response.status_code
    known = library().get_token() is not None
    if isinstance(error, errors.GatedRepoError):
        page = f"Ask at {endpoint}/{address.repository}."
        return HubError(
            f"{address} is open only to those who asked for it on its page", hint=page if known else f"{page} {_LOG_IN}"
        )
    if status == 401 and "nvalid credentials" in str(error):
        return HubError(
            f"{address} cannot be {what}: {endpoint} does not accept the token, which may have expired", hint=_LOG_IN
        )
    if isinstance(error, errors.RevisionNotFoundError):
        return HubError(f"hf:{address.repository} has no revision {address.revision}")
    if isinstance(error, errors.RepositoryNotFoundError):
        return HubError(
            f"there is no hf:{address.repository}, or it is private",
            hint="The token that is set cannot see it." if known else _LOG_IN,
        )
    if status in (401, 403):
        why = "the token does not permit it" if known else "no token is set, and the hub asks for one"
        return HubError(f"{address} cannot be {what}: {why}", hint=_LOG_IN)
    if status == 429:
        return HubError(f"{address} cannot be {what}: {endpoint} was asked too often", hint="Try again later.")
    told = getattr(error, "server_message", None) or error.response.reason_phrase
    why = f"{endpoint} answers {status}, {shortened(_line(told), 200)}"
    message = f"{address} cannot be {what}: {why}"
    return _UnreachedError(message, why=why) if status >= 500 else HubError(message)


def _not_cached(address: HubAddress, what: str, why: str) -> HubError:
    if what != "pulled":
        return HubError(f"{address} cannot be {what}: {why}")
    return _UnreachedError(f"{address} is not in the cache, and {why}", why=why)


def _chain(error: BaseException | None) -> Iterable[BaseException]:
    """An error and what led to it."""
    seen = 0
    while error is not None and seen < 20:
        yield error
        error, seen = error.__cause__ or error.__context__, seen + 1


def _line(error: object) -> str:
    """The first line of a message, without the number that a system gives its errors."""
    lines = re.sub(r"^\[Errno -?\d+\] ", "", str(error).strip()).splitlines()
    return shortened(lines[0].strip(), 300) if lines else type(error).__name__
