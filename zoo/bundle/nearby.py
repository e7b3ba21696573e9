"""Where the bundle lies that somebody means who names a folder above it."""

from __future__ import annotations

import os
from pathlib import Path

#: the file that makes a folder a bundle
MANIFEST = "manifest.json"

_DEPTH = 3
_MOST = 3
_LOOKED_AT = 2000  # folders and files, so that somebody's home is not searched


def bundles_near(path: Path) -> list[str]:
    """The bundles in a folder, up to three levels down, as paths below it; at most three."""
    try:
        bundles = _in_folder(path)
    except OSError:
        return []
    return sorted(bundles)[:_MOST]


def hint_of(path: Path) -> str | None:
    """What to do with a path that is no bundle, but has bundles in it; None if it has none."""
    if path.suffix.lower() == ".zip" and path.is_file():
        return f"It is an archive: `zoo pull {path} -o DIR` unpacks the bundle in it."
    bundles = bundles_near(path)
    return f"There is a bundle in it: {' or '.join(str(path / each) for each in bundles)}." if bundles else None


def _in_folder(path: Path) -> list[str]:
    bundles, looked = [], 0
    for folder, folders, files in os.walk(path):
        looked += len(folders) + len(files)
        relative = Path(folder).relative_to(path)
        if MANIFEST in files and relative.parts:
            bundles.append(relative.as_posix())
            folders.clear()
        if len(relative.parts) >= _DEPTH or looked > _LOOKED_AT:
            folders.clear()
    return bundles
