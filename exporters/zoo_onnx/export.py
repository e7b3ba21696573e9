"""The target ``onnx``: writes a bundle into a folder and proves it."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import onnx_ir as ir

from zoo import weights
from zoo.bundle import GOLDEN, MANIFEST, MODEL_CARD, Bundle, Manifest, open_bundle
from zoo.bundle.example import example_of, with_section
from zoo.counts import StageProgress
from zoo.errors import UsageError, ZooError
from zoo.files import write_text
from zoo.lazy import seldom_collected
from zoo.models.interface import GenerativeModel
from zoo.programs import Graph
from zoo.registry.cards import ModelCard
from zoo.runtime import BundledModel
from zoo.runtime.check import confirm
from zoo_onnx import precision, suspects
from zoo_onnx.draft import stated, with_files
from zoo_onnx.fixed import fix
from zoo_onnx.golden import golden, replay_golden
from zoo_onnx.graph_writing import compose, write
from zoo_onnx.model_card import model_card
from zoo_onnx.plan import OPSET, Plan, planned, reduced
from zoo_onnx.precision import loss
from zoo_onnx.precision.lower import lowered
from zoo_onnx.precision.quality import compared, measure
from zoo_onnx.precision.storage import store
from zoo_onnx.proof import Proof
from zoo_onnx.shared import Networks
from zoo_onnx.trace import trace

__all__ = ["OPSET", "export", "update_card", "verify"]


def export(
    model: GenerativeModel,
    card: ModelCard,
    folder: Path,
    *,
    opset: int | None = None,
    inverse: str | None = None,
    fused: Mapping[str, object] | None = None,
    dtype: str | None = None,
    quantize: str | None = None,
    bound: float | None = None,
    quality: bool = True,
    batch: int | None = None,
    without: Sequence[str] = (),
    progress: StageProgress | None = None,
) -> None:
    """Write a bundle into an empty folder and prove that it computes what the model computes.

    The model is not changed: a copy in float32, on the CPU and in evaluation mode, is exported.

    Args:
        model: the model.
        card: its description, which goes into the manifest and the model card.
        folder: an existing empty folder.
        opset: ONNX opset; None for :data:`OPSET`, or for the first that supports the options.
        inverse: how to write graphs that are written rather than traced, such as the inverse of an autoregressive
            flow: ``"unroll"`` or ``"loop"``; None for the model's first choice.
        fused: fields of :class:`~zoo_onnx.fused.Choice`, for one more graph that contains a whole sampler; None for no
            such graph.
        dtype: the format in which weights are stored, see :mod:`zoo_onnx.precision`.
        quantize: the integer format in which weights are stored, likewise.
        bound: the largest loss that either may cause, likewise.
        quality: whether to measure the card's class agreement and bits/dim again after that, if the card's data are
            available.
        batch: a fixed batch size of the graphs; None leaves it symbolic.
        without: programs or graphs to leave out, such as ``["log_prob"]``: the bundle then states no density.
        progress: called with (current stage, stages done, stages in all).

    Raises:
        UsageError, UnknownNameError: options that are wrong or exclude one another.
        ExportError: the model uses something that ONNX cannot express.
        ProofError: the bundle does not equal the model; discard the folder.
        OutputError: the folder cannot be written.
    """
    plan = planned(
        model,
        card,
        opset=opset,
        inverse=inverse,
        fused=fused,
        precision=precision.precision(dtype, quantize, bound),
        batch=batch,
        quality=quality,
        without=(without,) if isinstance(without, str) else tuple(without),
    )
    stages = _Stages(progress, plan.stages)
    with seldom_collected():
        proof = _prove_model(plan, stages)
        graphs = _trace(plan, stages)
        proven = _prove(plan, _write(plan, graphs, folder, stages), proof, stages)
        _finish(plan, _lower(plan, graphs, proven, stages), stages)
    stages.end()


@dataclass(frozen=True)
class _Written:
    """A bundle as far as it is written: a folder, and the manifest of its files."""

    folder: Path
    manifest: Manifest

    def opened(self) -> BundledModel:
        return BundledModel(Bundle(self.folder, self.manifest), "cpu")


@dataclass(frozen=True)
class _Proven:
    """A bundle and its proof."""

    bundle: _Written
    proof: Proof


def _prove_model(plan: Plan, stages: _Stages) -> Proof:
    """The proof that the model is what it declares; the proof of the bundle is added to it later."""
    stages.begin("proving the model in PyTorch")
    proof = Proof(plan.draft.model, plan.programs)
    with suspects.failing(plan.draft.model), suspects.named(proof):
        proof.itself()
    return proof


def _trace(plan: Plan, stages: _Stages) -> list[ir.Model]:
    """The graphs, with their weights in the format of the plan."""
    traced = []
    networks = Networks() if len(plan.programs.graphs) > 1 else None
    for graph in plan.programs.graphs:
        stages.begin(f"{'tracing' if plan.ways[graph.name] is None else 'writing'} graph {graph.name}")
        traced.append(graph_of(plan, graph, networks))
    if plan.precision is not None:
        format = plan.precision.format
        if not sum(store(each, format) for each in traced):
            raise UsageError(f"{plan.draft.card.name} has no weights to store in {format.name}")
    return traced


def graph_of(plan: Plan, graph: Graph, networks: Networks | None = None) -> ir.Model:
    """A graph of a plan, traced or written; ``networks`` are those that several graphs call, traced once."""
    way = plan.ways[graph.name]
    return _traced(graph, plan.opset, networks) if way is None else write(graph, way, plan.opset)


def _traced(graph: Graph, opset: int, networks: Networks | None = None) -> ir.Model:
    """A graph composed of parts that are alike, or traced as a whole."""
    if graph.composed is not None:
        # what a part cannot do alone, and what is wrong with it, is told of the whole
        with contextlib.suppress(ZooError):
            return compose(graph, opset)
    return trace(graph, opset, networks)


def _write(plan: Plan, graphs: Sequence[ir.Model], folder: Path, stages: _Stages) -> _Written:
    """Write the graphs, or copies if they are needed again: written ones point into the weights file."""
    stages.begin("writing")
    again = plan.lowers or plan.batch is not None
    return _Written(folder, plan.draft.write([each.clone() if again else each for each in graphs], folder))


def opened_of(plan: Plan, graphs: Sequence[ir.Model], folder: Path) -> BundledModel:
    """The bundle of a plan's graphs, written into an empty folder as far as it can be run, and opened."""
    return _write(plan, graphs, folder, _Stages(None, 1)).opened()


