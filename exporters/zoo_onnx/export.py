"""The target ``onnx``: fills a folder with a bundle, and proves it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import onnx
import onnx_ir as ir

import zoo
from zoo import weights
from zoo.bundle import (
    GOLDEN,
    MANIFEST,
    MODEL_CARD,
    TABLES,
    WEIGHTS,
    Bundle,
    FileInfo,
    GraphInfo,
    Manifest,
    file_info,
    open_bundle,
)
from zoo.cards import ModelCard
from zoo.errors import ExportError, ProofError, UsageError
from zoo.files import write_bytes, write_text
from zoo.model import GenerativeModel
from zoo.programs import Direct, Fused, Iterate, Port, Programs
from zoo.registry import installed
from zoo.runtime import BundledModel
from zoo.samplers import StepTable
from zoo_onnx.fused import OWN, Choice, fuse, fused_program, ports
from zoo_onnx.golden import golden
from zoo_onnx.model_card import model_card
from zoo_onnx.proof import Proof
from zoo_onnx.tables import tables
from zoo_onnx.trace import trace
from zoo_onnx.weights import Store

#: opset 18 is the most portable, and the fastest on CPUs
OPSET = 18
_OPSETS = range(18, 24)

Progress = Callable[[str, int, int], None]


def export(
    model: GenerativeModel,
    card: ModelCard,
    folder: Path,
    *,
    opset: int = OPSET,
    fused: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> None:
    """Write a bundle into an empty folder, and prove that it computes what the model computes.

    The model is not changed: a copy of it in float32, on the CPU and in evaluation mode is what is exported.

    Args:
        model: the model.
        card: what is known of it; goes into the manifest and the model card.
        folder: exists, and is empty.
        opset: ONNX opset.
        fused: fields of :class:`~zoo_onnx.fused.Choice`, for one more graph that holds the whole of a sampler; None for
            no such graph.
        progress: called with (what is being done, parts done, parts in all).

    Raises:
        UsageError: an opset or a fused sampler that cannot be written.
        ExportError: the model uses something that ONNX cannot express.
        ProofError: what was written does not equal the model; the folder is to be thrown away.
        OutputError: the folder cannot be written.
    """
    if opset not in _OPSETS:
        raise UsageError(f"opset {opset} cannot be written", hint=f"There are {_OPSETS[0]} to {_OPSETS[-1]}.")
    frozen = _frozen(model)
    programs = frozen.programs()
    _check_names(programs)
    run, table = (None, None) if fused is None else fused_program(programs, Choice(**fused), installed().samplers())
    stages = _Stages(progress, 2 * len(programs.graphs) + (3 if programs.log_prob else 2) + (run is not None))

    traced = []
    for graph in programs.graphs:
        stages.begin(f"tracing graph {graph.name}")
        traced.append(trace(graph, opset))
    stages.begin("writing")
    described = [(graph.name, graph.inputs, graph.outputs) for graph in programs.graphs]
    if run is not None:
        traced.append(_fused(frozen, programs, traced, table, opset))
        described.append((run.graph, *ports(tuple(frozen.event_shape), frozen.condition)))
    graphs = _write_graphs(traced, described, weights.state_arrays(frozen), folder)
    if isinstance(programs.sample, Iterate):
        weights.write(folder / TABLES, tables(programs.sample))
    manifest = _manifest(frozen, card, programs, graphs, run)

    proof = Proof(frozen, programs, BundledModel(Bundle(folder, _with_files(manifest, folder)), "cpu"))
    for graph in programs.graphs:
        stages.begin(f"proving graph {graph.name}")
        proof.graph(graph)
    stages.begin("proving sample")
    proof.sample()
    if programs.log_prob is not None:
        stages.begin("proving log_prob")
        proof.log_prob()
    if run is not None:
        stages.begin("proving the fused run")
        proof.fused(table)
    weights.write(folder / GOLDEN, golden(frozen, programs, proof.inputs, fused=run is not None, table=table))
    manifest = dataclasses.replace(manifest, proof=proof.summary())
    write_text(folder / MODEL_CARD, model_card(card, manifest))
    write_text(folder / MANIFEST, _with_files(manifest, folder).to_json())
    open_bundle(folder)  # what a stranger's bundle is refused for, ours is refused for here
    stages.end()


class _Stages:
    """Tells ``progress`` what is being done."""

    def __init__(self, progress: Progress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, -1

    def begin(self, what: str) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(what, self._done, self._total)

    def end(self) -> None:
        if self._progress is not None:
            self._progress("done", self._total, self._total)


def _frozen(model: GenerativeModel) -> GenerativeModel:
    try:
        return copy.deepcopy(model).to("cpu").float().eval().requires_grad_(False)
    except (RuntimeError, TypeError) as error:
        raise ExportError(f"the model cannot be copied: {error}") from error


def _check_names(programs: Programs) -> None:
    names = [g.name for g in programs.graphs]
    if len(set(names)) != len(names):
        raise ExportError(f"two graphs have one name: {', '.join(sorted(names))}")
    for name in names:
        if not name.replace("-", "_").isidentifier() or not name.isascii():
            raise ExportError(f"a graph is named {name!r}, which is no file name for every system")
    for program in (programs.sample, programs.log_prob):
        if program is not None and program.graph not in names:
            raise ExportError(f"a program uses a graph {program.graph!r} that the model does not have")


def _fused(
    model: GenerativeModel, programs: Programs, traced: list[ir.Model], table: StepTable | None, opset: int
) -> ir.Model:
    sample = programs.sample
    assert isinstance(sample, (Direct, Iterate))
    (inner,) = (t for t, graph in zip(traced, programs.graphs, strict=True) if graph.name == sample.graph)
    return fuse(inner, sample, table, tuple(model.event_shape), model.condition, opset)


def _write_graphs(
    models: list[ir.Model],
    described: list[tuple[str, tuple[Port, ...], tuple[Port, ...]]],
    state: dict[str, Any],
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
            raise ProofError(f"graph {name} is no valid ONNX graph: {str(error).splitlines()[0]}") from error
        infos[name] = GraphInfo(path.name, model.graph.opset_imports[""], proto.ir_version, inputs, outputs)
    return infos


def _oldest_ir(opset: int) -> int:
    """The oldest ONNX file format that knows an opset, so that old runtimes read the file too."""
    version: int = onnx.helper.find_min_ir_version_for([onnx.helper.make_opsetid("", opset)])
    return version


def _manifest(
    model: GenerativeModel, card: ModelCard, programs: Programs, graphs: dict[str, GraphInfo], fused: Fused | None
) -> Manifest:
    levels = card.data.get("levels")
    return Manifest(
        model={**_stated(card), "family": model.family, "parameters": sum(p.numel() for p in model.parameters())},
        event_shape=tuple(model.event_shape),
        condition=model.condition,
        levels=None if levels is None else int(levels),
        licenses=dict(card.license),
        graphs=graphs,
        sample=programs.sample,
        log_prob=programs.log_prob,
        created_by=f"genzoo {zoo.__version__}",
        fused=fused,
    )


def _stated(card: ModelCard) -> dict[str, Any]:
    """What a manifest takes from a card as it is."""
    return {
        "name": card.name,
        "summary": card.summary,
        "architecture": card.architecture,
        "config": dict(card.config),
        "data": dict(card.data),
        "metrics": dict(card.metrics),
        "papers": list(card.papers),
    }


def restate(folder: Path, card: ModelCard) -> None:
    """Rewrite what a bundle says of its model, after its card has changed; graphs, weights and proof stay.

    Args:
        folder: a bundle.
        card: of the same model, with other metrics, say.

    Raises:
        BundleError: the bundle is not whole.
        OutputError: the folder cannot be written.
    """
    manifest = open_bundle(folder).manifest
    manifest = dataclasses.replace(manifest, model={**manifest.model, **_stated(card)}, licenses=dict(card.license))
    write_text(folder / MODEL_CARD, model_card(card, manifest))
    write_text(folder / MANIFEST, _with_files(manifest, folder).to_json())


def _with_files(manifest: Manifest, folder: Path) -> Manifest:
    files: dict[str, FileInfo] = {p.name: file_info(p) for p in sorted(folder.iterdir()) if p.name != MANIFEST}
    return dataclasses.replace(manifest, files=files)
