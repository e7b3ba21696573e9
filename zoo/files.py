"""Files and folders that appear complete or not at all, and their digests."""

from __future__ import annotations

import contextlib
import glob
import hashlib
import os
import shutil
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import OutputError

_CHUNK = 1 << 20
_ATTEMPTS = 10
#: seconds after which a temporary file or folder is considered abandoned
_ABANDONED = 24 * 3600


def sha256(path: Path) -> str:
    """The SHA-256 of a file, as 64 hexadecimal digits."""
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_CHUNK):
            digest.update(chunk)
    return digest.hexdigest()


@contextlib.contextmanager
def atomic_file(path: Path) -> Iterator[Path]:
    """A temporary path beside ``path`` that is renamed to ``path`` if the block succeeds, and removed otherwise.

    The rename is atomic, so a process killed at any moment leaves the old file or none, and at worst a hidden temporary
    file.

    Raises:
        OutputError: the folder is missing or cannot be written.
    """
    path = Path(path)
    try:
        _sweep(path)
        handle, name = tempfile.mkstemp(prefix=f".{path.name}.", suffix=f".tmp{path.suffix}", dir=path.parent or Path())
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
    os.close(handle)
    temporary = Path(name)
    try:
        yield temporary
        with temporary.open("rb+") as file:
            os.fsync(file.fileno())
        temporary.chmod(0o666 & ~_umask())
        temporary.replace(path)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
    finally:
        temporary.unlink(missing_ok=True)


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file atomically."""
    with atomic_file(path) as temporary:
        temporary.write_bytes(data)


def copy_file(source: Path, path: Path) -> None:
    """Copy a file atomically.

    Raises:
        OutputError: it cannot be read or written.
    """
    with atomic_file(path) as temporary:
        shutil.copyfile(source, temporary)


def write_text(path: Path, text: str) -> None:
    """Write a UTF-8 file atomically."""
    write_bytes(path, text.encode())


@contextlib.contextmanager
def atomic_folder(path: Path, *, replace: bool = False) -> Iterator[Path]:
    """A temporary folder beside ``path`` that is renamed to ``path`` if the block succeeds, and removed otherwise.

    Args:
        path: the final name.
        replace: whether an existing folder of that name is replaced, at the last moment.

    Raises:
        OutputError: ``path`` exists and may not be replaced, or cannot be written.
    """
    path = Path(path)
    check_free(path, replace=replace)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _sweep(path)
        temporary = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".tmp", dir=path.parent))
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
    try:
        yield temporary
        temporary.chmod(0o777 & ~_umask())
        _publish(temporary, path, replace=replace)
    except OSError as error:
        raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
    except OutputError as error:  # of a file in the folder, whose own name nobody knows
        if str(temporary) not in str(error):
            raise
        raise OutputError(str(error).replace(str(temporary), str(path)), hint=error.hint) from error
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _sweep(path: Path) -> None:
    """Remove temporary files and folders left by killed processes: those unchanged for a day."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp*"):
        with contextlib.suppress(OSError):  # another process may be doing the same
            if left.is_symlink() or time.time() - _last_change(left) <= _ABANDONED:
                continue
            if left.is_dir():
                shutil.rmtree(left, ignore_errors=True)
            else:
                left.unlink()


def _last_change(path: Path) -> float:
    return max(each.lstat().st_mtime for each in (path, *path.rglob("*")))


def _publish(temporary: Path, path: Path, *, replace: bool) -> None:
    """Rename a folder to its final name; if several processes do so at once, one complete folder remains."""
    for _ in range(_ATTEMPTS):
        with contextlib.suppress(OSError):
            temporary.rename(path)  # fails if the target is a non-empty folder
            return
        check_free(path, replace=replace)
        # a folder cannot be renamed over a non-empty one: move the old one aside first, then delete it
        aside = Path(tempfile.mkdtemp(prefix=f".{path.name}.", suffix=".old", dir=path.parent))
        try:
            with contextlib.suppress(FileNotFoundError):  # another process has just moved it
                path.rename(aside / path.name)
        finally:
            shutil.rmtree(aside, ignore_errors=True)
    temporary.rename(path)


def check_free(path: Path, *, replace: bool) -> None:
    """Refuse an output that exists and may not be replaced.

    Raises:
        OutputError: it exists.
    """
    if not replace and (path.exists() or path.is_symlink()):
        raise OutputError(f"{path} exists already", hint="Choose another name, or pass --force to replace it.")


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask


def reason_of(error: Exception) -> str:
    """Why a file cannot be read or written, for a sentence that names it: without the number and the path.

    What is not an error of the system, such as one of its content, is told in its own words.
    """
    told = error.strerror if isinstance(error, OSError) else None
    return str(error) or type(error).__name__ if told is None else str(told).lower()
