"""One process at a time trains into a folder."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from pathlib import Path

from zoo.errors import OutputError
from zoo.files import reason_of

LOCK_FILE = ".lock"


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[None]:
    """A block in which no other process trains into ``folder``, which is made if it is missing.

    The operating system gives the lock back when the process ends, however it ends: what a killed run leaves is an
    empty file that locks nothing. Folders into which the block wrote nothing are removed again.

    Raises:
        OutputError: another process trains into it, or it cannot be written.
    """
    from filelock import FileLock, Timeout

    if folder.exists() and not folder.is_dir():
        raise OutputError(f"{folder} exists and is not a folder")
    new = [each for each in (folder, *folder.parents) if not each.exists()]
    lock = FileLock(folder / LOCK_FILE, timeout=0)
    try:
        folder.mkdir(parents=True, exist_ok=True)
        lock.acquire()
    except Timeout:
        raise OutputError(
            f"another process is training into {folder}", hint="Wait until it has ended, or choose another folder."
        ) from None
    except OSError as error:
        raise OutputError(f"cannot write {folder}: {reason_of(error)}") from error
    try:
        yield
    finally:
        with contextlib.suppress(OSError):
            (folder / LOCK_FILE).unlink()  # while it is locked: who has opened it already opens a new one
        lock.release()
        with contextlib.suppress(OSError):
            for each in new:
                each.rmdir()
