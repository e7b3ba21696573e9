"""Where a model is pulled from: ``hf:ORG/NAME[@REVISION]``, ``https://...#sha256=...``, or a path."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit, urlunsplit

from zoo.errors import UsageError

_HUB = re.compile(r"hf:(?P<repository>{0}/{0})(@(?P<revision>{0}(/{0})*))?".format(r"[A-Za-z0-9](?:[\w.-]*\w)?"), re.A)
_COMMIT = re.compile(r"[0-9a-f]{40}")
_SHA256 = re.compile(r"[0-9a-f]{64}")
_FORM = "A model of the Hugging Face Hub is named hf:ORG/NAME or hf:ORG/NAME@REVISION."


@dataclass(frozen=True)
class HubAddress:
    """A repository of the Hugging Face Hub, and a branch, a tag or a commit of it."""

    repository: str
    revision: str = "main"

    @property
    def exact(self) -> bool:
        """Whether it stands for the same files at all times, which only a commit does."""
        return _COMMIT.fullmatch(self.revision) is not None

    def at(self, commit: str) -> HubAddress:
        """The same repository at a commit."""
        return HubAddress(self.repository, commit)

    def __str__(self) -> str:
        return f"hf:{self.repository}" + ("" if self.revision == "main" else f"@{self.revision}")


@dataclass(frozen=True)
class WebAddress:
    """A file on the web, and the digest that it must have."""

    url: str
    sha256: str

    @property
    def shown(self) -> str:
        """The address without its query, which may hold a key."""
        parts = urlsplit(self.url)
        return urlunsplit((parts.scheme, parts.netloc, parts.path, "", ""))

    def __str__(self) -> str:
        return f"{self.url}#sha256={self.sha256}"


@dataclass(frozen=True)
class ArchiveAddress:
    """A folder or a .zip on this machine."""

    path: Path

    def __str__(self) -> str:
        return str(self.path)


Address = HubAddress | WebAddress | ArchiveAddress


_REMOTE = ("hf:", "https:", "http:")


def is_address(model: str) -> bool:
    """Whether MODEL is one that is pulled: an address of the Hub or of the web, or a .zip that is there."""
    return model.startswith(_REMOTE) or (model.lower().endswith(".zip") and Path(model).expanduser().is_file())


def address_of(model: str, sha256: str | None = None) -> Address:
    """What an address means; what is neither of the Hub nor of the web is a path.

    Args:
        model: the address.
        sha256: the digest of a file on the web, if the address itself does not end with it.

    Raises:
        UsageError: not of the form of an address; a file on the web without a digest, or with two.
    """
    if model.startswith("hf:"):
        match = _HUB.fullmatch(model)
        if match is None or ".." in model or "--" in match["repository"]:
            raise UsageError(f"{model} is not an address of the Hub", hint=_FORM)
        if sha256 is not None:
            raise UsageError("--sha256 is the digest of a file on the web; a model of the Hub is pinned by its commit")
        return HubAddress(match["repository"], match["revision"] or "main")
    if model.startswith(_REMOTE):
        return _web(model, sha256)
    if sha256 is not None:
        raise UsageError("--sha256 is the digest of a file on the web")
    return ArchiveAddress(Path(model).expanduser())


def _web(model: str, digest: str | None) -> WebAddress:
    url, _, fragment = model.partition("#")
    try:
        parts = urlsplit(url)
        host = parts.hostname if parts.port != 0 else None  # a port that is no number is an error, when it is read
    except ValueError:
        host = None
    if not host or not url.isascii() or any(c.isspace() for c in url) or parts.username or parts.password:
        raise UsageError(f"{model} is not an address that can be pulled from", hint="It is https://HOST/FILE.zip.")
    if parts.scheme != "https" and host not in ("localhost", "127.0.0.1", "::1"):
        raise UsageError(f"{url} is not fetched, since nobody can tell who answers at http", hint="Take https.")
    if fragment and not fragment.startswith("sha256="):
        raise UsageError(f"{model} ends with #{fragment}, and may end with #sha256=DIGEST alone")
    stated = fragment.removeprefix("sha256=") or None
    if stated and digest and stated.lower() != digest.lower():
        raise UsageError("the address states one digest, and --sha256 another")
    sha256 = (digest or stated or "").lower()
    if not sha256:
        raise UsageError(
            f"{url} is not fetched without the digest of the file, which tells that it is the right one",
            hint="Who publishes it states it: `--sha256 DIGEST`, or #sha256=DIGEST at the end of the address.",
        )
    if not _SHA256.fullmatch(sha256):
        raise UsageError(f"a SHA-256 has 64 hexadecimal digits, unlike {sha256!r}")
    return WebAddress(url, sha256)
