"""``zoo list``: what is installed, without importing any of it."""

from __future__ import annotations

from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._text import count, echo, shape, size, table
from zoo.registry import Item
from zoo.registry.cards import Description, ModelCard

#: plural, used as option and JSON key -> kind
PLURALS = {
    "models": "model",
    "architectures": "architecture",
    "families": "family",
    "samplers": "sampler",
    "datasets": "data set",
    "readers": "data reader",
    "exporters": "exporter",
    "importers": "importer",
    "adapters": "adapter",
    "distillations": "distillation method",
    "metrics": "metric",
    "programs": "program",
    "paths": "path",
    "formats": "format",
    "modalities": "modality",
    "commands": "command",
    "checks": "check",
}


#: an item, and why it cannot be used here
Judged = tuple[Item, str | None]


def _kind_options(function: Callable[..., Any]) -> Callable[..., Any]:
    for plural in reversed(PLURALS):
        function = click.option(f"--{plural}", is_flag=True, help=f"List {plural.replace('datasets', 'data sets')}.")(
            function
        )
    return function


@click.command("list")
@click.argument("pattern", default="")
@_kind_options
@click.option("--all", "everything", is_flag=True, help="List all of these.")
@click.option("--family", metavar="NAME", help="Only models and architectures of this family, e.g. flow or diffusion.")
@click.option("--installed", "usable", is_flag=True, help="Only those that can be used here.")
@json_option
@pass_app
def command(app: App, /, pattern: str, everything: bool, family: str | None, usable: bool, **kinds: bool) -> None:
    """List models and everything else that is installed.

    PATTERN is a part of a name, or a pattern with * and ?. Without options, models are listed. A model with a bundle
    needs only ONNX Runtime to run; the last column says what is missing here.
    """
    registry = app.registry
    chosen = [p for p in PLURALS if everything or kinds[p]] or ["models"]
    several = len(chosen) > 1
    kept: dict[str, list[Judged]] = {}
    for plural in chosen:
        items = [i for i in registry.items(PLURALS[plural]) if _matches(i.description, pattern, family)]
        judged = [(item, registry.unavailable(item.description)) for item in items]
        kept[plural] = [(item, lacks) for item, lacks in judged if not (usable and lacks)]
    if app.json:
        described = {plural: [describe(item, lacks) for item, lacks in listed] for plural, listed in kept.items()}
        app.emit({**described, "warnings": list(registry.warnings())})
        return
    for plural, listed in kept.items():
        what = plural.replace("datasets", "data sets")
        if listed:
            table(*(_models if plural == "models" else _others)(listed), title=what.capitalize() if several else "")
            if several:
                echo()
        elif not several:
            app.say(f"there are no {what}{' that match' if pattern or family or usable else ''}")
    rest = [counted(len(registry.items(kind)), plural) for plural, kind in PLURALS.items() if plural not in kept]
    if not pattern and any(rest):
        app.say(f"also installed: {', '.join(filter(None, rest))} (`zoo list --all`)")


def counted(number: int, plural: str) -> str:
    """``2 data sets``, ``1 data set``, or nothing."""
    words = plural.replace("datasets", "data sets")
    one = words.removesuffix("s") if not words.endswith("ies") else f"{words.removesuffix('ies')}y"
    return f"{number} {words if number > 1 else one}" if number else ""


def describe(item: Item, lacks: str | None) -> dict[str, object]:
    """An item as JSON values, with where it comes from and why it cannot be used here."""
    description = item.description
    values = dict(description.describe()) if isinstance(description, ModelCard) else dict(vars(description))
    values.pop("format", None)
    if isinstance(description, ModelCard):
        del values["config"], values["recipe"]  # long, and shown by `zoo show`
        values["folder"] = description.folder
    values["unavailable"] = lacks
    plugin = item.plugin
    return {**values, "plugin": {"name": plugin.name, "distribution": plugin.distribution, "version": plugin.version}}


def _matches(description: Description, pattern: str, family: str | None) -> bool:
    if family is not None and getattr(description, "family", None) != family:
        return False
    wanted, name = pattern.lower(), description.name.lower()
    return fnmatchcase(name, wanted) if any(c in wanted for c in "*?[") else wanted in name


def _models(items: list[Judged]) -> tuple[list[str], list[list[str]]]:
    rows = []
    for item, lacks in items:
        card = item.description
        assert isinstance(card, ModelCard)
        rows.append(
            [
                card.name,
                card.family,
                shape(card.event_shape),
                count(card.parameters),
                card.density or "",
                size(card.weights.size) if card.weights else "",
                str(card.data.get("name", "")),
                card.license.get("weights", ""),
                lacks or "",
            ]
        )
    return ["name", "family", "shape", "parameters", "density", "size", "data", "licence", "not usable here"], rows


def _others(items: list[Judged]) -> tuple[list[str], list[list[str]]]:
    rows = [
        [i.description.name, getattr(i.description, "family", ""), i.description.summary, i.plugin.origin, lacks or ""]
        for i, lacks in items
    ]
    return ["name", "family", "summary", "from", "not usable here"], rows
