"""The content of ``manifest.json``, and reading it from untrusted sources: every field is checked before anything else
is opened.

The fields are those of ``zoo/schema/manifest-2.json``, or in version 1 those of ``manifest-1.json``; their consistency
with each other is checked here.
"""

from __future__ import annotations

import json
import math
import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from zoo import records, schema
from zoo.bundle.nearby import MANIFEST, hint_of
from zoo.bundle.plain import opened
from zoo.conditions import Condition
from zoo.density import Density, cannot_sample
from zoo.errors import BundleError, ZooError
from zoo.jsonfile import strict
from zoo.lengths import Length, length_from
from zoo.modality import Modality, misfit_of, modality_from
from zoo.modality import describe as describe_modality
from zoo.programs import Fused, Program, describe, fused_from, program_from
from zoo.programs.ports import Port

FORMAT = "genzoo-bundle"
#: the newest version of the format, and those that are read
VERSION, VERSIONS = 2, (1, 2)
_MAX_BYTES = 4 << 20
#: numbers in one sample
_MAX_EVENT = 1 << 28
#: names that Windows reserves for devices, with any suffix
_DEVICES = {"con", "prn", "aux", "nul", *(f"{d}{i}" for d in ("com", "lpt") for i in range(10))}


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
        sample: the program that samples, or None.
        log_prob: the program that scores, or None.
        fused: a whole run of ``sample`` in one call, or None.
        proof: the comparisons made when the bundle was written, with the largest differences and the tolerances.
        files: every file but the manifest itself, by name.
        created_by: the version that wrote it.
        batch: the fixed batch size of the graphs, or None for any.
        modality: the meaning of a sample's numbers, where its shape does not tell.
        length: how events of variable length say where they end, or None.
        precision: formats of weights and arithmetic other than float32, and their loss, or None.
    """

    model: Mapping[str, Any]
    event_shape: tuple[int, ...]
    condition: Condition | None
    levels: int | None
    licenses: Mapping[str, str]
    graphs: Mapping[str, GraphInfo]
    sample: Program | None
    log_prob: Program | None
    proof: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, FileInfo] = field(default_factory=dict)
    created_by: str = ""
    fused: Fused | None = None
    batch: int | None = None
    precision: Mapping[str, Any] | None = None
    modality: Modality | None = None
    length: Length | None = None

    @property
    def density(self) -> Density:
        """What its log-densities are."""
        return "none" if self.log_prob is None else self.log_prob.density_kind

    @property
    def sampling(self) -> Program:
        """The program that samples.

        Raises:
            UsageError: the model only scores.
        """
        if self.sample is None:
            raise cannot_sample(str(self.model.get("name", "this model")))
        return self.sample

    @property
    def main(self) -> Program:
        """The program that samples; of a model that only scores, the one that does that."""
        program = self.log_prob if self.sample is None else self.sample
        assert program is not None
        return program

    def to_json(self) -> str:
        """The file's content; the same manifest gives the same bytes.

        It is of the oldest version that has all that it states, so that no reader is asked for more than it needs.
        """
        values = {
            "format": {"name": FORMAT, "version": VERSIONS[0]},
            "created_by": self.created_by,
            "model": dict(self.model),
            "event_shape": list(self.event_shape),
            "condition": None if self.condition is None else self.condition.describe(),
            "levels": self.levels,
            **({} if self.modality is None else {"kind": describe_modality(self.modality)}),
            **({} if self.length is None else {"length": self.length.described()}),
            "licenses": dict(self.licenses),
            "noise": {"generator": "philox4x32-10", "normals": "box-muller", "specification": "zoo.noise"},
            "graphs": records.write(self.graphs),
            "programs": {
                "sample": None if self.sample is None else describe(self.sample),
                "log_prob": None if self.log_prob is None else describe(self.log_prob),
                **({} if self.fused is None else {"fused": describe(self.fused)}),
            },
            **({} if self.batch is None else {"batch": self.batch}),
            **({} if self.precision is None else {"precision": dict(self.precision)}),
            "proof": dict(self.proof),
            "files": records.write(dict(sorted(self.files.items()))),
        }
        text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
        try:
            schema.check(json.loads(text), f"manifest-{VERSIONS[0]}")
        except ValueError:
            values["format"] = {"name": FORMAT, "version": VERSION}
            text = json.dumps(values, indent=2, ensure_ascii=False) + "\n"
        return text

    @classmethod
    def from_json(cls, text: str, *, source: Path | str = MANIFEST) -> Manifest:
        """Read and validate.

        Raises:
            BundleError: not JSON, not a manifest, a newer format, or names that leave the folder.
        """
        try:
            values = strict(text)
        except (ValueError, RecursionError) as error:
            raise BundleError(f"{source} is not a manifest: {error}") from error
        if not isinstance(values, dict) or not isinstance(values.get("format"), dict):
            raise BundleError(f"{source} is not a manifest of a genzoo bundle")
        stated = values["format"]
        if stated.get("name") != FORMAT:
            raise BundleError(f"{source} is not a manifest of a genzoo bundle")
        version = stated.get("version")
        if isinstance(version, bool) or version not in VERSIONS:
            raise BundleError(
                f"{source} is of bundle format {version!r}; this version of genzoo reads {VERSION} and older",
                hint="pip install --upgrade genzoo",
            )
        try:
            schema.check(values, f"manifest-{version}")
            manifest = cls._from_values(values)
            for problem in manifest._problems():
                raise BundleError(problem)
        except (ZooError, ValueError, TypeError, OverflowError) as error:
            raise BundleError(f"{source} is not a valid manifest: {error}") from error
        return manifest

    @classmethod
    def _from_values(cls, values: Mapping[str, Any]) -> Manifest:
        """From values that match the schema."""
        condition, programs = values["condition"], values["programs"]
        return cls(
            model=values["model"],
            event_shape=tuple(values["event_shape"]),
            condition=None if condition is None else Condition.from_description(condition),
            levels=values["levels"],
            licenses=values["licenses"],
            graphs={name: records.read(GraphInfo, graph, f"graphs.{name}") for name, graph in values["graphs"].items()},
            sample=None if programs["sample"] is None else program_from(programs["sample"]),
            log_prob=None if programs["log_prob"] is None else program_from(programs["log_prob"]),
            proof=values["proof"],
            files={name: records.read(FileInfo, info, f"files.{name}") for name, info in values["files"].items()},
            created_by=values["created_by"],
            fused=fused_from(programs["fused"]) if "fused" in programs else None,
            batch=values.get("batch"),
            precision=values.get("precision"),
            modality=modality_from(values.get("kind")),
            length=length_from(values.get("length")),
        )

    def _problems(self) -> Iterator[str]:
        """Problems that the schema cannot express: inconsistencies between fields."""
        if math.prod(self.event_shape) > _MAX_EVENT:
            yield f"a sample of shape {self.event_shape} has more than {_MAX_EVENT} numbers"
        if self.length is not None and (misfit := self.length.misfit(self.event_shape)):
            yield f"its samples are of shape {list(self.event_shape)}, but {misfit}"
            return
        content = self.event_shape if self.length is None else self.length.content_shape(self.event_shape)
        if self.modality is not None and (misfit := misfit_of(self.modality, content, self.levels)):
            yield f"its samples are of shape {list(self.event_shape)}, but {misfit}"
        if self.sample is None and self.log_prob is None:
            yield "its model neither samples nor scores"
        if self.sample is None and self.fused is not None:
            yield "it has a fused run of a model that only scores"
        yield from self._problems_of_files()
        yield from self._problems_of_graphs()
        for what, program in (("sample", self.sample), ("log_prob", self.log_prob), ("fused", self.fused)):
            for name in () if program is None else program.graphs:
                if name not in self.graphs:
                    yield f"program {what} uses a missing graph {name!r}"

    def _problems_of_files(self) -> Iterator[str]:
        seen: dict[str, str] = {}
        for name in self.files:
            if (other := seen.setdefault(name.lower(), name)) != name:
                yield f"the files {other!r} and {name!r} are the same file on some systems"
            if name.lower() == MANIFEST or name.lower().partition(".")[0] in _DEVICES:
                yield f"it names a file {name!r}, which is not a plain file of the bundle"

    def _problems_of_graphs(self) -> Iterator[str]:
        seen: dict[str, str] = {}
        for name, graph in self.graphs.items():
            if graph.file not in self.files:
                yield f"graph {name} is in {graph.file}, which is not listed among the files"
            if (other := seen.setdefault(graph.file, name)) != name:
                yield f"graphs {other} and {name} are both in {graph.file}"
            for ports in (graph.inputs, graph.outputs):
                if len({port.name for port in ports}) != len(ports):
                    yield f"graph {name} has two inputs or outputs with the same name"


def read_manifest(folder: Path) -> Manifest:
    """Read and validate a bundle's manifest; the other files are not checked.

    Raises:
        BundleError: no manifest, or an unreadable one.
    """
    path = Path(folder) / MANIFEST
    if not os.path.lexists(path):
        raise BundleError(f"{folder} is not a bundle: it has no {MANIFEST}", hint=hint_of(Path(folder)))
    with opened(path) as (file, size):
        if size > _MAX_BYTES:
            raise BundleError(f"{path} is too large for a manifest: it has {size} bytes")
        raw = file.read(_MAX_BYTES)
    try:
        text = raw.decode("utf-8")
    except UnicodeDecodeError as error:
        raise BundleError(f"cannot read {path}: {error}") from error
    return Manifest.from_json(text, source=path)
