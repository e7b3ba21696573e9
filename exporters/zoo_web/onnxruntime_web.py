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
from pathlib import Path, PurePosixPath

from zoo.errors import MissingDependencyError, UsageError
from zoo.files import copy_file, reason_of, sha256, write_text
from zoo_web.parts import missing

PACKAGE = "onnxruntime-web"
#: version of this package and of ``onnxruntime-node`` that the tests compare with Python's ONNX Runtime
VERSION = "1.30.0"
#: environment variable: a folder of npm packages, for machines without access to a registry
VARIABLE = "GENZOO_NODE_MODULES"

#: backend -> the module that a page imports, and the files that this module loads
BACKENDS = {
    "wasm": ("ort.wasm.bundle.min.mjs", "ort-wasm-simd-threaded.wasm"),
    "webgpu": ("ort.webgpu.bundle.min.mjs", "ort-wasm-simd-threaded.asyncify.wasm"),
}
#: SHA-256 of those files in :data:`VERSION`, so that a page ships exactly what was tested
DIGESTS = {
    "ort.wasm.bundle.min.mjs": "11e64bd8ffe11bd1a2a2f0d6275fdfbbba7262f0b76b99b53d228a8a22ef3d90",
    "ort-wasm-simd-threaded.wasm": "3398c10d07d229bd91b364548e130e0e51a8e5704b88c7c083ebbeb78842dee2",
    "ort.webgpu.bundle.min.mjs": "0730816731ce2cdfb06f273da065d4a1c7091eb9d1756a83b2916c8a89d015e2",
    "ort-wasm-simd-threaded.asyncify.wasm": "39f9f0894d478800487ed9f7dbe92618498db320cf55c8e3d89adff8dce658da",
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


@contextlib.contextmanager
def obtained(backends: tuple[str, ...], package: str | os.PathLike[str] | None = None) -> Iterator[Path]:
    """The package's folder: ``package``, else that of :data:`VARIABLE`, else fetched by npm for the duration of the
    block.

    Args:
        backends: the needed backends, keys of :data:`BACKENDS`.
        package: the package's folder.

    Raises:
        UsageError: ``package`` is not the package in :data:`VERSION`.
        MissingDependencyError: there is no package, and npm is missing or cannot fetch it.
    """
    if package is None and (modules := os.environ.get(VARIABLE)) and (Path(modules) / PACKAGE).is_dir():
        package = Path(modules) / PACKAGE
    files = [name for backend in backends for name in BACKENDS[backend]]
    if package is not None:
        _check(Path(package), files)
        yield Path(package)
        return
    with tempfile.TemporaryDirectory(prefix="genzoo-") as temporary:
        _fetch(Path(temporary), files)
        _check(Path(temporary), files)
        yield Path(temporary)


def write(package: Path, backends: tuple[str, ...], folder: Path) -> None:
    """Copy the files of backends into a folder, with the licence.

    Raises:
        OutputError: the folder cannot be written.
    """
    for name in (name for backend in backends for name in BACKENDS[backend]):
        copy_file(package / "dist" / name, folder / name)
    write_text(folder / "LICENSE", _LICENSE.format(version=VERSION))


def _check(package: Path, files: list[str]) -> None:
    try:
        stated = json.loads((package / "package.json").read_text("utf-8"))
        release = f"{stated['name']} {stated['version']}"
        if release != f"{PACKAGE} {VERSION}":
            raise UsageError(f"{package} is the npm package {release}, not {PACKAGE} {VERSION}", hint=_HINT)
        for name in files:
            if sha256(package / "dist" / name) != DIGESTS[name]:
                raise UsageError(
                    f"{package / 'dist' / name} is not the file of {release}: its sha256 differs", hint=_HINT
                )
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise UsageError(
            f"{package} is not the npm package {PACKAGE} {VERSION}: {reason_of(error)}", hint=_HINT
        ) from error


def _fetch(folder: Path, files: list[str]) -> None:
    """Unpack the package's archive, without running install scripts or fetching dependencies."""
    npm = shutil.which("npm")
    if npm is None:
        raise _missing("npm is not installed")
    command = [npm, "pack", "--silent", f"{PACKAGE}@{VERSION}", "--pack-destination", str(folder)]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_SECONDS, cwd=folder, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise _missing(f"npm fails with {type(error).__name__}") from error
    archives = list(folder.glob("*.tgz"))
    if done.returncode or len(archives) != 1:
        last = next((line for line in reversed(done.stderr.splitlines()) if line.strip()), "no archive")
        raise _missing(f"npm says {last.strip()!r}")
    wanted = {"package.json", *(f"dist/{name}" for name in files)}
    (folder / "dist").mkdir()
    try:
        with tarfile.open(archives[0]) as archive:
            for member in archive:
                inner = PurePosixPath(*PurePosixPath(member.name).parts[1:]).as_posix()
                content = archive.extractfile(member) if member.isfile() and inner in wanted else None
                if content is not None:
                    (folder / inner).write_bytes(content.read())
    except (OSError, tarfile.TarError) as error:
        raise _missing(f"its archive cannot be unpacked: {reason_of(error)}") from error


def _missing(why: str) -> MissingDependencyError:
    return missing(PACKAGE, "write a page", f"It cannot be fetched: {why}. {_HINT}")


_HINT = f"Where npm works: npm install {PACKAGE}@{VERSION}; then name its node_modules folder in {VARIABLE}."
