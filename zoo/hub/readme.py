"""The model card of a repository of the Hub: README.md with metadata in YAML, as the Hub reads it."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any

from zoo.bundle import Manifest
from zoo.bundle.example import FOLDER, has_example
from zoo.hub.hugging_face import library
from zoo.modality import describe as describe_modality
from zoo.modality import modality_from
from zoo.printable import printable
from zoo.registry.cards import ModelCard

README = "README.md"
#: the page of `zoo eval --card` in a model's folder, with its pictures in a folder beside it
REPORT = "report.md"
#: the Hub's identifiers of licences that are those of SPDX in lower case; another is "other", with its name
_LICENSES = {
    *("apache-2.0", "mit", "bsd-2-clause", "bsd-3-clause", "cc0-1.0", "cc-by-3.0", "cc-by-4.0", "cc-by-sa-3.0"),
    *("cc-by-sa-4.0", "cc-by-nc-4.0", "cc-by-nc-sa-4.0", "cc-by-nd-4.0", "gpl-2.0", "gpl-3.0", "lgpl-3.0"),
    *("agpl-3.0", "mpl-2.0", "isc", "unlicense", "zlib", "odbl", "pddl", "postgresql", "wtfpl", "artistic-2.0"),
}


def readme(
    address: str, card: ModelCard | None, manifest: Manifest | None, described: str = "", report: str = ""
) -> str:
    """The text of README.md.

    Args:
        address: of the repository, as ``zoo run`` takes it.
        card: the model's card; None for a bundle alone.
        manifest: of its bundle; None without one.
        described: the bundle's own MODEL_CARD.md.
        report: the page of `zoo eval --card`.
    """
    facts = _Facts.of(card, manifest)
    return f"{_metadata(facts)}\n{_body(address, facts, manifest, described, report)}"


class _Facts:
    """What card and manifest state alike."""

    def __init__(self, values: Mapping[str, Any]) -> None:
        self.name = str(values["name"])
        self.summary = " ".join(str(values.get("summary") or "").split())
        self.family, self.architecture = str(values.get("family") or ""), str(values.get("architecture") or "")
        self.license = str((values.get("license") or {}).get("weights") or "")
        self.data = values.get("data") or {}
        self.metrics = values.get("metrics") or {}
        self.papers = [str(paper) for paper in values.get("papers") or ()]
        self.shape = tuple(values.get("event_shape") or ())
        self.parts = {str(part.get("modality")) for part in (values.get("condition") or {}).get("parts") or ()}
        self.modality = values.get("modality")
        self.onnx = bool(values.get("onnx"))

    @classmethod
    def of(cls, card: ModelCard | None, manifest: Manifest | None) -> _Facts:
        if card is not None:
            modality = describe_modality(modality_from(card.data.get("kind")))
            return cls({**card.describe(), "modality": modality, "onnx": manifest is not None})
        assert manifest is not None, "a model has a card or a bundle"
        condition = None if manifest.condition is None else manifest.condition.describe()
        return cls(
            {
                "name": "model",
                **manifest.model,
                "license": manifest.licenses,
                "event_shape": manifest.event_shape,
                "condition": condition,
                "modality": None if manifest.modality is None else describe_modality(manifest.modality),
                "onnx": True,
            }
        )

    @property
    def kind(self) -> str:
        """The modality's name, or images where shapes tell them; empty for points and other numbers."""
        if self.modality is not None:
            return str(self.modality.get("kind"))
        return "image" if len(self.shape) == 3 and self.shape[0] in (1, 3, 4) else ""

    @property
    def task(self) -> str:
        """The Hub's pipeline tag."""
        if self.kind == "image":
            return "text-to-image" if self.parts & {"tokens", "text"} else "unconditional-image-generation"
        return {"text": "text-generation"}.get(self.kind, "other")


