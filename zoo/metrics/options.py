"""Options of metrics: the keywords of a metric's function, as ``zoo eval -O KEY=VALUE`` gives them.

An option is a keyword-only parameter whose default is a truth value, a number or a text, which says its type::

    def coverage(evaluation, *, neighbour=5): ...
"""

from __future__ import annotations

import inspect
import json
import math
from collections.abc import Callable, Collection, Mapping
from typing import Any, TypeAlias

from zoo.errors import UsageError, ZooError
from zoo.printable import assignments
from zoo.registry import Registry
from zoo.registry.cards import Metric

Value: TypeAlias = bool | int | float | str
_TYPES: dict[type, str] = {bool: "true or false", int: "a whole number", float: "a number", str: "a text"}


def options_of(function: Callable[..., Any]) -> dict[str, Value]:
    """The options of a metric's function, with their defaults.

    >>> options_of(lambda evaluation, *, neighbour=5, judge=None: {})
    {'neighbour': 5}
    """
    parameters = inspect.signature(function).parameters.values()
    return {p.name: p.default for p in parameters if p.kind is p.KEYWORD_ONLY and type(p.default) in _TYPES}


def check(name: str, function: Callable[..., Any], stated: Mapping[str, object]) -> None:
    """Refuse options that a metric does not have, and values of other types than their defaults.

    Args:
        name: the metric's.
        function: its function.
        stated: the options.

    Raises:
        UsageError: with what there is.
    """
    known = options_of(function)
    for option, value in stated.items():
        if option not in known:
            there = f"It has: {assignments(known)}." if known else "It has none."
            raise UsageError(f"the metric {name} has no option {option}", hint=there)
        default = known[option]
        if not _fits(value, default):
            told, wanted = json.dumps(value, default=str), _TYPES[type(default)]
            raise UsageError(
                f"the option {option} of the metric {name} is {wanted}, not {told}",
                hint=f"Without it, {assignments({option: default})}.",
            )


def _fits(value: object, default: Value) -> bool:
    if isinstance(value, bool) or isinstance(default, (bool, str)):
        return type(value) is type(default)
    if isinstance(default, int):
        return isinstance(value, int)
    return isinstance(value, (int, float)) and math.isfinite(value)


def at_least(lowest: int, **options: int) -> None:
    """Refuse options below a number.

    Raises:
        UsageError: with the option.
    """
    for name, value in options.items():
        if value < lowest:
            raise UsageError(f"the option {name} is {lowest} or more, not {value}")


def shared_out(
    registry: Registry, metrics: Collection[Metric], stated: Mapping[str, object]
) -> dict[str, dict[str, object]]:
    """The options of each metric, among those stated for all: every metric gets those that it has.

    Args:
        registry: the registry of the metrics.
        metrics: those that are measured.
        stated: the options.

    Returns:
        options by the names of metrics, of those that get any.

    Raises:
        UsageError: an option that none of the metrics has, with what there is, or a value of another type.
        ZooError: a metric that cannot be loaded.
    """
    if not stated:
        return {}
    functions = {metric.name: registry.load_entry(metric) for metric in metrics}
    known = {name: options_of(function) for name, function in functions.items()}
    for option in stated:
        if not any(option in options for options in known.values()):
            raise _unknown(registry, option, known)
    shared: dict[str, dict[str, object]] = {}
    for name, options in known.items():
        if mine := {option: value for option, value in stated.items() if option in options}:
            check(name, functions[name], mine)
            shared[name] = mine
    return shared


def _unknown(registry: Registry, option: str, known: Mapping[str, Mapping[str, Value]]) -> UsageError:
    """The error for an option that no measured metric has."""
    others = []
    for item in registry.items("metric"):
        metric = item.description
        if metric.name in known:
            continue
        try:
            others += [metric.name] if option in options_of(registry.load_entry(metric)) else []
        except ZooError:
            continue  # one that cannot be used here has no options here
    if others:
        return UsageError(
            f"{option} is an option of {' and '.join(others)}, which --metric leaves out",
            hint=f"Add --metric {others[0]}.",
        )
    there = "; ".join(f"{assignments(options)} of {name}" for name, options in known.items() if options)
    alone = f"the metric {next(iter(known))} has no option {option}"
    told = alone if len(known) == 1 else f"none of the metrics has an option {option}"
    return UsageError(told, hint=f"There are: {there}." if there else "There are none.")
