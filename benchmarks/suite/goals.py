"""What the figures should be, what they are, and if they are not, by how much and why."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.results import cell, measured

Results = Mapping[str, Any]
OURS = "zoo, ONNX Runtime"


@dataclass(frozen=True)
class Goal:
    """A goal.

    Attributes:
        goal: in words.
        measured: what was seen; empty if nothing was.
        reached: whether; None if it was not measured.
        missing: by how much it is missed, in words.
        why: the reason, if it is missed.
    """

    goal: str
    measured: str = ""
    reached: bool | None = None
    missing: str = ""
    why: str = ""

    @property
    def verdict(self) -> str:
        """Reached, or by how much not."""
        return "" if self.reached is None else "yes" if self.reached else f"no: {self.missing}"


def goals(results: Results) -> list[Goal]:
    """All of them."""
    return [
        _compiled(results),
        _int8(results),
        *(_couplings(results, peer) for peer in ("nflows", "zuko")),
        _autoregressive(results),
        _fused(results),
        _seconds(results, "zoo list", "`zoo list` under 0.3 s of CPU", 0.3),
        _seconds(results, "a digit, load and 1 step", "a first digit from a cold process under 0.6 s of CPU", 0.6),
        _limit(results),
    ]


def _least(values: Iterable[tuple[float, str]], wanted: float, goal: str, why: str, what: str) -> Goal:
    """A goal for the worst of several ratios."""
    seen = sorted(values)
    if not seen:
        return Goal(goal)
    (worst, where), reached = seen[0], seen[0][0] >= wanted
    short = [name for value, name in seen if value < wanted]
    told = f"least {worst:.2f} × ({where}), most {seen[-1][0]:.2f} ×, of {len(seen)} {what}"
    missing = f"{len(short)} of {len(seen)} below, the worst by {1 - worst / wanted:.0%}"
    return Goal(goal, told, reached, missing, "" if reached else why)


def _compiled(results: Results) -> Goal:
    cells = [e for e in measured(results, "sampling") if {"torch.compile", OURS} <= e["engines"].keys()]
    values = [(_between(e, "torch.compile", OURS), f"{e['name']}, {e['case']}") for e in cells]
    why = (
        "large batches are bound by products, which both do at the machine's peak; the ratio is of a bare compiled "
        "module and a whole run with its noise, row and checks"
    )
    return _least(values, 1.1, "at least 1.1 × `torch.compile` at every batch", why, "cells")


def _between(entry: Mapping[str, Any], base: str, engine: str) -> float:
    """How many times as fast as another an engine is: turn by turn where that is stored, else of the medians."""
    if entry["base"] == base:
        return float(entry["times"][engine]["median"])
    return float(entry["engines"][base]["median"] / entry["engines"][engine]["median"])


def _int8(results: Results) -> Goal:
    ways = ("int8", "int8-dynamic")
    cells = [entry for way in ways if (entry := cell(results, "variants", "mnist-unet", way)) is not None]
    values = [(_between(e, "float32", e["case"]), e["case"]) for e in cells]
    goal = "int8 at least 1.8 × float32 (mnist-unet)"
    if not values:
        return Goal(goal)
    best, way = max(values)
    told = "; ".join(f"{name} {value:.2f} ×" for value, name in values)
    why = "convolutions of int8 gain where the processor has VNNI or AMX; the rest of the network stays in float32"
    return Goal(goal, told, best >= 1.8, f"{way} by {1 - best / 1.8:.0%}", "" if best >= 1.8 else why)


def _couplings(results: Results, peer: str) -> Goal:
    cells = [e for e in measured(results, "flows") if e["name"] != "maf-64" and {peer, OURS} <= e["engines"].keys()]
    values = [(_between(e, peer, OURS), f"{e['name']}, {e['case']}") for e in cells]
    why = "wide flows at large batches are bound by the products of their networks, which are as many in both"
    return _least(values, 3.0, f"coupling flows at least 3 × {peer}, both ways", why, "cells")


def _autoregressive(results: Results) -> Goal:
    entry = cell(results, "flows", "maf-64", "samples, batch 256")
    goal = "samples of the 64-D MAF at least 90 × zuko"
    if entry is None or not {"zuko", OURS} <= entry["engines"].keys():
        return Goal(goal)
    times = _between(entry, "zuko", OURS)
    why = "arithmetic ends at 128 ×; small steps between the products do not shrink with them"
    return Goal(goal, f"{times:.0f} ×", times >= 90, f"by {1 - times / 90:.0%}", "" if times >= 90 else why)


def _fused(results: Results) -> Goal:
    entries = [e for e in measured(results, "variants") if e["case"] == "fused"]
    goal = "a fused run at most 1.02 × the loop's time"
    if not entries:
        return Goal(goal)
    taken = {e["name"]: 1 / _between(e, "float32", "fused") for e in entries}
    told = "; ".join(f"{name} {value:.3f} ×" for name, value in taken.items())
    worst = max(taken.values())
    why = "Philox in standard operators costs more than in NumPy, which shows where the network takes microseconds"
    return Goal(goal, told, worst <= 1.02, f"by {worst / 1.02 - 1:.0%}", "" if worst <= 1.02 else why)


def _seconds(results: Results, command: str, goal: str, most: float) -> Goal:
    entry = cell(results, "start", "processes", "cold")
    if entry is None or command not in entry["engines"]:
        return Goal(goal)
    took = float(entry["engines"][command]["median"])
    floor = float(entry["engines"]["python, numpy and onnxruntime"]["median"])
    told = f"{took:.2f} s"
    why = f"importing numpy and onnxruntime alone takes {floor:.2f} s"
    return Goal(goal, told, took <= most, f"by {took - most:.2f} s", "" if took <= most else why)


def _limit(results: Results) -> Goal:
    """Not a goal that was set, but what all others are to be read beside."""
    entry = cell(results, "limits", "the machine", "1 thread")
    goal = "mnist-unet at batch 16: share of the machine's peak product"
    own = cell(results, "sampling", "mnist-unet", "batch 16")
    operations = 0.0 if own is None else own["numbers"].get("operations of a sample's step", 0.0)
    if entry is None or own is None or not operations:
        return Goal(goal)
    share = operations * 16 / own["engines"][OURS]["least"] / (1e9 * entry["numbers"]["GFLOP/s"])
    return Goal(goal, f"{share:.0%}")


Measure = Callable[[Results], Sequence[Goal]]
