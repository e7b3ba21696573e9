"""``zoo list``: what is installed, without importing any of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

import click
from click.shell_completion import CompletionItem

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._complete import names_beginning
from zoo.cli._text import count, counted, echo, shape, size, table
from zoo.registry import Item, Registry
from zoo.registry.cards import Description, ModelCard
from zoo.registry.discovery import GET_MODELS

#: plural, used as option and JSON key -> kind
PLURALS = {
    "models": "model",
    "architectures": "architecture",
    "families": "family",
    "samplers": "sampler",
    "datasets": "data set",
    "readers": "data reader",
    "engines": "engine",
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


def _patterns(context: click.Context, parameter: click.Parameter, incomplete: str) -> list[CompletionItem]:
    """Names of the kinds that are listed; without any, the words for kinds, and names of models."""
    wanted = PLURALS if context.params.get("everything") else [p for p in PLURALS if context.params.get(p)]
    names = names_beginning(context, tuple(PLURALS[plural] for plural in wanted) or ("model",), incomplete)
    words = [] if wanted else [p for p in PLURALS if p.startswith(incomplete)]
    return [*map(CompletionItem, words), *names]


@click.command("list")
@click.argument("pattern", default="", shell_complete=_patterns)
@_kind_options
@click.option("--all", "everything", is_flag=True, help="List all of these.")
@click.option("--family", metavar="NAME", help="Only models and architectures of this family, e.g. flow or diffusion.")
@click.option("--names", is_flag=True, help="Only the names, one a line.")
@click.option("--installed", "usable", is_flag=True, help="Only those that can be used here.")
@json_option
@pass_app
def command(
    app: App, /, pattern: str, everything: bool, family: str | None, names: bool, usable: bool, **kinds: bool
) -> None:
    """List models and everything else that is installed.

    PATTERN is a part of a name or of a summary, or a pattern of names with * and ?, or a word such as samplers, which
    lists these. Without options, models are listed. A model with a bundle needs only ONNX Runtime to run; the last
    column says what is missing here.
    """
    registry = app.registry
    chosen = [p for p in PLURALS if everything or kinds[p]]
    if not chosen and pattern in PLURALS:
        chosen, pattern = [pattern], ""
    chosen = chosen or ["models"]
    wanted = _Wanted(pattern, family, usable)
    kept = {plural: wanted.of(registry, plural) for plural in chosen}
    if app.json:
        described = {plural: [describe(item, lacks) for item, lacks in listed] for plural, listed in kept.items()}
        app.emit({**described, "warnings": list(registry.warnings())})
    elif names:
        for name in dict.fromkeys(item.description.name for listed in kept.values() for item, _ in listed):
            echo(name)
    else:
        _print(app, kept, wanted)
    if "models" in kept and registry.lacks_models:
        app.say(f"the pretrained models are a package of their own: {GET_MODELS}")


def _print(app: App, kept: dict[str, list[Judged]], wanted: _Wanted) -> None:
    """Tables of what was found, and what else there is."""
    several = len(kept) > 1
    for plural, listed in kept.items():
        what = plural.replace("datasets", "data sets")
        if listed:
            title = what.capitalize() if several else ""
            table(*(_models if plural == "models" else _others)(listed), title=title, spare=_SPARE)
            if several:
                echo()
        elif not several:
            app.say(f"there are no {what}{' that match' if wanted != _Wanted() else ''}")
    others = _Wanted(wanted.pattern)
    numbers = {plural: others.count(app.registry, plural) for plural in PLURALS if plural not in kept}
    rest = [counted(number, plural) for plural, number in numbers.items() if number]
    if rest and (not wanted.pattern or not any(kept.values())):
        matching, also = (f" {wanted.pattern}", "these match") if wanted.pattern else ("", "also installed")
        app.say(f"{also}: {', '.join(rest)} (`zoo list --all{matching}`)")


@dataclass(frozen=True)
class _Wanted:
    """What is to be listed: a pattern of names and summaries, one family, and whether only what can be used here."""

    pattern: str = ""
    family: str | None = None
    usable: bool = False

    def of(self, registry: Registry, plural: str) -> list[Judged]:
        """The items of a kind that are meant, with why each cannot be used here."""
        items = [item for item in registry.items(PLURALS[plural]) if self._matches(item.description)]
        judged = [(item, registry.unavailable(item.description)) for item in items]
        return [(item, lacks) for item, lacks in judged if not (self.usable and lacks)]

    def count(self, registry: Registry, plural: str) -> int:
        """How many items of a kind match."""
        return sum(self._matches(item.description) for item in registry.items(PLURALS[plural]))

    def _matches(self, description: Description) -> bool:
        if self.family is not None and getattr(description, "family", None) != self.family:
            return False
        wanted, name = self.pattern.lower(), description.name.lower()
        if any(c in wanted for c in "*?["):
            return fnmatchcase(name, wanted)
        return wanted in name or wanted in description.summary.lower()


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


#: columns that a narrow terminal does without
_SPARE = ("data", "licence", "size", "from")


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
