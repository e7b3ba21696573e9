"""Where the bundle lies that somebody means who names a folder above it, or an archive of it."""

from __future__ import annotations

import os
import zipfile
from pathlib import Path

#: the file that makes a folder a bundle
MANIFEST = "manifest.json"

_DEPTH = 3
_MOST = 3
_LOOKED_AT = 2000  # folders and files, so that somebody's home is not searched


def bundles_near(path: Path) -> list[str]:
    """The bundles in a folder, up to three levels down, or in a .zip file, as paths below it; at most three."""
    try:
        bundles = _in_archive(path) if path.suffix.lower() == ".zip" and path.is_file() else _in_folder(path)
    except (OSError, ValueError, zipfile.BadZipFile):
        return []
    return sorted(bundles)[:_MOST]


def hint_of(path: Path) -> str | None:
    """What to do with a path that is no bundle, but has bundles in it; None if it has none."""
    bundles = bundles_near(path)
    if not bundles:
        return None
    listed = " or ".join(bundles)
    if path.is_dir():
        return f"There is a bundle in it: {' or '.join(str(path / each) for each in bundles)}."
    inside = f" as {listed}" if bundles != ["."] else ""
    return f"The bundle is in this archive{inside}: unpack it, e.g. `python -m zipfile -e {path} {path.stem}`."


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


def _in_archive(path: Path) -> list[str]:
    with zipfile.ZipFile(path) as archive:
        names = [name for name in archive.namelist()[:_LOOKED_AT] if name.split("/")[-1] == MANIFEST]
    return [str(Path(name).parent.as_posix()) for name in names]
