"""A bundle: the exported folder, opened with all checks. No torch, no onnx, no onnxruntime.

::

    manifest.json          names every other file with its size and sha256; see :mod:`zoo.bundle.manifest`
    <graph>.onnx           one file a graph; large constants point into weights.safetensors
    weights.safetensors    every weight once, under its name in the PyTorch model; constants that only graphs
                           need (folded, inverted) under names that begin with "graph:"
    tables.safetensors     step tables of iterated programs, for runtimes that do not compute their own
    golden.safetensors     inputs and outputs to replay on the machine at hand
    example.safetensors    a condition to begin with, see :mod:`zoo.bundle.example`
    MODEL_CARD.md          for people

``docs/bundle-format.md`` specifies it. Bundles are untrusted, so nothing is used before it has been checked: the
manifest itself; then that the folder contains exactly the listed files, each a plain file of the stated size
and SHA-256; every safetensors file; every graph (:mod:`zoo.bundle.scan.graph`). Only then is a path passed to ONNX
Runtime.

Hard links are followed, since package managers install files by linking them from a cache. They are harmless here:
the bytes of a file are those that the manifest states, and graphs take data from such files only.

"""

from __future__ import annotations

import hashlib
import io
import os
from dataclasses import dataclass
from pathlib import Path

from zoo.bundle.manifest import FileInfo, Manifest, read_manifest
from zoo.bundle.nearby import MANIFEST
from zoo.bundle.plain import AGAIN, opened
from zoo.bundle.scan import check_finite, read_header, scan_graph
from zoo.bundle.scan.graph import MAX_GRAPH_BYTES
from zoo.bundle.scan.wire import Malformed
from zoo.errors import BundleError
from zoo.files import sha256

WEIGHTS = "weights.safetensors"
TABLES = "tables.safetensors"
GOLDEN = "golden.safetensors"
EXAMPLE = "example.safetensors"
MODEL_CARD = "MODEL_CARD.md"

#: the largest files that are opened, by name or suffix
_MAX_BYTES = {TABLES: 64 << 20, GOLDEN: 1 << 30, EXAMPLE: 64 << 20, ".onnx": MAX_GRAPH_BYTES, ".safetensors": 1 << 37}
_MAX_OTHER_BYTES = 64 << 20
_CHUNK = 1 << 20


@dataclass(frozen=True)
class Bundle:
    """An opened bundle, whose files have been checked against its manifest."""

    folder: Path
    manifest: Manifest

    @property
    def name(self) -> str:
        """The model's name; that of the folder if the manifest states none."""
        return str(self.manifest.model.get("name", self.folder.name))

    def file(self, name: str) -> Path:
        """The path of one of the bundle's files.

        Raises:
            BundleError: the manifest does not list it.
        """
        if name not in self.manifest.files:
            raise BundleError(f"{self.folder} has no file {name}")
        return self.folder / name


def is_bundle(folder: Path) -> bool:
    """Whether a folder claims to be a bundle."""
    return (Path(folder) / MANIFEST).is_file()


def open_bundle(folder: Path, manifest: Manifest | None = None) -> Bundle:
    """Open a bundle and check every file of it.

    Args:
        folder: the bundle.
        manifest: the result of :func:`read_manifest`; None reads it.

    Raises:
        BundleError: no manifest; a file that is missing, not listed, a link, too large, truncated or altered; a graph
            that breaks a rule of :mod:`zoo.bundle.scan.graph`; a safetensors file that is not one, or not finite.
    """
    folder = Path(folder)
    manifest = read_manifest(folder) if manifest is None else manifest
    _check_listing(folder, manifest)
    graphs = {graph.file: graph for graph in manifest.graphs.values()}
    sizes = {name: info.size for name, info in manifest.files.items()}
    # all files before the first graph: graphs may only take data from files that have been checked
    contents = {name: _check_file(folder / name, info, keep=name in graphs) for name, info in manifest.files.items()}
    for name, graph in graphs.items():
        try:
            scan_graph(
                contents[name],
                name,
                opset=graph.opset,
                ir_version=graph.ir_version,
                inputs=graph.inputs,
                outputs=graph.outputs,
                files=sizes,
            )
        except BundleError as error:
            raise BundleError(f"{folder} cannot be opened: {error}", hint=error.hint) from None
    return Bundle(folder, manifest)


def file_info(path: Path) -> FileInfo:
    """Size and digest of a file as a manifest states them."""
    return FileInfo(path.stat().st_size, sha256(path))


def _check_listing(folder: Path, manifest: Manifest) -> None:
    """Refuse a folder that does not contain exactly the files that its manifest lists."""
    missing = {MANIFEST, *manifest.files}
    try:
        with os.scandir(folder) as entries:
            for entry in entries:
                if entry.name not in missing:
                    raise BundleError(
                        f"{folder} holds {entry.name!r}, which its manifest does not list",
                        hint="A bundle may contain only its own files; move the others elsewhere.",
                    )
                missing.remove(entry.name)
    except OSError as error:
        raise BundleError(f"cannot read the folder {folder}: {(error.strerror or str(error)).lower()}") from error
    if missing:
        raise BundleError(f"{folder / min(missing)} is missing", hint=AGAIN)


def _check_file(path: Path, info: FileInfo, *, keep: bool) -> bytes:
    """Refuse a file that differs from the manifest; return its content if ``keep``."""
    limit = _MAX_BYTES.get(path.name, _MAX_BYTES.get(path.suffix, _MAX_OTHER_BYTES))
    with opened(path) as (file, size):
        if size > limit:
            raise BundleError(f"{path} has {size} bytes, and such a file has at most {limit}")
        if size != info.size:
            raise BundleError(f"{path} has {size} bytes, expected {info.size}", hint=AGAIN)
        digest, kept = hashlib.sha256(), io.BytesIO()
        left = size
        while left and (chunk := file.read(min(left, _CHUNK))):
            left -= len(chunk)
            digest.update(chunk)
            if keep:
                kept.write(chunk)
        if left or (actual := digest.hexdigest()) != info.sha256:
            said = "shrank while it was read" if left else f"its sha256 is {actual[:16]}…, expected {info.sha256[:16]}…"
            raise BundleError(f"{path} has been altered or damaged: {said}", hint=AGAIN)
        if path.suffix == ".safetensors":
            try:
                file.seek(0)
                check_finite(file, read_header(file, size))
            except Malformed as error:
                raise BundleError(f"{path} {error}") from None
    return kept.getvalue()
