"""Plain files, opened such that nothing else can stand in for them: the files of untrusted bundles."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO

from zoo.errors import BundleError

AGAIN = "Copy or export the bundle again."


@contextmanager
def opened(path: Path) -> Iterator[tuple[BinaryIO, int]]:
    """A plain file, opened, and its size.

    Raises:
        BundleError: a link, a folder, a pipe or a device; missing or unreadable.
    """
    try:
        _refuse_special(path, os.lstat(path).st_mode)
        # between the check and opening, it may have become a link, or a pipe without a writer
        flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        with os.fdopen(os.open(path, flags), "rb") as file:
            status = os.fstat(file.fileno())
            _refuse_special(path, status.st_mode)
            yield file, status.st_size
    except FileNotFoundError as error:
        raise BundleError(f"{path} is missing", hint=AGAIN) from error
    except OSError as error:
        raise BundleError(f"cannot read {path}: {(error.strerror or str(error)).lower()}") from error


def _refuse_special(path: Path, mode: int) -> None:
    if stat.S_ISREG(mode):
        return
    what = "link" if stat.S_ISLNK(mode) else "folder" if stat.S_ISDIR(mode) else "pipe or device"
    raise BundleError(f"{path} is a {what}, which bundles must not contain")
