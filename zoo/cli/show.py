"""``zoo show``: the card of a model, or what is known of anything else by its name."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import click

from zoo.bundle import Bundle
from zoo.cli._app import App, json_option, pass_app, plain
from zoo.cli._bundle import described, explained
from zoo.cli._complete import names_of
from zoo.cli._pulled import local
from zoo.cli._text import echo, facts, shape, size
from zoo.cli.list import describe
from zoo.conditions import Condition
from zoo.density import MEANINGS
from zoo.errors import DataError, UnknownNameError, UsageError
from zoo.lengths import length_from
from zoo.modality import Foreign, modality_from
from zoo.modality import describe as describe_modality
from zoo.models.factories import told
from zoo.models.sources import Source, resolve
from zoo.printable import assignments, printable
from zoo.registry import Item, Registry
from zoo.registry.cards import ModelCard
from zoo.registry.discovery import KINDS
from zoo.render.formats import known as known_formats
from zoo.render.metadata import about

#: optional fields of a manifest's model
_NOT_STATED: dict[str, Any] = {
    "summary": "",
    "family": "",
    "architecture": "",
    "config": {},
    "parameters": 0,
    "papers": [],
    "metrics": {},
    "data": {},
    "weights": None,
    "source": None,
}


@click.command("show")
@click.argument("name", metavar="MODEL", shell_complete=names_of(*KINDS, files=True))
@click.option("--config", "part", flag_value="config", help="Only the config that builds the model, as JSON.")
@click.option("--license", "part", flag_value="license", help="Only the licences of code, weights and data.")
@json_option
@pass_app
def command(app: App, name: str, part: str | None) -> None:
    """Show a model's card, and explain its bundle.

    MODEL is a model's name, or the path of a model's folder, of a bundle, or of a model that an importer reads.
    Names of architectures, samplers, data sets, metrics and everything else in `zoo list` are shown too, if no
    model has that name. Of a file that `zoo run` wrote it shows how the samples were drawn, and the command that
    draws them again.
    """
    registry = app.registry
    if part is None and Path(name).is_file() and (drawn := about(Path(name))):
        _show_file(app, name, drawn)
        return
    try:
        source = resolve(registry, local(app, name))
    except UnknownNameError:
        _show_other(app, registry, name)
        return
    except UsageError as error:
        if Path(name).is_file() and Path(name).suffix.lower() in known_formats():
            told = f"{name} does not say how its samples were drawn"
            raise DataError(told, hint="Files that `zoo run` wrote do, some by one beside them.") from error
        raise
    values = model_facts(source)
    described = source.importer or source.card
    lacks = None if described is None else registry.unavailable(described)
    if part == "config":
        values = {"config": values["config"]}
        if not app.json:
            echo(json.dumps(plain(values["config"]), indent=2), lines=True)
    elif part == "license":
        values = {"license": {**values["license"], "data": values["data"].get("license", "")}}
        if not app.json:
            facts([(what, spdx or "not stated") for what, spdx in values["license"].items()])
    elif app.json:
        values["unavailable"] = lacks
    else:
        _print_model(values, lacks, source)
    if app.json:
        app.emit(values)


def _show_file(app: App, name: str, drawn: Mapping[str, Any]) -> None:
    """How the samples of a file were drawn."""
    if app.json:
        app.emit({"kind": "samples", "file": name, **drawn})
        return
    again = str(drawn.get("command", ""))
    values = {key: value for key, value in drawn.items() if key != "command" and value not in (None, {}, [])}
    told = {key: value if isinstance(value, str) else json.dumps(value) for key, value in values.items()}
    facts([("file", name), *[(key, printable(text)) for key, text in told.items()], ("again", again)], whole=("again",))


def model_facts(source: Source) -> dict[str, Any]:
    """The facts about a model, from its card or, if there is none, from its bundle's manifest."""
    manifest = source.manifest()
    if source.card is not None:
        values: dict[str, Any] = {"kind": "model", **source.card.describe(), "folder": source.card.folder}
        values.pop("format")
    else:
        assert manifest is not None, "a source has a card or a bundle"
        values = {
            "kind": "bundle",
            "name": source.name,
            **_NOT_STATED,
            # other fields of its model have no meaning here, and may be anything
            **{name: manifest.model[name] for name in _NOT_STATED if name in manifest.model and name != "weights"},
            "event_shape": list(manifest.event_shape),
            "condition": None if manifest.condition is None else manifest.condition.describe(),
            "license": dict(manifest.licenses),
        }
        values["data"] = {"levels": manifest.levels, **values["data"]} if isinstance(values["data"], Mapping) else {}
    values["density"] = values.get("density") or (None if manifest is None else manifest.density)
    values["samples"] = values.get("samples", manifest is None or manifest.sample is not None)
    values["length"] = values.get("length") or (manifest and manifest.length and manifest.length.described())
    modality = modality_from(values["data"].get("kind")) if manifest is None else manifest.modality
    values["modality"] = describe_modality(modality)
    values["bundle"] = None
    if manifest is not None and source.bundle is not None:
        values["bundle"] = described(Bundle(source.bundle, manifest))
    return values


