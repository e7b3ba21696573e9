"""The target ``onnx``: fills a folder with a bundle, and proves it."""

from __future__ import annotations

import copy
import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import onnx_ir as ir

from zoo import weights
from zoo.bundle import GOLDEN, MANIFEST, MODEL_CARD, Bundle, Manifest, open_bundle
from zoo.errors import ExportError, UnknownNameError, UsageError
from zoo.files import write_text
from zoo.models.interface import GenerativeModel
from zoo.programs import Programs
from zoo.progress import StageProgress
from zoo.registry import installed
from zoo.registry.cards import ModelCard
from zoo.runtime import BundledModel
from zoo.runtime.check import confirm
from zoo_onnx.draft import Draft, stated, with_files
from zoo_onnx.fixed import fix
from zoo_onnx.fused import Choice, fused_program
from zoo_onnx.golden import golden, replay_golden
from zoo_onnx.graph_writing import write
from zoo_onnx.model_card import model_card
from zoo_onnx.precision import Precision, loss, precision
from zoo_onnx.precision.lower import calibrated, lowered
from zoo_onnx.precision.number_formats import Integers
from zoo_onnx.precision.quality import compared, measure
from zoo_onnx.precision.storage import store
from zoo_onnx.proof import Proof
from zoo_onnx.trace import trace

#: opset 18 is the most portable, and the fastest on CPUs
OPSET = 18
_OPSETS = range(18, 24)
_LARGEST_BATCH = 1 << 16


