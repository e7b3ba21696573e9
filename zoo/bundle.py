"""A bundle: the exported folder, and its manifest. No torch, no onnx, no onnxruntime.

::

    manifest.json          what this module reads and writes; names every other file with its size and sha256
    <graph>.onnx           one file a graph; large constants point into weights.safetensors
    weights.safetensors    every weight once, under its name in the PyTorch model; constants that only graphs
                           need (folded, inverted) under names that begin with "graph:"
    tables.safetensors     step tables of iterated programs, for runtimes that do not make their own
    golden.safetensors     inputs and outputs to replay on the machine at hand
    MODEL_CARD.md          for people
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from zoo.conditions import Condition
from zoo.errors import BundleError
from zoo.files import sha256
from zoo.programs import Port, Program, describe, program_from

MANIFEST = "manifest.json"
WEIGHTS = "weights.safetensors"
TABLES = "tables.safetensors"
GOLDEN = "golden.safetensors"
MODEL_CARD = "MODEL_CARD.md"
FORMAT = "genzoo-bundle"
VERSION = 1
_MAX_MANIFEST_BYTES = 4 << 20


@dataclass(frozen=True)
class GraphInfo:
    """One ONNX file of a bundle."""

    file: str
    opset: int
    ir_version: int
    inputs: tuple[Port, ...]
    outputs: tuple[Port, ...]


@dataclass(frozen=True)
class FileInfo:
    """Size in bytes and SHA-256 of a file."""

    size: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """The content of ``manifest.json``.

    Attributes:
        model: name, summary, family, architecture, config, parameters, papers, metrics: for people and for reloading.
        event_shape: shape of one sample.
        condition: what it is conditioned on, or None.
        levels: number of values of discrete data, or None.
        licenses: ``{"code": SPDX, "weights": SPDX}``.
        graphs: by name.
        sample: the program that samples.
        log_prob: the program that scores, or None.
        proof: what was compared when the bundle was written, with the largest differences and the tolerances.
        files: every file but the manifest itself, by name.
        created_by: the version that wrote it.
    """

    model: Mapping[str, Any]
    event_shape: tuple[int, ...]
    condition: Condition | None
    levels: int | None
    licenses: Mapping[str, str]
    graphs: Mapping[str, GraphInfo]
    sample: Program
    log_prob: Program | None
    proof: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, FileInfo] = field(default_factory=dict)
    created_by: str = ""

    def to_json(self) -> str:
        """The file's content; the same manifest gives the same bytes."""
        values = {
            "format": {"name": FORMAT, "version": VERSION},
            "created_by": self.created_by,
            "model": dict(self.model),
            "event_shape": list(self.event_shape),
            "condition": None if self.condition is None else self.condition.describe(),
            "levels": self.levels,
            "licenses": dict(self.licenses),
            "noise": {"generator": "philox4x32-10", "normals": "box-muller", "specification": "zoo.noise"},
            "graphs": {name: asdict(graph) for name, graph in self.graphs.items()},
            "programs": {
                "sample": describe(self.sample),
                "log_prob": None if self.log_prob is None else describe(self.log_prob),
            },
            "proof": dict(self.proof),
            "files": {name: asdict(info) for name, info in sorted(self.files.items())},
        }
        return json.dumps(values, indent=2, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str, *, source: Path | str = MANIFEST) -> Manifest:
        """Read and validate.

        Raises:
            BundleError: not JSON, not a manifest, a newer format, or names that leave the folder.
        """
        try:
            values = json.loads(text, object_pairs_hook=_no_duplicates, parse_constant=_no_constants)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{source} is not a manifest: {error}") from error
        if not isinstance(values, dict) or not isinstance(values.get("format"), dict):
            raise BundleError(f"{source} is not a manifest of a genzoo bundle")
        stated = values["format"]
        if stated.get("name") != FORMAT:
            raise BundleError(f"{source} is not a manifest of a genzoo bundle")
        if stated.get("version") != VERSION:
            raise BundleError(
                f"{source} is of bundle format {stated.get('version')!r}; this version of genzoo reads {VERSION}",
                hint="pip install --upgrade genzoo",
            )
        try:
            manifest = cls(
                model=_table(values["model"]),
                event_shape=tuple(_size(d) for d in values["event_shape"]),
                condition=None if values["condition"] is None else Condition.from_description(values["condition"]),
                levels=None if values["levels"] is None else _size(values["levels"]),
                licenses=_table(values["licenses"]),
                graphs={
                    name: GraphInfo(
                        file=str(g["file"]),
                        opset=_size(g["opset"]),
                        ir_version=_size(g["ir_version"]),
                        inputs=tuple(_port(p) for p in g["inputs"]),
                        outputs=tuple(_port(p) for p in g["outputs"]),
                    )
                    for name, g in _table(values["graphs"]).items()
                },
                sample=program_from(values["programs"]["sample"]),
                log_prob=None
                if values["programs"]["log_prob"] is None
                else program_from(values["programs"]["log_prob"]),
                proof=_table(values["proof"]),
                files={n: FileInfo(_size(f["size"]), str(f["sha256"])) for n, f in _table(values["files"]).items()},
                created_by=str(values["created_by"]),
            )
        except BundleError:
            raise
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise BundleError(f"{source} is not a whole manifest: {type(error).__name__} {error}") from error
        manifest._check_names(source)
        return manifest

    def _check_names(self, source: Path | str) -> None:
        for name in (*self.files, *(g.file for g in self.graphs.values())):
            if not name or name in (".", "..") or any(c in name for c in "/\\:\0") or name == MANIFEST:
                raise BundleError(f"{source} names a file {name!r}, which is not a plain file of the bundle")
        for graph in self.graphs.values():
            if graph.file not in self.files:
                raise BundleError(f"{source} does not list {graph.file} among its files")
        for program in (self.sample, self.log_prob):
            if program is not None and program.graph not in self.graphs:
                raise BundleError(f"{source} uses a graph {program.graph!r} that it does not have")


