"""Transfers of files from the web, which go on where they were cut."""

from __future__ import annotations

import http
import http.client
import os
import time
import urllib.error
import urllib.request
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from zoo.counts import Progress
from zoo.errors import HubError, OutputError
from zoo.files import reason_of
from zoo.version import __version__

_TIMEOUT_SECONDS = 30.0
_CHUNK = 1 << 18
#: attempts in a row that bring nothing, and the seconds between them
_ATTEMPTS, _WAIT = 4, 1.0
_MOST = 1 << 37  # bytes of a file


class _CutError(Exception):
    """A transfer that may go on when it is tried again."""


def transfer(url: str, part: Path, progress: Progress | None = None) -> None:
    """Fetch a file into ``part``, of which a beginning may be there already.

    A transfer that is cut is taken up where it stopped, and ``part`` stays if that fails too. Whether its content is
    the right one, beginning included, only a digest tells, which is the caller's to check.

    Args:
        url: the file's address.
        part: where it goes.
        progress: called with bytes done and in all.

    Raises:
        HubError: it cannot be fetched.
        OutputError: ``part`` cannot be written.
    """
    failures = 0
    while True:
        before = _size(part)
        try:
            if _request(url, part, before, progress):
                return
            reason = "the connection was cut"
        except _CutError as error:
            reason = str(error)
        failures = 0 if _size(part) > before else failures + 1
        if failures == _ATTEMPTS:
            raise HubError(
                f"{shown(url)} cannot be fetched: {reason}",
                hint="What has been downloaded is kept: try again, and it goes on from there." if before else None,
            )
        time.sleep(_WAIT)


def shown(url: str) -> str:
    """An address without its query, which may hold a key."""
    parts = urlsplit(url)
    return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))


def _size(part: Path) -> int:
    try:
        return part.stat().st_size
    except FileNotFoundError:
        return 0
    except OSError as error:
        raise OutputError(f"cannot write {part}: {reason_of(error)}") from error


def _request(url: str, part: Path, have: int, progress: Progress | None) -> bool:
    """One request for what is missing; whether the file is whole then."""
    headers = {"User-Agent": f"genzoo/{__version__}", "Accept-Encoding": "identity"}
    if have:
        headers["Range"] = f"bytes={have}-"
    host = urlsplit(url).netloc
    try:
        with urllib.request.urlopen(urllib.request.Request(url, headers=headers), timeout=_TIMEOUT_SECONDS) as response:
            return _receive(response, url, part, have, progress)
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == http.HTTPStatus.REQUESTED_RANGE_NOT_SATISFIABLE and have:
            return True  # nothing is missing, or the file is another: its digest tells
        told = f"{host} answers {error.code} {error.reason}"
        if error.code in (408, 429) or error.code >= 500:
            raise _CutError(told) from error
        raise HubError(f"{shown(url)} cannot be fetched: {told}") from error
    except urllib.error.URLError as error:
        told = reason_of(error.reason) if isinstance(error.reason, Exception) else str(error.reason)
        raise HubError(f"{shown(url)} cannot be fetched: {host or 'it'} cannot be reached ({told})") from error
    except (http.client.HTTPException, ConnectionError, TimeoutError) as error:
        raise _CutError("the connection was cut") from error


def _receive(response: http.client.HTTPResponse, url: str, part: Path, have: int, progress: Progress | None) -> bool:
    """Write what comes; whether it was all."""
    if response.status != http.HTTPStatus.PARTIAL_CONTENT:  # it begins anew
        have = 0
    stated = response.headers.get("Content-Length", "")
    total = have + int(stated) if stated.isdigit() else 0
    if total > _MOST:
        raise HubError(f"{shown(url)} has {total} bytes, and such a file has at most {_MOST}")
    try:
        with part.open("ab" if have else "wb") as file:
            while chunk := _chunk(response):
                file.write(chunk)
                have += len(chunk)
                if have > _MOST:
                    raise HubError(f"{shown(url)} has more than {_MOST} bytes")
                if progress is not None:
                    progress(have, max(total, have))
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise OutputError(f"cannot write {part}: {reason_of(error)}") from error
    return not total or have >= total


def _chunk(response: http.client.HTTPResponse) -> bytes:
    """The next bytes; a failure of the connection is told from one of the disk."""
    try:
        return response.read1(_CHUNK)
    except (http.client.HTTPException, OSError) as error:
        raise _CutError("the connection was cut") from error
