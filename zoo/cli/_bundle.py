"""The description of a bundle: its graphs and programs, their precision, and their proof."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from zoo.bundle import Bundle, GraphInfo, Manifest
from zoo.bundle.example import example_of, told
from zoo.cli._text import counted, size
from zoo.programs.ports import Port


def described(bundle: Bundle) -> dict[str, Any]:
    """The bundle's part of ``zoo show --json``."""
    manifest = bundle.manifest
    return {
        "folder": bundle.folder,
        "graphs": sorted(manifest.graphs),
        "programs": json.loads(manifest.to_json())["programs"],
        "scores": manifest.log_prob is not None,
        "batch": manifest.batch,
        "example": _example(bundle),
        "precision": manifest.precision,
        "proof": dict(manifest.proof),
        "size": sum(info.size for info in manifest.files.values()),
        "created_by": manifest.created_by,
    }


def explained(bundle: Bundle) -> list[tuple[str, str | list[str]]]:
    """The same for people: names and lines."""
    manifest = bundle.manifest
    whole = size(sum(info.size for info in manifest.files.values()))
    return [
        ("bundle", f"{bundle.folder}, {whole} in {counted(len(manifest.files), 'files')}, by {manifest.created_by}"),
        ("graphs", [_graph(name, graph) for name, graph in manifest.graphs.items()]),
        ("samples by", _sampling(manifest)),
        ("scores by", _scoring(manifest)),
        ("example", "; ".join(f"{name}: {text}" for name, text in (_example(bundle) or {}).items())),
        ("batch", "any" if manifest.batch is None else f"{manifest.batch}, filled up and cut off as needed"),
        ("precision", _precision(manifest.precision)),
        ("proven", _proof(manifest.proof)),
    ]


def _example(bundle: Bundle) -> dict[str, str] | None:
    """The example in words, by the names of its parts; None if there is none."""
    condition, example = bundle.manifest.condition, example_of(bundle)
    return None if condition is None or example is None else told(condition, example)


def _graph(name: str, graph: GraphInfo) -> str:
    return f"{name} (opset {graph.opset}): {_ports(graph.inputs)} → {_ports(graph.outputs)}"


def _ports(ports: tuple[Port, ...]) -> str:
    return ", ".join(port.name for port in ports)


def _sampling(manifest: Manifest) -> list[str]:
    if manifest.sample is None:
        return ["nothing: this model only scores"]
    return [program.summary() for program in (manifest.sample, manifest.fused) if program is not None]


def _scoring(manifest: Manifest) -> str:
    return "nothing: this model does not score" if manifest.log_prob is None else manifest.log_prob.summary()


def _precision(precision: Mapping[str, Any] | None) -> str:
    if precision is None:
        return "float32"
    losses = ", ".join(f"{name} {value:.2g}" for name, value in precision["loss"].items())
    return f"weights {precision['weights']}, arithmetic {precision['arithmetic']}; relative loss: {losses}"


def _proof(proof: Mapping[str, Any]) -> str:
    differences = proof.get("largest_differences")
    if not differences:
        return ""
    what = max(differences, key=differences.__getitem__)
    # a manifest may leave the others out
    cases = counted(proof["cases"], "cases") if "cases" in proof else "cases"
    where = "".join(f" {preposition} {name} {proof[key]}" for preposition, name, key in _MADE_WITH if key in proof)
    tolerated = f", {proof['tolerance']:.1e} tolerated" if "tolerance" in proof else ""
    judged = len(proof.get("judged_by_float64", {}))
    let_through = f", {judged} more let through by float64" if judged else ""
    flipped = proof.get("symbols", {}).get("flipped")
    let_through += f", {flipped} samples with another symbol where two are equal up to rounding" if flipped else ""
    if crossed := proof.get("crossed_edges"):
        let_through += f", {crossed} samples that differ from the edge of two levels on"
    if nearer := proof.get("nearer"):
        share = min(each["share"] for each in nearer.values())
        let_through += f", noise beyond what is drawn compared down to {share:g} times"
    apart = f"at most {differences[what]:.1e} apart ({what}){tolerated}{let_through}"
    return f"{cases}{where}: {apart}; `zoo check` repeats it"


_MADE_WITH = ("beside", "PyTorch", "torch"), ("in", "ONNX Runtime", "onnxruntime")