def export(
    model: GenerativeModel,
    card: ModelCard,
    folder: Path,
    *,
    opset: int | None = None,
    inverse: str | None = None,
    fused: Mapping[str, Any] | None = None,
    dtype: str | None = None,
    quantize: str | None = None,
    bound: float | None = None,
    quality: bool = True,
    batch: int | None = None,
    progress: StageProgress | None = None,
) -> None:
    """Write a bundle into an empty folder, and prove that it computes what the model computes.

    The model is not changed: a copy of it in float32, on the CPU and in evaluation mode is what is exported.

    Args:
        model: the model.
        card: what is known of it; goes into the manifest and the model card.
        folder: exists, and is empty.
        opset: ONNX opset; None is :data:`OPSET`, or the first that has what is asked for.
        inverse: how graphs that are written rather than traced are written, such as the inverse of an autoregressive
            flow: ``"unroll"`` or ``"loop"``; None for what the model names first.
        fused: fields of :class:`~zoo_onnx.fused.Choice`, for one more graph that holds the whole of a sampler; None for
            no such graph.
        dtype: what weights are stored in, see :mod:`zoo_onnx.precision`.
        quantize: integers that weights are stored in, likewise.
        bound: the loss that either may cost, likewise.
        quality: whether the card's class agreement and bits/dim are measured again after that, where the card's data
            can be had.
        batch: the one size of batch that the graphs take; None leaves it open.
        progress: called with (what is being done, parts done, parts in all).

    Raises:
        UsageError, UnknownNameError: options that are wrong or exclude one another.
        ExportError: the model uses something that ONNX cannot express.
        ProofError: what was written does not equal the model; the folder is to be thrown away.
        OutputError: the folder cannot be written.
    """
    chosen = precision(dtype, quantize, bound)
    opset = _opset(opset, chosen)
    _check_batch(batch, fused is not None)
    original = frozen = _frozen(model)
    state = weights.state_arrays(frozen)
    if chosen is not None:
        frozen = copy.deepcopy(original)
        state = _rounded(frozen, chosen)
    programs = frozen.programs()
    _check_names(programs)
    ways = _ways(programs, inverse)
    run, table = (None, None) if fused is None else fused_program(programs, Choice(**fused), installed().samplers())
    chosen = _possible(chosen, programs, written=any(ways.values()))
    draft = Draft(frozen, card, programs, run, table, state)
    lowers = chosen is not None and chosen.arithmetic != "float32"
    parts = 2 * len(programs.graphs) + (4 if programs.log_prob else 3) + (run is not None)
    stages = _Stages(progress, parts + (chosen is not None) + (lowers or batch is not None))

    stages.begin("proving the model in PyTorch")
    itself = Proof(frozen, programs)
    itself.itself()
    traced = []
    for graph in programs.graphs:
        if (way := ways[graph.name]) is None:
            stages.begin(f"tracing graph {graph.name}")
            traced.append(trace(graph, opset))
        else:
            stages.begin(f"writing graph {graph.name}")
            traced.append(write(graph, way, opset))
    if chosen is not None and not sum(store(each, chosen.format) for each in traced):
        raise UsageError(f"{card.name} has no weights to store in {chosen.format.name}")
    stages.begin("writing")
    kept = [each.clone() for each in traced]  # the files that the others point into are written anew
    manifest = draft.write(traced, folder)

    proof = itself.of(BundledModel(Bundle(folder, manifest), "cpu"))
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

    if chosen is not None and lowers:
        stages.begin(f"lowering arithmetic to {chosen.arithmetic}")
        pairs = zip(kept, programs.graphs, strict=True)
        kept = [lowered(each, graph, chosen, programs, proof.inputs) for each, graph in pairs]
    if lowers or batch is not None:
        manifest, proof = _write_variant(draft, kept, folder, batch, proof, exact=not lowers, stages=stages)
    if chosen is not None:
        stages.begin("measuring the loss")
        stated_loss = loss.measure(original, original.programs(), BundledModel(Bundle(folder, manifest), "cpu"))
        loss.check(stated_loss, chosen.bound, chosen.name)
        if quality:
            found, missing = measure(card, BundledModel(Bundle(folder, manifest), "cpu"))
            stated_loss |= found
            stages.say(missing or compared(card, found))
        manifest = dataclasses.replace(manifest, precision=chosen.describe(stated_loss))
    arrays = golden(frozen, programs, proof.inputs, batch=batch, fused=run is not None, table=table)
    manifest = dataclasses.replace(manifest, proof=proof.summary())
    if lowers:
        arrays, tolerances = replay_golden(BundledModel(Bundle(folder, manifest), "cpu"), arrays)
        manifest = dataclasses.replace(manifest, proof={**manifest.proof, "tolerances": tolerances})
    weights.write(folder / GOLDEN, arrays)
    write_text(folder / MODEL_CARD, model_card(card, manifest))
    write_text(folder / MANIFEST, with_files(manifest, folder).to_json())
    open_bundle(folder)  # what a stranger's bundle is refused for, ours is refused for here
    stages.end()


def verify(folder: Path) -> str:
    """Replay a bundle's golden values.

    Raises:
        ProofError: they come out differently here.
        BundleError: the bundle is not whole.
    """
    report = confirm(open_bundle(folder))
    return f"{sum(row.cases for row in report.rows)} golden outputs replayed"


def _opset(asked: int | None, chosen: Precision | None) -> int:
    least = OPSET if chosen is None else max(OPSET, chosen.opset)
    opset = least if asked is None else asked
    if opset not in _OPSETS:
        raise UsageError(f"opset {opset} cannot be written", hint=f"There are {_OPSETS[0]} to {_OPSETS[-1]}.")
    if chosen is not None and opset < chosen.opset:
        raise UsageError(f"{chosen.name} needs opset {chosen.opset}, not {opset}")
    return opset


def _possible(chosen: Precision | None, programs: Programs, *, written: bool) -> Precision | None:
    """The choice, with arithmetic in float32 where lowering it would leave a flow's two directions no inverses."""
    if chosen is None:
        return None
    if written and chosen.arithmetic == "int8-dynamic":
        raise UsageError(
            "the small steps of this model's inverse stay in float32: int8-dynamic would change its density alone",
            hint="int8-weights stores its weights in 8 bits.",
        )
    weights_only = written if chosen.arithmetic == "float16" else not calibrated(programs)
    if chosen.arithmetic in ("float16", "int8") and weights_only:
        return dataclasses.replace(chosen, arithmetic="float32")
    return chosen