def _metadata(facts: _Facts) -> str:
    """The head between two lines of dashes."""
    hub = library()
    tags = ["genzoo", *(["onnx"] if facts.onnx else []), facts.family, facts.architecture, facts.kind]
    lower = facts.license.lower()
    known = lower in _LICENSES
    data: dict[str, Any] = {"license_name": lower} if lower and not known else {}
    if name := facts.data.get("name"):
        data["datasets"] = [str(name)] if str(name) in _DATASETS else None
    card = hub.ModelCardData(
        library_name="genzoo",
        pipeline_tag=facts.task,
        tags=list(dict.fromkeys(tag for tag in tags if tag)),
        license=(lower if known else "other") if lower else None,
        model_name=facts.name,
        eval_results=_results(facts) or None,
        **data,
    )
    return f"---\n{card.to_yaml()}\n---\n"


#: data sets that have this name on the Hub too
_DATASETS = {"mnist", "cifar10", "fashion_mnist"}


def _results(facts: _Facts) -> list[Any]:
    """The metrics that are numbers, as the Hub's model-index has them."""
    results = []
    for name, metric in facts.metrics.items():
        value = metric.get("value") if isinstance(metric, Mapping) else metric
        if isinstance(value, bool) or not isinstance(value, (int, float)) or not math.isfinite(value):
            continue
        data = str(facts.data.get("name") or "not stated")
        unit = metric.get("unit") if isinstance(metric, Mapping) else None
        results.append(
            library().EvalResult(
                task_type=facts.task,
                dataset_type=data,
                dataset_name=data,
                metric_type=str(name),
                metric_name=f"{name} ({unit})" if unit else str(name),
                metric_value=value,
            )
        )
    return results


def _body(address: str, facts: _Facts, manifest: Manifest | None, described: str, report: str) -> str:
    lines = [f"# {_text(facts.name)}", "", _text(facts.summary) or "A model of genzoo.", "", "## Use", ""]
    if manifest is None:
        lines += [
            "It needs PyTorch, until `zoo export` makes a bundle of it, which runs in ONNX Runtime alone:",
            "",
            *("```sh", "pip install 'genzoo[hub,onnx,cpu]'", f"zoo export {address} -o bundle", "```"),
        ]
    else:
        verb = "run" if manifest.sample is not None else "show"
        example = manifest.sample is not None and has_example(manifest)
        score = "" if manifest.sample is not None else "  # it only scores: zoo run ... --log-prob DATA"
        lines += [
            "```sh",
            "pip install 'genzoo[hub,cpu]'",
            f"zoo {verb} {address}{' --example' if example else score}",
            "```",
            "",
            "```python",
            "import zoo.runtime",
            "",
            f'model = zoo.runtime.load("{address}")  # NumPy and ONNX Runtime, without PyTorch',
            *(
                [f"x = model.sample(16, seed=0{', condition=model.example' if example else ''})"]
                if verb == "run"
                else []
            ),
            "```",
        ]
    if described:
        lines += ["", _rest(described, address)]
    else:
        lines += ["", *_table(facts)]
        if facts.papers:
            lines += ["", "## Papers", "", *(f"- {_text(paper)}" for paper in facts.papers)]
    if report:
        # a bundle's own description has the metrics of the card already
        sections = re.split(r"^(?=## )", report, flags=re.M)[1:]
        lines += ["", "".join(each for each in sections if not (described and each.startswith("## Metrics\n"))).strip()]
    return "\n".join(lines).rstrip() + "\n"


def _table(facts: _Facts) -> list[str]:
    rows = [
        ("family", facts.family),
        ("architecture", facts.architecture),
        ("one sample", "×".join(map(str, facts.shape))),
        ("trained on", facts.data.get("name")),
        ("licence of the data", facts.data.get("license")),
        ("licence of the weights", facts.license),
    ]
    return ["|  |  |", "| --- | --- |", *(f"| {what} | {_text(str(value))} |" for what, value in rows if value)]


def _rest(described: str, address: str) -> str:
    """A bundle's own description without its title, its summary and how it is used from a folder, by its address."""
    sections = re.split(r"^(?=## )", described, flags=re.M)
    head = sections[0].split("\n\n", 2)
    facts = head[2] if len(head) > 2 else ""
    kept = "".join(each for each in sections[1:] if not each.startswith("## Use\n"))
    return (facts + kept.replace(FOLDER, address)).strip()


def _text(text: str) -> str:
    """Text of others in Markdown: on one line, and without marks that begin something else."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", printable(" ".join(text.split())))
