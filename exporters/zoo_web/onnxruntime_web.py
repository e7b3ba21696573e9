"""ONNX Runtime for browsers: the few files of the npm package ``onnxruntime-web`` that a page needs."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import subprocess
import tarfile
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from zoo.errors import MissingDependencyError, UsageError
from zoo_web.parts import copy_files, make_folder

PACKAGE = "onnxruntime-web"
#: of this package and of ``onnxruntime-node``; the version that the tests compare with Python's ONNX Runtime
VERSION = "1.30.0"
#: names a folder of npm packages, for machines that reach no registry
VARIABLE = "GENZOO_NODE_MODULES"

#: backend -> the module that a page imports, and what that module loads
BACKENDS = {
    "wasm": ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
}
_SECONDS = 600

_LICENSE = """onnxruntime-web {version}, https://www.npmjs.com/package/onnxruntime-web, unchanged.

MIT License

Copyright (c) Microsoft Corporation

Permission is hereby granted, free of charge, to any person obtaining a copy of this software and associated
documentation files (the "Software"), to deal in the Software without restriction, including without limitation the
rights to use, copy, modify, merge, publish, distribute, sublicense, and/or sell copies of the Software, and to permit
persons to whom the Software is furnished to do so, subject to the following conditions:

The above copyright notice and this permission notice shall be included in all copies or substantial portions of the
Software.

THE SOFTWARE IS PROVIDED "AS IS", WITHOUT WARRANTY OF ANY KIND, EXPRESS OR IMPLIED, INCLUDING BUT NOT LIMITED TO THE
WARRANTIES OF MERCHANTABILITY, FITNESS FOR A PARTICULAR PURPOSE AND NONINFRINGEMENT. IN NO EVENT SHALL THE AUTHORS OR
COPYRIGHT HOLDERS BE LIABLE FOR ANY CLAIM, DAMAGES OR OTHER LIABILITY, WHETHER IN AN ACTION OF CONTRACT, TORT OR
OTHERWISE, ARISING FROM, OUT OF OR IN CONNECTION WITH THE SOFTWARE OR THE USE OR OTHER DEALINGS IN THE SOFTWARE.
"""


@dataclass(frozen=True)
class Vendored:
    """The package, unpacked.

    Attributes:
        folder: has ``package.json`` and ``dist``.
        version: of the package.
    """

    folder: Path
    version: str


@contextlib.contextmanager
def obtained(given: str | os.PathLike[str] | None = None) -> Iterator[Vendored]:
    """The package: the one that is given, else that of :data:`VARIABLE`, else fetched by npm for as long as the block.

    Args:
        given: the package's folder.

    Raises:
        UsageError: what is given is not the package.
        MissingDependencyError: nothing is given, and npm is not there or cannot fetch it.
    """
    if given is None and (modules := os.environ.get(VARIABLE)) and (Path(modules) / PACKAGE).is_dir():
        given = Path(modules) / PACKAGE
    if given is not None:
        yield _opened(Path(given))
        return
    with tempfile.TemporaryDirectory(prefix="genzoo-") as temporary:
        yield _opened(_fetched(Path(temporary)))


def write(package: Vendored, backends: tuple[str, ...], folder: Path) -> None:
    """Copy what backends need into a new folder, with the licence.

    Raises:
        OutputError: the folder cannot be written.
    """
    make_folder(folder)
    copy_files(package.folder / "dist", [name for backend in backends for name in BACKENDS[backend]], folder)
    (folder / "LICENSE").write_text(_LICENSE.format(version=package.version), "utf-8")


def _opened(folder: Path) -> Vendored:
    try:
        stated = json.loads((folder / "package.json").read_text("utf-8"))
        name, version = stated["name"], str(stated["version"])
    except (OSError, ValueError, KeyError, TypeError):
        name, version = None, ""
    wanted = [file for files in BACKENDS.values() for file in files]
    if name != PACKAGE or (missing := [file for file in wanted if not (folder / "dist" / file).is_file()]):
        lacks = f": it lacks {', '.join(missing)}" if name == PACKAGE else ""
        raise UsageError(f"{folder} is not the npm package {PACKAGE} {VERSION}{lacks}", hint=_hint())
    return Vendored(folder, version)


def _fetched(folder: Path) -> Path:
    """The package's own archive, unpacked: no install script is run, and nothing that it depends on is fetched."""
    npm = shutil.which("npm")
    if npm is None:
        raise _missing("npm is not installed")
    command = [npm, "pack", "--silent", f"{PACKAGE}@{VERSION}", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, cwd=folder)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _missing(f"npm failed: {type(error).__name__}") from error
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no archive")
        raise _missing(f"npm could not fetch it: {last.strip()}")
    wanted = {"package.json", *(f"dist/{file}" for files in BACKENDS.values() for file in files)}
    (folder / "dist").mkdir()
    with tarfile.open(archives[0]) as archive:
        for member in archive:
            inner = PurePosixPath(*PurePosixPath(member.name).parts[1:]).as_posix()
            content = archive.extractfile(member) if member.isfile() and inner in wanted else None
            if content is not None:
                (folder / inner).write_bytes(content.read())
    return folder


def _missing(why: str) -> MissingDependencyError:
    error = MissingDependencyError(PACKAGE, f"write a page ({why})", extra="")
    error.hint = _hint()
    return error


def _hint() -> str:
    return f"Where npm works: npm install {PACKAGE}@{VERSION}; then name its node_modules folder in {VARIABLE}."
