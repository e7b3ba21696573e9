"""Checks of metrics, on a bundle of two normal numbers and data of the same distribution."""

from __future__ import annotations

import json
import math
from typing import Any, cast

import numpy as np

from zoo.errors import CheckError, NotApplicable
from zoo.metrics.evaluation import Evaluation, Metrics, measure
from zoo.registry import Item, Registry
from zoo.registry.cards import Metric
from zoo.testing.check import Checks

_SAMPLES = 100


def of_metric(registry: Registry, item: Item, subject: Any) -> Checks:
    """What is promised of a function ``(evaluation) -> tables by name``."""
    metric = cast(Metric, item.description)

    def tables(**settings: Any) -> Metrics:
        return measure(registry, metric, evaluation(**settings))

    return {
        "tables": lambda: _tables(tables()),
        "repeatable": lambda: _repeatable(tables(), tables()),
        "no-samples": lambda: _without_samples(tables(samples=0)),
        "changes-nothing": lambda: _changes_nothing(registry, metric),
    }


def evaluation(**settings: Any) -> Evaluation:
    """One of the toy bundle and data."""
    from zoo.runtime import load
    from zoo.testing import toys

    return Evaluation(model=load(toys.bundle(), "cpu"), data=toys.data(), **{"samples": _SAMPLES, **settings})


def _tables(measured: Metrics) -> None:
    if not measured:
        raise NotApplicable("it does not apply to two normal numbers")
    for name, table in measured.items():
        value = float(cast(float, table["value"]))
        if not math.isfinite(value):
            raise CheckError(f"the value of {name} is {value}, not a finite number")
        try:
            json.dumps(table, allow_nan=False)
        except (TypeError, ValueError) as error:
            raise CheckError(
                f"the table of {name} is not of JSON values, as cards need: {error}",
                hint="Use float(...) and int(...).",
            ) from error


def _repeatable(one: Metrics, two: Metrics) -> None:
    if one != two:
        raise CheckError(
            f"the same bundle, data and settings give {_values(one)}, and then {_values(two)}",
            hint="What is random in a metric takes evaluation.seed.",
        )


def _values(measured: Metrics) -> dict[str, object]:
    return {name: table["value"] for name, table in measured.items()}


def _without_samples(measured: Metrics) -> None:
    """Without samples it gives what needs none, and does not fail: ``evaluation.drawn`` is None then."""
    if not measured:
        raise NotApplicable("it measures samples alone")
    _tables(measured)


def _changes_nothing(registry: Registry, metric: Metric) -> None:
    toy = evaluation()
    assert toy.drawn is not None
    before = toy.data.test.x.copy(), toy.drawn.x.copy()
    measure(registry, metric, toy)
    for what, old, new in (("data", before[0], toy.data.test.x), ("samples", before[1], toy.drawn.x)):
        if not np.array_equal(old, new):
            raise CheckError(
                f"it changes the {what} that other metrics measure",
                hint="Work on a copy: np.array(evaluation.drawn.x).",
            )
