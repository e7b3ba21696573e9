"""Files of data sets: found under ``ZOO_DATA``, else in the cache, else fetched from their original hosts.

Every file has a published digest and is used only if it matches, regardless of its origin. Downloads go to a
temporary name and are renamed when complete and checked, so an interrupted download is never mistaken for the file;
the next one goes on from it.
"""

from __future__ import annotations

import gzip
import hashlib
import os
import zlib
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import DataError, HubError, OutputError
from zoo.files import reason_of


@dataclass(frozen=True)
class Remote:
    """A file that can be fetched.

    Attributes:
        name: its name in the data set's folder.
        urls: its locations, tried in order.
        sha256: its digest, or None.
        md5: its MD5, if that is what its authors published, or None.
        md5_uncompressed: the MD5 of its gunzipped content, if that is what its authors published.
    """

    name: str
    urls: tuple[str, ...]
    sha256: str | None = None
    md5: str | None = None
    md5_uncompressed: str | None = None


def cache_folder() -> Path:
    """Where fetched files are kept: ``ZOO_CACHE``, or ``genzoo`` in the user's cache folder."""
    if configured := os.environ.get("ZOO_CACHE"):
        return Path(configured)
    base = os.environ.get("XDG_CACHE_HOME")
    return (Path(base) if base else Path.home() / ".cache") / "genzoo"


def fetch(dataset: str, remote: Remote) -> Path:
    """The local path of a file, checked.

    Args:
        dataset: name of the data set, which is its folder.
        remote: the file.

    Raises:
        DataError: it is unavailable, or is not the published file.
        OutputError: the cache cannot be written.
    """
    if provided := os.environ.get("ZOO_DATA"):
        path = Path(provided) / dataset / remote.name
        if path.is_file():
            _check(path, remote)
            return path
    path = cache_folder() / "data" / dataset / remote.name
    if not path.is_file():
        _download(path, dataset, remote)
    _check(path, remote)
    return path


def _download(path: Path, dataset: str, remote: Remote) -> None:
    if os.environ.get("ZOO_OFFLINE"):
        raise DataError(
            f"{remote.name} of data set {dataset} was not found, and ZOO_OFFLINE forbids fetching it",
            hint=f"Put it into the folder {dataset} below ZOO_DATA.",
        )
    if not remote.urls:
        raise DataError(
            f"{remote.name} of data set {dataset} was not found, and no host has it",
            hint=f"Put it into the folder {dataset} below a folder named by ZOO_DATA.",
        )
    from zoo.data.transfer import transfer  # what it imports takes a while

    problems = []
    for url in remote.urls:
        # a failure of a host is not a failure of the disk, and leads to the next host
        part = path.with_name(f".{remote.name}.{hashlib.sha256(url.encode()).hexdigest()[:8]}.part")
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            transfer(url, part)
            _check(part, remote)
            part.replace(path)
            return
        except HubError as error:
            problems.append(str(error))
        except DataError as error:
            part.unlink(missing_ok=True)
            problems.append(f"{url}: {error}")
        except OSError as error:
            raise OutputError(f"cannot write {path}: {reason_of(error)}") from error
    raise DataError(
        f"{remote.name} of data set {dataset} cannot be fetched ({'; '.join(problems)})",
        hint=f"Put it into the folder {dataset} below a folder named by ZOO_DATA.",
    )


def _check(path: Path, remote: Remote) -> None:
    content = path.read_bytes()
    if remote.sha256 is not None and hashlib.sha256(content).hexdigest() != remote.sha256:
        raise DataError(f"{path} is not the published file: its sha256 differs")
    # integrity checks against the digests that the authors published, not a security boundary
    if remote.md5 is not None and hashlib.md5(content, usedforsecurity=False).hexdigest() != remote.md5:
        raise DataError(f"{path} is not the published file: its md5 differs")
    if remote.md5_uncompressed is not None:
        try:
            digest = hashlib.md5(gzip.decompress(content), usedforsecurity=False).hexdigest()
        except (OSError, EOFError, zlib.error) as error:
            raise DataError(f"{path} is damaged: {reason_of(error)}") from error
        if digest != remote.md5_uncompressed:
            raise DataError(f"{path} is not the published file: its md5 is {digest}, not {remote.md5_uncompressed}")