def _prove(plan: Plan, bundle: _Written, itself: Proof, stages: _Stages) -> _Proven:
    """Compare the bundle with the model: every graph, and every program."""
    proof = itself.of(bundle.opened())
    with suspects.named(proof):
        for graph in plan.programs.graphs:
            stages.begin(f"proving graph {graph.name}")
            proof.graph(graph)
        if plan.programs.sample is not None:
            stages.begin("proving sample")
            proof.sample()
        if plan.programs.log_prob is not None:
            stages.begin("proving log_prob")
            proof.log_prob()
        if plan.draft.fused is not None:
            stages.begin("proving the fused run")
            proof.fused(plan.draft.table)
    stages.say(proof.comparison.flips.told())
    for name, each in proof.comparison.nearer.items():
        stages.say(each.said(name))
    return _Proven(bundle, proof)


def _lower(plan: Plan, graphs: Sequence[ir.Model], proven: _Proven, stages: _Stages) -> _Proven:
    """Write the proven graphs with lower arithmetic, or for a fixed batch size, if either was requested.

    A fixed batch is proven again. Lowered arithmetic cannot be as close: its loss is measured instead.
    """
    if not plan.lowers and plan.batch is None:
        return proven
    forms = list(graphs)
    if plan.lowers and plan.precision is not None:
        stages.begin(f"lowering arithmetic to {plan.precision.arithmetic}")
        pairs = zip(graphs, plan.programs.graphs, strict=True)
        forms = [lowered(each, graph, plan.precision, plan.programs, proven.proof.inputs) for each, graph in pairs]
    if plan.batch is not None:
        for each in forms:
            fix(each, plan.batch)
    folder = proven.bundle.folder
    if plan.lowers:
        return _Proven(_Written(folder, plan.draft.write(forms, folder, batch=plan.batch)), proven.proof)
    stages.begin(f"proving batches of {plan.batch}")
    bundle = _Written(folder, plan.draft.write(forms, folder, batch=plan.batch))
    fixed = proven.proof.of(bundle.opened(), plan.batch)
    for graph in plan.programs.graphs:
        fixed.graph(graph)
    if plan.programs.sample is not None:
        fixed.sample()
    if plan.programs.log_prob is not None:
        fixed.log_prob()
    return _Proven(bundle, fixed)


