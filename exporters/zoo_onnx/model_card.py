"""``MODEL_CARD.md``: the description of a bundle for people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from zoo.bundle import GraphInfo, Manifest
from zoo.conditions import Condition
from zoo.printable import assignments, printable
from zoo.programs.conditioning import part_ports
from zoo.programs.ports import Port
from zoo.registry.cards import ModelCard


def model_card(card: ModelCard, manifest: Manifest) -> str:
    """The text in Markdown, a function of card and manifest alone."""
    parts = [
        f"# {_text(card.name)}",
        _text(card.summary) or f"A generative model of the family {manifest.model['family']}.",
        _facts(card, manifest),
        _use(manifest),
        _programs(manifest),
        *(_graph(name, info) for name, info in manifest.graphs.items()),
        _metrics(manifest),
        _precision(manifest.precision),
        _proof(manifest.proof),
        _papers(card.papers),
    ]
    return "\n\n".join(part for part in parts if part) + "\n"


def _facts(card: ModelCard, manifest: Manifest) -> str:
    data = card.data
    condition = manifest.condition
    rows = [
        ("family", manifest.model["family"]),
        ("architecture", manifest.model["architecture"]),
        ("parameters", f"{manifest.model['parameters']:,}"),
        ("one sample", f"float32 {list(manifest.event_shape)}"),
        ("values", f"whole numbers 0 to {manifest.levels - 1}, dequantised" if manifest.levels else "real numbers"),
        *([] if manifest.batch is None else [("batch", f"{manifest.batch} samples in each call")]),
        *_condition(condition),
        ("trained on", _data(data) or "not stated"),
        ("licence of the data", data.get("license") or "not stated"),
        ("licence of the code", manifest.licenses.get("code") or "not stated"),
        ("licence of the weights", manifest.licenses.get("weights") or "not stated"),
    ]
    return _table(("", ""), [(what, _text(value)) for what, value in rows])


def _data(data: Mapping[str, Any]) -> str:
    """The data set with its options, and its source."""
    options = f"({assignments(data['options'])})" if data.get("options") else ""
    return " ".join(str(each) for each in (data.get("name"), options, data.get("source")) if each)


def _condition(condition: Condition | None) -> list[tuple[str, object]]:
    """What a model is conditioned on; of named parts one row each."""
    if condition is None or condition.plain:
        return [("condition", "none" if condition is None else f"{condition.kind} of size {condition.size}")]
    ports = zip(condition.parts, part_ports(condition), strict=False)
    return [
        (
            f"condition {part.name}",
            f"{port.meaning}, {port.dtype} {list(port.shape)}{'' if part.required else ', optional'}",
        )
        for part, port in ports
    ]


def _use(manifest: Manifest) -> str:
    condition = manifest.condition
    choice = ""
    if condition is not None and condition.kind == "classes":
        choice = ", condition=0"
    elif condition is not None and condition.kind == "parts":
        each = ", ".join(f'"{name}": ...' for name in condition.names)
        choice = f", condition={{{each}}}"
    lines = [
        "## Use",
        "",
        "NumPy, safetensors and ONNX Runtime are all that is needed (`pip install 'genzoo[cpu]'`):",
        "",
        "```python",
        "from zoo.runtime import load",
        "",
        'model = load("path/to/this/folder")',
        f"x = model.sample(16, seed=0{choice})" if manifest.sample is not None else "x = ...  # data to score",
    ]
    if manifest.log_prob is not None:
        lines.append(f"log_prob = model.log_prob(x{choice})")
    lines += [
        "```",
        "",
        "Other runtimes follow `manifest.json`: it names the graphs, their inputs and outputs, and the programs that",
        "use them. `weights.safetensors` loads into the PyTorch model; the graphs point into it.",
    ]
    return "\n".join(lines)


def _programs(manifest: Manifest) -> str:
    lines = ["## Programs", ""]
    if manifest.sample is not None:
        lines.append(f"- `sample`: {manifest.sample.explanation()}")
    if manifest.log_prob is not None:
        lines.append(f"- `log_prob`: {manifest.log_prob.explanation()}")
    return "\n".join(lines)


def _graph(name: str, info: GraphInfo) -> str:
    def row(port: Port, way: str) -> tuple[str, ...]:
        shape = ", ".join(map(str, port.shape))
        return way, f"`{port.name}`", f"{port.dtype} [{shape}]", _text(port.meaning)

    rows = [*(row(p, "in") for p in info.inputs), *(row(p, "out") for p in info.outputs)]
    return f"## Graph `{name}` ({info.file}, opset {info.opset})\n\n" + _table(("", "name", "type", "meaning"), rows)


def _metrics(manifest: Manifest) -> str:
    rows = []
    for name, metric in manifest.model["metrics"].items():
        if isinstance(metric, Mapping):
            of = ", ".join(f"{k}: {v}" for k, v in metric.items() if k not in ("value", "unit"))
            rows.append((_text(name), _text(f"{metric.get('value')} {metric.get('unit', '')}"), _text(of)))
        else:
            rows.append((_text(name), _text(metric), ""))
    return "## Metrics\n\n" + _table(("", "value", "of"), rows) if rows else ""


def _precision(precision: Mapping[str, Any] | None) -> str:
    if precision is None:
        return ""
    rows = [(_text(name), f"{value:g}") for name, value in precision["loss"].items()]
    return (
        "## Precision\n\n"
        f"Weights in {precision['weights']}, products in {precision['arithmetic']}, the rest in float32. What that "
        "costs: the relative error of predictions (root mean square, at most "
        f"{precision['bound']:g}), and what else was measured:\n\n" + _table(("", "value"), rows)
    )


def _proof(proof: Mapping[str, Any]) -> str:
    rows = [(_text(what), f"{value:.1e}") for what, value in proof["largest_differences"].items()]
    batches = ", ".join(map(str, proof["batches"]))
    return (
        "## Proof\n\n"
        f"ONNX Runtime {proof['onnxruntime']} and PyTorch {proof['torch']} computed {proof['cases']} cases at batches "
        f"of {batches}, ordinary and extreme. The largest differences, relative to 1 + |value| (to the number of "
        f"dimensions for log-densities); {proof['tolerance']:g} was tolerated:\n\n"
        + _table(("", "difference"), rows)
        + _budget(proof.get("most_steps", {}), proof.get("most_samples"))
        + _judged(proof.get("judged_by_float64", {}))
        + "".join(f"\n\n{_nearer(_text(name), each)}" for name, each in proof.get("nearer", {}).items())
        + _flipped(proof.get("symbols"))
        + _crossed(proof.get("crossed_edges", 0))
        + _density(proof.get("density"))
    )


def _budget(steps: Mapping[str, int], samples: int | None) -> str:
    """By how much whole runs were shortened."""
    said = " and ".join(f"`{name}` of {most}" for name, most in steps.items())
    limits = ([f"with few steps: {said} at most"] if said else []) + (
        [f"in batches of {samples} samples at most, as are extreme inputs of its graphs"] if samples else []
    )
    if not limits:
        return ""
    return f"\n\nSince this model takes long to evaluate, whole runs are compared {'; and '.join(limits)}."


def _judged(judged: Mapping[str, Any]) -> str:
    """Differences beyond the tolerance, and why they were accepted."""
    if not judged:
        return ""
    rows = [
        (_text(what), _text(each["where"]), *(f"{each[name]:.1e}" for name in ("given", "pytorch", "bound")))
        for what, each in judged.items()
    ]
    return (
        "\n\nFurther apart, where the model amplifies rounding, and let through since both are as near to float64 as "
        "moving inputs and weights by their last bits allows:\n\n"
        + _table(("", "worst", "off float64", "PyTorch off float64", "allowed"), rows)
    )


def _nearer(graph: str, nearer: Mapping[str, Any]) -> str:
    """Noise that was taken nearer, in words."""
    return (
        f"Noise of graph {graph} beyond what is drawn, of ten deviations or all of thirty, is amplified until PyTorch "
        f"itself is off by {nearer['pytorch']:.1e}; {nearer['cases']} cases were compared with less of it, down to "
        f"{nearer['share']:g} times, where float32 has digits."
    )


def _flipped(symbols: Mapping[str, Any] | None) -> str:
    """Symbols that rounding drew differently."""
    if symbols is None or not symbols["flipped"]:
        return ""
    return (
        f"\n\nAmong {symbols['symbols']:,} symbols compared, {symbols['flipped']} samples have another one where the "
        f"best two are apart by at most {symbols['largest_margin']:.1e}, which is rounding."
    )


def _crossed(samples: int) -> str:
    """Samples in which rounding put a number into the next level."""
    if not samples:
        return ""
    return (
        f"\n\n{samples} samples differ from one number on that lies at the edge of two levels, where rounding may put "
        "it into either. What follows it was not compared."
    )


_DENSITY = {
    "jacobian": "At {points} sample(s) the log-density equals that of the noise less the log-determinant of sampling, "
    "in float64, within {difference:.1e} nats.",
    "undone": "Sampling is undone by what the log-density is made of, in float64: log-determinants are opposite "
    "within {difference:.1e} nats.",
    "mass": "The logarithm of the density's mass, by importance sampling, is {difference:.1e} from 0, with a standard "
    "error of {error:.1e}.",
    "counted": "The probabilities of the different events among {points} samples add up to what their counts say, "
    "within {difference:.1e}, with a standard error of {error:.1e}.",
    "moved": "Metropolis steps by the log-density, from {points} samples, leave its mean alone within {difference:.1e} "
    "nats, with a standard error of {error:.1e}.",
}


def _density(density: Mapping[str, Any] | None) -> str:
    """What the density was compared with."""
    if density is None:
        return ""
    unproven = " It was required not to exceed 1; too little mass is not ruled out."
    return (
        "\n\n"
        + _DENSITY[density["method"]].format(**density)
        + (unproven if density.get("mass") == "at most 1" else "")
    )


def _papers(papers: Sequence[str]) -> str:
    return "## Papers\n\n" + "\n".join(f"- {_text(paper)}" for paper in papers) if papers else ""


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)


def _text(value: object) -> str:
    """Text of a card made safe for Markdown: without line breaks, control characters, table cells or HTML."""
    text = printable(" ".join(str(value).split()))
    return text.replace("|", "\\|").replace("<", "&lt;").replace(">", "&gt;")