def _print_model(values: Mapping[str, Any], lacks: str | None, source: Source) -> None:
    condition = values["condition"]
    weights, data, manifest = values["weights"], values["data"], source.manifest()
    bundle = None if manifest is None or source.bundle is None else Bundle(source.bundle, manifest)
    chosen = (
        f" with {assignments(data['options'])}" if isinstance(data.get("options"), Mapping) and data["options"] else ""
    )
    levels = f", {data['levels']} levels" if data.get("levels") else ""
    facts(
        [
            ("name", str(values["name"])),
            ("summary", " ".join(str(values["summary"]).split())),
            ("family", str(values["family"])),
            ("architecture", str(values["architecture"])),
            ("made by", _made_by(values.get("source"))),
            ("event shape", shape(values["event_shape"])),
            ("condition", "none" if condition is None else _condition(Condition.from_description(condition))),
            ("density", MEANINGS.get(values["density"], "")),
            ("samples", "" if values["samples"] else "none: it only scores"),
            ("length", _length(values["length"])),
            ("modality", _modality(values["modality"])),
            ("parameters", f"{values['parameters']:,}" if values["parameters"] else ""),
            ("data", f"{data.get('name', '')}{chosen}{levels}".lstrip(", ")),
            *[(name, metric(value)) for name, value in values["metrics"].items()],
            ("training", "" if source.card is None else str(source.card.training or "")),
            ("licence", ", ".join(f"{what} {spdx}" for what, spdx in values["license"].items() if spdx)),
            ("data licence", str(data.get("license") or "")),
            ("papers", list(values["papers"])),
            (
                "weights",
                f"{weights['file']}, {size(weights['size'])}, sha256 {weights['sha256'][:16]}…" if weights else "",
            ),
            ("folder", str(values.get("folder") or "")),
            *(explained(bundle) if bundle else []),
            ("not usable here", lacks or ""),
        ]
    )


def _made_by(source: Mapping[str, Any] | None) -> str:
    """The code that made a model, and its weights file."""
    if source is None:
        return ""
    weights = source.get("weights")
    return told(source) + (f", with the weights {weights['file']}" if isinstance(weights, Mapping) else "")


def _length(values: Mapping[str, Any] | None) -> str:
    """Where events of variable length end."""
    rule = length_from(values)
    if rule is None:
        return ""
    return "variable, ended by a mask" if rule.end is None else f"variable, ended by the first {rule.end}"


def _modality(values: Mapping[str, Any] | None) -> str:
    """What the numbers of a sample mean."""
    from zoo.render.modalities import called

    if values is None:
        return ""
    modality = modality_from(values)
    if isinstance(modality, Foreign):
        return f"{values['kind']}: {modality}"
    package = f", of the plugin {values['package']}" if "package" in values else ""
    return f"{values['kind']}: {called(values['kind'])}{package}"


def _condition(condition: Condition) -> str:
    if condition.kind == "parts":
        parts = (
            f"{part.name} ({part.modality} {'×'.join(map(str, part.shape)) if part.shape else f'of {part.size}'}"
            f"{'' if part.required else ', optional'})"
            for part in condition.parts
        )
        return ", ".join(parts)
    labels = f" ({', '.join(condition.labels)})" if condition.labels and condition.size <= 20 else ""
    what = f"{condition.size} classes" if condition.kind == "classes" else f"a vector of {condition.size}"
    return f"{what}{labels}{'' if condition.required else ', optional'}"


def metric(value: object) -> str:
    """A metric of a card in one line: ``3.1 bits/dim of the test split (10000 samples)``."""
    if not isinstance(value, Mapping):
        return str(value)
    line = f"{value.get('value', '')} {value.get('unit', '')}".strip()
    rest = [f"{k} {v}" for k, v in value.items() if k not in ("value", "unit") and v not in (None, "")]
    return f"{line} ({', '.join(rest)})" if rest else line


def _show_other(app: App, registry: Registry, name: str) -> None:
    items = [item for kind in KINDS for item in registry.items(kind) if item.description.name == name]
    if not items:
        if Path(name).suffix.lower() in known_formats():
            raise DataError(f"there is no file {name}")
        known = {item.description.name for kind in KINDS for item in registry.items(kind)}
        what = "model" if Path(name).name == name else "model or folder"
        raise UnknownNameError(what, name, known)
    shown = [(item, registry.unavailable(item.description)) for item in items]
    if app.json:
        documents = [{"kind": item.kind, **describe(item, lacks)} for item, lacks in shown]
        app.emit(documents[0] if len(documents) == 1 else {"kind": "several", "found": documents})
        return
    for item, lacks in shown:
        _print_other(item, lacks)


def _print_other(item: Item, lacks: str | None) -> None:
    values = {k: v for k, v in vars(item.description).items() if k not in ("name", "requires")}
    assert not isinstance(item.description, ModelCard)
    facts(
        [
            ("name", item.description.name),
            ("kind", item.kind),
            *[(k, ("yes" if v else "no") if isinstance(v, bool) else str(v)) for k, v in values.items()],
            ("needs", ", ".join(item.description.requires)),
            ("from", f"{item.plugin.origin}, plugin {item.plugin.name}"),
            ("not usable here", lacks or ""),
        ]
    )