def _finish(plan: Plan, proven: _Proven, stages: _Stages) -> None:
    """Write the description of the graphs: golden values, the model card and, last, the manifest."""
    draft, folder, proof = plan.draft, proven.bundle.folder, proven.proof
    stated_precision = _measure_loss(plan, proven.bundle, stages)
    arrays = golden(
        draft.model, plan.programs, proof.inputs, batch=plan.batch, fused=draft.fused is not None, table=draft.table
    )
    summary = proof.summary()
    if plan.lowers:
        arrays, tolerances = replay_golden(proven.bundle.opened(), arrays)
        summary = {**summary, "tolerances": tolerances}
    manifest = dataclasses.replace(proven.bundle.manifest, proof=summary, precision=stated_precision)
    weights.write(folder / GOLDEN, arrays)
    write_text(folder / MODEL_CARD, model_card(draft.card, manifest))
    write_text(folder / MANIFEST, with_files(manifest, folder).to_json())
    open_bundle(folder)  # our own bundles must pass the checks that any bundle must pass


def _measure_loss(plan: Plan, bundle: _Written, stages: _Stages) -> dict[str, object] | None:
    """The manifest's entry about the formats and their loss; None for float32.

    Raises:
        ProofError: the loss exceeds the bound.
    """
    if plan.precision is None:
        return None
    stages.begin("measuring the loss")
    costs = loss.measure(plan.original, reduced(plan.original.programs(), plan.without), bundle.opened())
    loss.check(costs, plan.precision.bound, plan.precision.name)
    if plan.quality:
        metrics, told = measure(plan.draft.card, bundle.opened())
        costs |= metrics
        stages.say("; ".join(each for each in (told, compared(plan.draft.card, metrics)) if each))
    return plan.precision.describe(costs)


def verify(folder: Path) -> str:
    """Replay a bundle's golden values.

    Raises:
        ProofError: they differ on this machine.
        BundleError: the bundle is incomplete.
    """
    report = confirm(open_bundle(folder))
    return f"{sum(row.cases for row in report.rows)} golden outputs replayed"


class _Stages:
    """Reports the current stage to ``progress``."""

    def __init__(self, progress: StageProgress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, -1

    def begin(self, what: str) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(what, self._done, self._total)

    def say(self, what: str) -> None:
        """Report something about the current stage."""
        if self._progress is not None and what:
            self._progress(what, self._done, self._total)

    def end(self) -> None:
        if self._progress is not None:
            self._progress("done", self._total, self._total)


def update_card(folder: Path, card: ModelCard) -> None:
    """Update a bundle's description of its model after its card has changed; graphs, weights and proof stay.

    Args:
        folder: a bundle.
        card: of the same model, with new metrics for example.

    Raises:
        BundleError: the bundle is incomplete.
        OutputError: the folder cannot be written.
    """
    manifest = open_bundle(folder).manifest
    manifest = dataclasses.replace(manifest, model={**manifest.model, **stated(card)}, licenses=dict(card.license))
    text, example = model_card(card, manifest), example_of(Bundle(folder, manifest))
    if manifest.condition is not None and example is not None:
        text = with_section(text, manifest.condition, example)
    write_text(folder / MODEL_CARD, text)
    write_text(folder / MANIFEST, with_files(manifest, folder).to_json())
