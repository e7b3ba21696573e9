"""What the commands of this folder measure, as cells: exports, proofs and conditions."""

from __future__ import annotations

import sys
from typing import Any

import conditions as by_conditions
import exports
import proofs
from suite.results import result
from suite.worker import Given

from zoo.benchmarking import Spread


def export(given: Given, model: str) -> dict[str, Any]:
    """Seconds of CPU of the stages of an export, see ``exports.py``."""
    return _stages(exports.stages_of(sys.executable, model, {}))


def prove(given: Given, model: str) -> dict[str, Any]:
    """Seconds of CPU of the stages of a proof, see ``proofs.py``."""
    return _stages(proofs.stages_of(sys.executable, model))


def _stages(spent: dict[str, float]) -> dict[str, Any]:
    everything = {"all": sum(spent.values())}
    return result({name: Spread.of([s]) for name, s in {**everything, **spent}.items()}, unit="s of CPU")


def conditions(given: Given, kind: str, n: int, steps: int) -> dict[str, Any]:
    """Sampling with an encoder in every step, once, and once by hand, see ``conditions.py``."""
    folder = given.scratch / "conditions"
    folder.mkdir(exist_ok=True)
    if kind not in _BUNDLES:
        _BUNDLES[kind] = by_conditions.exported(kind, folder, 1)
    turns = by_conditions.measured(*_BUNDLES[kind], by_conditions.observation(kind), n, steps, 3 if given.quick else 7)
    columns = dict(zip(by_conditions.WAYS, zip(*turns, strict=True), strict=True))
    base = by_conditions.WAYS[0]
    times = {
        name: Spread.of([theirs / own for theirs, own in zip(columns[base], values, strict=True)])
        for name, values in columns.items()
        if name != base
    }
    spreads = {name: Spread.of(values).scaled(1 / steps) for name, values in columns.items()}
    return result(spreads, base=base, times=times, unit="s a step")


_BUNDLES: dict[str, Any] = {}
