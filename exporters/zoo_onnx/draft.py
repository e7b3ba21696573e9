"""The files of a bundle, written from graphs: everything but the proof and its report."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx
import onnx_ir as ir

import zoo
from zoo import weights
from zoo.arrays import Array
from zoo.bundle import MANIFEST, TABLES, WEIGHTS, FileInfo, GraphInfo, Manifest, file_info
from zoo.errors import ProofError
from zoo.files import write_bytes
from zoo.modality import modality_from
from zoo.models.interface import GenerativeModel
from zoo.programs import Fused, Programs
from zoo.programs.ports import Port
from zoo.registry.cards import ModelCard
from zoo.samplers import StepTable
from zoo_onnx.fixed import fixed_ports
from zoo_onnx.fused import OWN, fuse, ports
from zoo_onnx.tables import tables
from zoo_onnx.weights import Store


@dataclass(frozen=True)
class Draft:
    """What a bundle is made from, independent of the form of its graphs.

    Attributes:
        model: as it is traced: in float32, on the CPU, with rounded weights if a precision was chosen.
        card: its description.
        programs: its programs.
        fused: the program of the fused graph, or None.
        table: the sampler of the fused graph, or None.
        state: the model's tensors by name, as they are stored, without those that only graphs hold.
    """

    model: GenerativeModel
    card: ModelCard
    programs: Programs
    fused: Fused | None
    table: StepTable | None
    state: Mapping[str, Array]

    def write(self, graphs: Sequence[ir.Model], folder: Path, *, batch: int | None = None) -> Manifest:
        """Write graphs, weights and tables, and return the manifest that describes them.

        Args:
            graphs: those of the programs, in order; afterwards they point into the weights file.
            folder: the target; existing files are replaced.
            batch: the fixed batch size of the graphs, or None.

        Raises:
            ProofError: a graph is not valid.
            OutputError: the folder cannot be written.
        """
        models = list(graphs)
        described = [
            (g.name, fixed_ports(g.inputs, batch), fixed_ports(g.outputs, batch)) for g in self.programs.graphs
        ]
        if self.fused is not None:
            sample = self.programs.sampling
            inner = next(m for m, g in zip(graphs, self.programs.graphs, strict=True) if g.name == sample.graph)
            event, condition, parts = tuple(self.model.event_shape), self.model.condition, self.model.takes_parts
            named = dict(zip((g.name for g in self.programs.graphs), graphs, strict=True))
            encoder = None if sample.condition_encoder is None else named[sample.condition_encoder]
            opset = inner.graph.opset_imports[""]
            noises = sample.noises({graph.name: graph for graph in self.programs.graphs})
            models.append(
                fuse(inner, sample, self.table, event, condition, opset, noises, parts=parts, encoder=encoder)
            )
            described.append((self.fused.graph, *ports(event, condition, parts=parts)))
        infos = _write_graphs(models, described, self.state, folder)
        if self.programs.sample is not None and self.programs.sample.tables():
            weights.write(folder / TABLES, tables(self.programs.sample.stepping("the model")))
        return with_files(dataclasses.replace(self._manifest(infos), batch=batch), folder)

    def _manifest(self, graphs: dict[str, GraphInfo]) -> Manifest:
        levels = self.card.data.get("levels")
        described = {"family": self.model.family, "parameters": sum(p.numel() for p in self.model.parameters())}
        if (origin := self.model.origin) is not None:
            described["origin"] = dict(origin)
        return Manifest(
            model={**stated(self.card), **described},
            event_shape=tuple(self.model.event_shape),
            condition=self.model.condition,
            levels=None if levels is None else int(levels),
            licenses=dict(self.card.license),
            graphs=graphs,
            sample=self.programs.sample,
            log_prob=self.programs.log_prob,
            created_by=f"genzoo {zoo.__version__}",
            fused=self.fused,
            modality=modality_from(self.card.data.get("kind")),
            length=self.model.length,
        )


def _write_graphs(
    models: list[ir.Model],
    described: list[tuple[str, tuple[Port, ...], tuple[Port, ...]]],
    state: Mapping[str, Array],
    folder: Path,
) -> dict[str, GraphInfo]:
    store = Store(state)
    for model in models:
        store.adopt(model, inline=OWN)
    store.write(folder / WEIGHTS)
    infos = {}
    for model, (name, inputs, outputs) in zip(models, described, strict=True):
        proto = ir.to_proto(model)
        proto.ir_version = _oldest_ir(model.graph.opset_imports[""])
        del proto.graph.value_info[:]
        path = folder / f"{name}.onnx"
        write_bytes(path, proto.SerializeToString(deterministic=True))
        try:
            onnx.checker.check_model(str(path), full_check=True)
        except (onnx.checker.ValidationError, onnx.shape_inference.InferenceError) as error:
            raise ProofError(f"graph {name} is not a valid ONNX graph: {str(error).splitlines()[0]}") from error
        infos[name] = GraphInfo(path.name, model.graph.opset_imports[""], proto.ir_version, inputs, outputs)
    return infos


def _oldest_ir(opset: int) -> int:
    """The oldest IR version that supports an opset, so that old runtimes can read the file."""
    version: int = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    return version


def stated(card: ModelCard) -> dict[str, object]:
    """The fields of a card that a manifest copies unchanged."""
    return {
        "name": card.name,
        "summary": card.summary,
        "architecture": card.architecture,
        "config": dict(card.config),
        "data": dict(card.data),
        "metrics": dict(card.metrics),
        "papers": list(card.papers),
        **({} if card.source is None else {"source": dict(card.source)}),
    }


def with_files(manifest: Manifest, folder: Path) -> Manifest:
    """The manifest with the sizes and digests of a folder's files."""
    files: dict[str, FileInfo] = {p.name: file_info(p) for p in sorted(folder.iterdir()) if p.name != MANIFEST}
    return dataclasses.replace(manifest, files=files)
