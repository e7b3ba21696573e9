"""What folders of pictures and recordings share: files, their class by folder, and their split."""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DataError
from zoo.reading.content import SPLIT_WORDS


@dataclass(frozen=True)
class Listing:
    """Files of a folder, in the order of their paths.

    Attributes:
        files: their paths.
        classes: int32 ``[n]``, or None.
        labels: names of the classes: those of the folders that the files lie in.
        splits: ``[n]``, if the top folders are called train, validation and test, or by other words for these in
            :data:`~zoo.reading.content.SPLIT_WORDS`; else None.
    """

    files: list[Path]
    classes: NDArray[np.int32] | None
    labels: tuple[str, ...]
    splits: NDArray[np.str_] | None


def files_of(folder: Path, suffixes: Collection[str]) -> list[Path]:
    """All files with one of these suffixes, in the order of their paths; hidden ones do not count."""
    matches = (path for path in folder.rglob("*") if path.suffix.lower() in suffixes and path.is_file())
    shown = (p for p in matches if not any(part.startswith(".") for part in p.relative_to(folder).parts))
    return sorted(shown, key=lambda path: path.relative_to(folder).as_posix())


def has(folder: Path, suffixes: Collection[str]) -> bool:
    """Whether there is such a file."""
    return any(path.suffix.lower() in suffixes for path in folder.rglob("*"))


def listing(folder: Path, suffixes: Collection[str], *, classes: bool = True) -> Listing:
    """The files of a folder.

    Args:
        folder: the folder.
        suffixes: of the files, in lower case.
        classes: whether subfolders are classes, if all files lie in some.

    Raises:
        DataError: no such file, or files both in folders and beside them.
    """
    files = files_of(folder, suffixes)
    if not files:
        raise DataError(f"{folder} has no files that end with {', '.join(sorted(suffixes))}")
    parts = [path.relative_to(folder).parts[:-1] for path in files]
    tops = {part[0] if part else "" for part in parts}
    splits = None
    words = {top: SPLIT_WORDS.get(top.lower()) for top in tops}
    if None not in words.values() and "train" in words.values():
        splits = np.array([words[part[0]] for part in parts])
        parts = [part[1:] for part in parts]
    names = ["/".join(part) for part in parts]
    if not classes or not any(names):
        return Listing(files, None, (), splits)
    if not all(names):
        alone = files[names.index("")].name
        raise DataError(
            f"{folder} has files in folders, which are classes, and others beside them, such as {alone}",
            hint="Move them into folders, or pass -D classes=false.",
        )
    labels = tuple(sorted(set(names)))
    if len(labels) < 2:
        return Listing(files, None, (), splits)
    places = {label: i for i, label in enumerate(labels)}
    return Listing(files, np.array([places[name] for name in names], np.int32), labels, splits)