def _check_batch(batch: int | None, fused: bool) -> None:
    if batch is None:
        return
    if isinstance(batch, bool) or not isinstance(batch, int) or not 1 <= batch <= _LARGEST_BATCH:
        raise UsageError(f"the batch is a whole number from 1 to {_LARGEST_BATCH}, not {batch!r}")
    if fused:
        raise UsageError("a fused graph takes the number of samples as an input: it has no fixed batch")


def _rounded(model: GenerativeModel, chosen: Precision) -> dict[str, Any]:
    """Round a model's weights in place, and return what the weights file has of them."""
    names = chosen.format.round(model)
    if not names:
        raise UsageError(f"the model has no weights to store in {chosen.format.name}")
    state = weights.state_arrays(model)
    if isinstance(chosen.format, Integers):
        return {name: array for name, array in state.items() if name not in names}
    dtype = chosen.format.dtype
    return {name: array.astype(dtype) if name in names else array for name, array in state.items()}


def _write_variant(
    draft: Draft,
    graphs: list[ir.Model],
    folder: Path,
    batch: int | None,
    proof: Proof,
    *,
    exact: bool,
    stages: _Stages,
) -> tuple[Manifest, Proof]:
    """Write other forms of proven graphs; of those that should compute the same, prove that they do.

    What is lowered cannot be as near: its loss is measured by whoever asked for it.
    """
    if batch is not None:
        for each in graphs:
            fix(each, batch)
    if not exact:
        return draft.write(graphs, folder, batch=batch), proof
    stages.begin(f"proving batches of {batch}")
    manifest = draft.write(graphs, folder, batch=batch)
    fixed = proof.of(BundledModel(Bundle(folder, manifest), "cpu"), batch)
    for graph in draft.programs.graphs:
        fixed.graph(graph)
    fixed.sample()
    fixed.log_prob()
    return manifest, fixed


class _Stages:
    """Tells ``progress`` what is being done."""

    def __init__(self, progress: StageProgress | None, total: int) -> None:
        self._progress, self._total, self._done = progress, total, -1

    def begin(self, what: str) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(what, self._done, self._total)

    def say(self, what: str) -> None:
        """Tell something of the part that is being done."""
        if self._progress is not None and what:
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
        for graph in () if program is None else program.graphs:
            if graph not in names:
                raise ExportError(f"a program uses a graph {graph!r} that the model does not have")


def _ways(programs: Programs, inverse: str | None) -> dict[str, str | None]:
    """How each graph is written; None for those that are traced."""
    known = {graph.name: list(graph.written) for graph in programs.graphs}
    if inverse is not None and inverse not in (names := sorted({way for ways in known.values() for way in ways})):
        if not names:
            raise UsageError(
                "this model samples and scores without many small steps: there is no way to write them to choose",
                hint="Leave --inverse out.",
            )
        raise UnknownNameError("way to write an inverse", inverse, names)
    return {name: (inverse or ways[0]) if ways else None for name, ways in known.items()}


def update_card(folder: Path, card: ModelCard) -> None:
    """Rewrite what a bundle says of its model, after its card has changed; graphs, weights and proof stay.

    Args:
        folder: a bundle.
        card: of the same model, with other metrics, say.

    Raises:
        BundleError: the bundle is not whole.
        OutputError: the folder cannot be written.
    """
    manifest = open_bundle(folder).manifest
    manifest = dataclasses.replace(manifest, model={**manifest.model, **stated(card)}, licenses=dict(card.license))
    write_text(folder / MODEL_CARD, model_card(card, manifest))
    write_text(folder / MANIFEST, with_files(manifest, folder).to_json())
