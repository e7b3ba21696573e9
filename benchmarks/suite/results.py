"""Results: how a cell forms them, and the JSON file that holds them."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

from suite.cells import SECTIONS, Cell

from zoo.benchmarking import Spread, in_turns, ratios
from zoo.files import write_text

FORMAT = 1
OURS = "zoo, ONNX Runtime"
#: with fewer turns there is no spread to judge by
LEAST_TURNS = 5
STATUSES = ("not reached", "measured", "stopped", "failed")
_SPREAD = {"median", "low", "high", "least", "turns"}


def beside(base: str, engine: str) -> str:
    """The name of a ratio, taken turn by turn, among ``times``: how many times as fast as another an engine is."""
    return f"{engine} beside {base}"


def compared(
    calls: Mapping[str, Callable[[], object]],
    seconds: float,
    *,
    base: str | None,
    unit: str = "s a step",
    per: float = 1.0,
    unavailable: Mapping[str, str] | None = None,
    numbers: Mapping[str, float] | None = None,
    unequal: Collection[str] = (),
    turns: int = 15,
    least: int = 1,
) -> dict[str, Any]:
    """The result of calls that take turns.

    Args:
        calls: by the engine's name.
        seconds: for the turns.
        base: the engine that the others are compared with; None for no ratios.
        unit: of the figures.
        per: what a call's time is divided by, such as its number of steps.
        unavailable: engines that are not measured here, and why.
        numbers: further numbers by name.
        unequal: engines that are measured, but have another size, so that no ratio is taken.
        turns: the most turns.
        least: the fewest turns, however long they take; :data:`LEAST_TURNS` where a goal is judged by the ratios.
    """
    taken = in_turns(calls, seconds, turns=turns, least=least)
    spreads = {name: Spread.of([value / per for value in values]) for name, values in taken.items()}
    comparable = {name: values for name, values in taken.items() if name not in unequal}
    times = ratios(comparable, base) if base in comparable else {}
    if OURS in comparable:
        others = [name for name in comparable if name not in (OURS, base)]
        times |= {beside(name, OURS): ratios(comparable, name)[OURS] for name in others}
    return result(
        spreads,
        base=base if base in comparable and times else None,
        times=times,
        unit=unit,
        unavailable=unavailable,
        numbers=numbers,
    )


def result(
    engines: Mapping[str, Spread],
    *,
    unit: str,
    base: str | None = None,
    times: Mapping[str, Spread] | None = None,
    unavailable: Mapping[str, str] | None = None,
    numbers: Mapping[str, float] | None = None,
) -> dict[str, Any]:
    """A result; see :func:`compared`."""
    return {
        "unit": unit,
        "base": base,
        "engines": {name: dataclasses.asdict(spread) for name, spread in engines.items()},
        "times": {name: dataclasses.asdict(spread) for name, spread in (times or {}).items()},
        "unavailable": dict(unavailable or {}),
        "numbers": dict(numbers or {}),
    }


def waiting(cell: Cell) -> dict[str, Any]:
    """A cell that was not measured yet."""
    return {"section": cell.section, "name": cell.name, "case": cell.case, "status": "not reached"}


def key_of(entry: Mapping[str, Any]) -> tuple[str, str, str]:
    """The :attr:`~suite.cells.Cell.key` of an entry."""
    return entry["section"], entry["name"], entry["case"]


def read(path: Path) -> dict[str, Any]:
    """The results of a file.

    Raises:
        ValueError: it does not hold results, with what is wrong.
    """
    try:
        results = json.loads(path.read_text("utf-8"))
    except OSError as error:
        raise ValueError(f"cannot read {path}: {error.strerror}") from error
    except ValueError as error:
        raise ValueError(f"{path} is not JSON: {error}") from error
    check(results, str(path))
    return dict(results)


def write(results: Mapping[str, Any], path: Path) -> None:
    """Write results atomically.

    Raises:
        ValueError: they are invalid.
    """
    check(results, str(path))
    write_text(path, json.dumps(results, indent=1, allow_nan=False) + "\n")


def check(results: Any, name: str) -> None:
    """Refuse what is not the results of a run.

    Raises:
        ValueError: the first thing that is wrong.
    """
    fields = {"format", "command", "quick", "given_seconds", "spent_seconds", "ended", "machine", "cells"}
    if not isinstance(results, dict) or results.get("format") != FORMAT or results.keys() != fields:
        raise ValueError(f"{name} does not hold results of python -m benchmarks, format {FORMAT}")
    if not isinstance(results["cells"], list) or not isinstance(results["machine"], dict):
        raise ValueError(f"{name}: cells is a list, and machine a table")
    for entry in results["cells"]:
        _check_entry(entry, name)
    keys = [key_of(entry) for entry in results["cells"]]
    if twice := [key for key in keys if keys.count(key) > 1]:
        raise ValueError(f"{name}: the cell {' / '.join(twice[0])} stands there twice")


def _check_entry(entry: Any, name: str) -> None:
    texts = ("section", "name", "case", "status")
    if not isinstance(entry, dict) or not all(isinstance(entry.get(each), str) for each in texts):
        raise ValueError(f"{name}: a cell has {', '.join(texts)}")
    what = f"{name}: {' / '.join(key_of(entry))}"
    if entry["section"] not in SECTIONS or entry["status"] not in STATUSES:
        raise ValueError(f"{what}: no such section or status")
    if entry["status"] != "measured":
        if entry["status"] != "not reached" and not isinstance(entry.get("reason"), str):
            raise ValueError(f"{what} was {entry['status']} without a reason")
        return
    for kind in ("engines", "times"):
        for engine, spread in _table(entry, kind, what).items():
            if not isinstance(spread, dict) or spread.keys() != _SPREAD or not _numbers(spread.values()):
                raise ValueError(f"{what}: {kind} of {engine} is not {', '.join(sorted(_SPREAD))}")
            if not spread["least"] <= spread["low"] <= spread["median"] <= spread["high"] or spread["turns"] < 1:
                raise ValueError(f"{what}: {kind} of {engine} are not in order")
    if not _numbers(_table(entry, "numbers", what).values()):
        raise ValueError(f"{what}: numbers are finite")
    if not all(isinstance(why, str) for why in _table(entry, "unavailable", what).values()):
        raise ValueError(f"{what}: what is unavailable has a reason")


def _table(entry: Mapping[str, Any], name: str, what: str) -> dict[str, Any]:
    table = entry.get(name)
    if not isinstance(table, dict):
        raise ValueError(f"{what} has no {name}")
    return table


def _numbers(values: Any) -> bool:
    kinds = (int, float)
    return all(isinstance(each, kinds) and not isinstance(each, bool) and math.isfinite(each) for each in values)


def measured(results: Mapping[str, Any], section: str) -> list[dict[str, Any]]:
    """The measured cells of a section."""
    return [each for each in results["cells"] if each["section"] == section and each["status"] == "measured"]


def cell(results: Mapping[str, Any], section: str, name: str, case: str) -> dict[str, Any] | None:
    """A measured cell, or None."""
    return next((e for e in measured(results, section) if (e["name"], e["case"]) == (name, case)), None)