@dataclass(frozen=True)
class Bundle:
    """An opened bundle whose files are those that its manifest names."""

    folder: Path
    manifest: Manifest

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


def read_manifest(folder: Path) -> Manifest:
    """Read and validate a bundle's manifest; the other files are not looked at.

    Raises:
        BundleError: no manifest, or one that cannot be read.
    """
    path = Path(folder) / MANIFEST
    try:
        if path.stat().st_size > _MAX_MANIFEST_BYTES:
            raise BundleError(f"{path} is larger than any manifest")
        text = path.read_text("utf-8")
    except FileNotFoundError as error:
        raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise BundleError(f"cannot read {path}: {error}") from error
    return Manifest.from_json(text, source=path)


def open_bundle(folder: Path) -> Bundle:
    """Open a bundle and check every file against the manifest.

    Raises:
        BundleError: no manifest, or a file that is missing, a link, truncated or altered.
    """
    folder = Path(folder)
    manifest = read_manifest(folder)
    for name, info in manifest.files.items():
        _check_file(folder / name, info)
    return Bundle(folder, manifest)


def _check_file(path: Path, info: FileInfo) -> None:
    if path.is_symlink() or not path.is_file():
        what = "is a link, which bundles may not hold" if path.is_symlink() else "is missing"
        raise BundleError(f"{path} {what}")
    size = path.stat().st_size
    if size != info.size:
        raise BundleError(f"{path} has {size} bytes, expected {info.size}", hint="Copy or export the bundle again.")
    if (actual := sha256(path)) != info.sha256:
        raise BundleError(
            f"{path} has been altered or damaged: its sha256 is {actual[:16]}…, expected {info.sha256[:16]}…",
            hint="Copy or export the bundle again.",
        )


def file_info(path: Path) -> FileInfo:
    """Size and digest of a file as a manifest states them."""
    return FileInfo(path.stat().st_size, sha256(path))


def _port(fields: Mapping[str, Any]) -> Port:
    shape = tuple(d if isinstance(d, str) else _size(d) for d in fields["shape"])
    return Port(str(fields["name"]), str(fields["dtype"]), shape, str(fields.get("meaning", "")))


def _size(value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or not 0 <= value < 2**48:
        raise ValueError(f"{value!r} is not a size")
    return value


def _table(value: Any) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise TypeError(f"{value!r} is not a table")
    return value


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    table = dict(pairs)
    if len(table) != len(pairs):
        raise ValueError("a key stands twice")
    return table


def _no_constants(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")
