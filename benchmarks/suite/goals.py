"""The goals, the measured figures, and by how much and why a goal is missed."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from suite.results import LEAST_TURNS, OURS, beside, cell, measured

Results = Mapping[str, Any]
#: peers whose numbers of parameters differ by more than this are not compared
SAME_SIZE = 0.05


@dataclass(frozen=True)
class Goal:
    """A goal.

    Attributes:
        goal: in words.
        measured: the figures in words; empty if there are none.
        reached: whether it is reached; None if it was not measured.
        missing: by how much it is missed, in words.
        why: the reason, if it is missed.
        undecided: what keeps the figures from deciding it, if they do not.
    """

    goal: str
    measured: str = ""
    reached: bool | None = None
    missing: str = ""
    why: str = ""
    undecided: str = ""

    @property
    def verdict(self) -> str:
        """Whether it is reached, or by how much it is missed."""
        if self.undecided:
            return f"undecided: {self.undecided}"
        return "" if self.reached is None else "yes" if self.reached else f"no: {self.missing}"


def goals(results: Results) -> list[Goal]:
    """All of them."""
    return [
        _compiled(results),
        _int8(results),
        *(_couplings(results, peer) for peer in ("nflows", "zuko")),
        _autoregressive(results),
        _fused(results),
        # neither numpy nor onnxruntime is imported to list models
        _seconds(results, "zoo list", "`zoo list` under 0.3 s of CPU", 0.3, "python, nothing"),
        _seconds(
            results,
            "a digit, load and 1 step",
            "a first digit from a cold process under 0.6 s of CPU",
            0.6,
            "python, numpy and onnxruntime",
        ),
        _limit(results),
    ]


@dataclass(frozen=True)
class _Ratio:
    """How many times as fast as another an engine is, turn by turn: median and quartiles."""

    where: str
    median: float
    low: float
    high: float
    turns: int

    @property
    def inverse(self) -> _Ratio:
        """How many times as long it takes."""
        return _Ratio(self.where, 1 / self.median, 1 / self.high, 1 / self.low, self.turns)


def _between(entry: Mapping[str, Any], base: str, engine: str) -> list[_Ratio]:
    """The ratio of two engines of a cell; none where it was not taken turn by turn, or they differ in size."""
    sizes = [entry["numbers"].get(f"parameters of {name}") for name in (base, engine)]
    if None not in sizes and abs(sizes[0] / sizes[1] - 1) > SAME_SIZE:
        return []
    times = entry["times"].get(engine if entry["base"] == base else beside(base, engine))
    if times is None:
        return []
    where = f"{entry['name']}, {entry['case']}"
    return [_Ratio(where, float(times["median"]), float(times["low"]), float(times["high"]), int(times["turns"]))]


def _judged(goal: str, told: str, ratios: Sequence[_Ratio], wanted: float, missing: str, why: str) -> Goal:
    """A goal for all of some ratios, which are at least ``wanted``: only their quartiles decide."""
    if few := [each for each in ratios if each.turns < LEAST_TURNS]:
        return Goal(goal, told, undecided=f"{len(few)} of {len(ratios)} have fewer than {LEAST_TURNS} turns")
    if all(each.low >= wanted for each in ratios):
        return Goal(goal, told, True)
    if any(each.high < wanted for each in ratios):
        return Goal(goal, told, False, missing, why)
    return Goal(goal, told, undecided=f"the quartiles of the turns enclose {wanted:g} ×")


def _least(values: Iterable[_Ratio], wanted: float, goal: str, why: str, what: str) -> Goal:
    """A goal for the worst of several ratios."""
    seen = sorted(values, key=lambda each: each.median)
    if not seen:
        return Goal(goal)
    worst = seen[0]
    short = [each for each in seen if each.median < wanted]
    told = (
        f"least {worst.median:.2f} × ({worst.where}; quartiles {worst.low:.2f} to {worst.high:.2f}), most "
        f"{seen[-1].median:.2f} ×, of {len(seen)} {what}"
    )
    missing = f"{len(short)} of {len(seen)} below, the worst by {1 - worst.median / wanted:.0%}"
    return _judged(goal, told, seen, wanted, missing, why)


def _compiled(results: Results) -> Goal:
    values = [ratio for each in measured(results, "sampling") for ratio in _between(each, "torch.compile", OURS)]
    why = (
        "large batches are bound by products, which both do at the machine's peak, and the splines of slcp-posterior "
        "by thousands of small operators, which a compiled module fuses; the ratio is of a bare compiled module and a "
        "whole run with its noise, row and checks"
    )
    return _least(values, 1.1, "at least 1.1 × `torch.compile` at every batch", why, "cells")


def _int8(results: Results) -> Goal:
    ways = ("int8", "int8-dynamic")
    cells = [entry for way in ways if (entry := cell(results, "variants", "mnist-unet", way)) is not None]
    values = [(ratio, e["case"]) for e in cells for ratio in _between(e, "float32", e["case"])]
    goal = "int8 at least 1.8 × float32 (mnist-unet)"
    if not values:
        return Goal(goal)
    best, way = max(values, key=lambda each: each[0].median)
    told = "; ".join(f"{name} {value.median:.2f} ×" for value, name in values)
    why = "convolutions of int8 gain where the processor has VNNI or AMX; the rest of the network stays in float32"
    return _judged(goal, told, [best], 1.8, f"{way} by {1 - best.median / 1.8:.0%}", why)


def _couplings(results: Results, peer: str) -> Goal:
    cells = [each for each in measured(results, "flows") if each["name"] != "maf-64"]
    values = [ratio for each in cells for ratio in _between(each, peer, OURS)]
    why = "wide flows at large batches are bound by the products of their networks, which are as many in both"
    return _least(values, 3.0, f"coupling flows at least 3 × {peer}, both ways", why, "cells")


def _autoregressive(results: Results) -> Goal:
    entry = cell(results, "flows", "maf-64", "samples, batch 256")
    goal = "samples of the 64-D MAF at least 90 × zuko"
    ratios = [] if entry is None else _between(entry, "zuko", OURS)
    if not ratios:
        return Goal(goal)
    times = ratios[0].median
    why = (
        "arithmetic ends at 128 ×; each of 320 components takes 12 operators one after the other, which at batch 1, "
        "without much arithmetic, take two fifths of the time already"
    )
    return _judged(goal, f"{times:.0f} ×", ratios, 90.0, f"by {1 - times / 90:.0%}", why)


def _fused(results: Results) -> Goal:
    entries = [e for e in measured(results, "variants") if e["case"] == "fused"]
    goal = "a fused run at most 1.02 × the loop's time"
    values = [ratio for each in entries for ratio in _between(each, "float32", "fused")]
    if not values:
        return Goal(goal)
    told = "; ".join(f"{each.where.partition(',')[0]} {each.inverse.median:.3f} ×" for each in values)
    worst = max(each.inverse.median for each in values)
    why = "Philox in standard operators costs more than in NumPy, which shows where the network takes microseconds"
    return _judged(goal, told, values, 1 / 1.02, f"by {worst / 1.02 - 1:.0%}", why)


def _seconds(results: Results, command: str, goal: str, most: float, floor: str) -> Goal:
    entry = cell(results, "start", "processes", "cold")
    if entry is None or not {command, floor} <= entry["engines"].keys():
        return Goal(goal)
    took, least = entry["engines"][command], float(entry["engines"][floor]["median"])
    told = f"{took['median']:.2f} s"
    if took["turns"] < LEAST_TURNS:
        return Goal(goal, told, undecided=f"fewer than {LEAST_TURNS} turns")
    if took["low"] <= most < took["high"]:
        return Goal(goal, told, undecided=f"the quartiles of the turns enclose {most:g} s")
    reached = bool(took["high"] <= most)
    why = "" if reached else f"{floor} alone takes {least:.2f} s"
    return Goal(goal, told, reached, f"by {took['median'] - most:.2f} s", why)


def _limit(results: Results) -> Goal:
    """Not a goal, but a figure to read all goals against."""
    entry = cell(results, "limits", "the machine", "1 thread")
    goal = "mnist-unet at batch 16: share of the machine's peak product"
    own = cell(results, "sampling", "mnist-unet", "batch 16")
    operations = 0.0 if own is None else own["numbers"].get("operations of a sample's step", 0.0)
    if entry is None or own is None or not operations:
        return Goal(goal)
    share = operations * 16 / own["engines"][OURS]["least"] / (1e9 * entry["numbers"]["GFLOP/s"])
    return Goal(goal, f"{share:.0%}")
