"""The checks of a plugin: for everything that it brings, those of its kind."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from zoo.errors import NotApplicable, PluginError, UnknownNameError
from zoo.registry import Item, Registry, installed
from zoo.registry.cards import Architecture, Description
from zoo.registry.discovery import KINDS, PluginRecord, normalised
from zoo.testing import data, metrics, models, programs, samplers, targets
from zoo.testing.check import Checks, Outcome, PluginCheck, Report, ids, skipping

if TYPE_CHECKING:
    from zoo.models.interface import GenerativeModel

#: kind -> the checks of a description, given what it names
BY_KIND: Mapping[str, Callable[[Registry, Item, Any], Checks]] = {
    "architecture": models.of_architecture,
    "adapter": models.of_adapter,
    "sampler": samplers.of_sampler,
    "data set": data.of_dataset,
    "metric": metrics.of_metric,
    "exporter": targets.of_exporter,
    "program": programs.of_program,
}
#: fields of descriptions that name something to import
_ENTRIES = ("entry", "runner", "describe", "verify", "checks", "instance", "reader", "writer")


def checks(
    plugin: str, *, registry: Registry | None = None, examples: Mapping[str, Any] | None = None
) -> list[PluginCheck]:
    """All checks of a plugin, none of which has run yet.

    Args:
        plugin: its name, or that of its distribution, as ``zoo plugins`` shows them.
        registry: where it is looked up; None for all that is installed.
        examples: configs of small models by the name of an architecture, instead of the descriptions' own.

    Raises:
        UnknownNameError: no such plugin.
        PluginError: it could not be loaded.
    """
    registry = registry or installed()
    mine = _records(registry, plugin)
    collected = []
    for kind in KINDS:
        for item in registry.items(kind):
            if item.plugin in mine:
                collected += _of(registry, _exemplified(item, examples or {}))
    return collected


def _records(registry: Registry, plugin: str) -> list[PluginRecord]:
    names = {record.name for record in registry.plugins}
    mine = [r for r in registry.plugins if r.name == plugin] or [
        r for r in registry.plugins if normalised(r.distribution) == normalised(plugin)
    ]
    if not mine:
        raise UnknownNameError("plugin", plugin, names)
    for record in mine:
        if record.status == "failed":
            where = f" ({record.where})" if record.where else ""
            raise PluginError(f"plugin {record.name} of {record.origin} cannot be loaded: {record.error}{where}")
        if record.status == "disabled":
            raise PluginError(f"plugin {record.name} of {record.origin} is disabled")
        if record.conflicts:
            raise PluginError(f"plugin {record.name} of {record.origin}: {record.conflicts[0]}")
    return mine


def _exemplified(item: Item, examples: Mapping[str, Any]) -> Item:
    from dataclasses import replace

    described = item.description
    if isinstance(described, Architecture) and described.name in examples:
        return replace(item, description=replace(described, example=examples[described.name]))
    return item


def _of(registry: Registry, item: Item) -> list[PluginCheck]:
    described = item.description
    if lacks := registry.unavailable(described):
        return [PluginCheck(item.kind, described.name, "loads", partial(_not_run, lacks))]
    loads = PluginCheck(item.kind, described.name, "loads", partial(_loads, registry, described))
    try:
        subject = registry.load_entry(described) if hasattr(described, "entry") else None
    except Exception:  # told by the check itself
        return [loads]
    make = BY_KIND.get(item.kind)
    collected: Checks = {"behaves": partial(_not_run, f"there are no checks of a {item.kind} beyond its import")}
    if make is not None:
        try:
            collected = make(registry, item, subject)
        except Exception as error:
            collected = {"builds": partial(_raise, error)}
    others = [PluginCheck(item.kind, described.name, what, work, subject) for what, work in collected.items()]
    return [loads, *others]


def _loads(registry: Registry, described: Description) -> None:
    """All that a description names can be imported."""
    for part in _ENTRIES:
        if getattr(described, part, ""):
            registry.load_entry(described, part)


def _not_run(reason: str) -> None:
    raise NotApplicable(reason)


def _raise(error: Exception) -> None:
    raise error


def check_plugin(
    plugin: str,
    *,
    registry: Registry | None = None,
    examples: Mapping[str, Any] | None = None,
    progress: Callable[[int, int], None] | None = None,
) -> Report:
    """Run all checks of a plugin; the arguments are those of :func:`checks`.

    Args:
        progress: called with (checks done, checks in all), or None.

    Raises:
        UnknownNameError, PluginError: as :func:`checks`. Checks that fail are in the report.
    """
    collected = checks(plugin, registry=registry, examples=examples)
    outcomes = []
    for i, check in enumerate(collected):
        outcomes.append(Outcome.of(check))
        if progress is not None:
            progress(i + 1, len(collected))
    return Report(outcomes)


def check_model(make: Callable[[], GenerativeModel]) -> Report:
    """Run all checks of a model that no plugin brings.

    Args:
        make: builds it with fresh weights, a new one each time.
    """
    subject = type(make())
    collected = models.of_model(installed(), make)
    return Report(
        [Outcome.of(PluginCheck("model", subject.__name__, what, work, subject)) for what, work in collected.items()]
    )


def parametrize_with_checks(plugin: str, **options: Any) -> Any:
    """A decorator for a pytest test with an argument ``check``, which it calls: one test for each check of a plugin.

    Args:
        plugin: as for :func:`checks`.
        options: of :func:`checks`.
    """
    import pytest

    collected = checks(plugin, **options)
    return pytest.mark.parametrize("check", [skipping(each) for each in collected], ids=list(ids(collected)))
