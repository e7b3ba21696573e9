"""The page ``docs/benchmarks.md`` and its plots, from the results alone."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from document import table
from suite import plots
from suite.cells import SECTIONS
from suite.goals import Goal, goals
from suite.results import measured

from zoo.files import write_text

Results = Mapping[str, Any]
#: unit of the results -> unit on the page, and the factor between them
_SHOWN = {
    "s a step": ("milliseconds a step", 1e3),
    "s a call": ("milliseconds a call", 1e3),
    "s a run": ("seconds a run", 1.0),
    "s of CPU": ("seconds of CPU", 1.0),
    "MB": ("megabytes", 1.0),
    "a second": ("in a second", 1.0),
}
_ABOUT = {
    "limits": "A product of square matrices of 1,024 rows by torch's own sgemm, and the copy of an array larger than "
    "any cache, with reading and writing counted.",
    "sampling": "One thread. *torch* is the bare module of a step in a loop with nothing around it; *zoo* is "
    "what users call. Without guidance, so a step is one evaluation of the network; a flow's step is its one call.",
    "variants": "Exported and proven in the run, at batch 16, beside the bundle that ships. Fused runs have the "
    "model's own guidance and 10 steps.",
    "flows": "The same number of transforms, hidden layers, units and bins, with fresh weights in the peers; ours draw "
    "noise by Philox, theirs by torch's generator.",
    "diffusers": "`DDIMPipeline` of a small `UNet2DModel` over 3×32×32 images, ten steps, and the bundle of its "
    "folder that zoo writes, without a proof since the weights are fresh.",
    "scaling": "Milliseconds a step, or a call, against what grows.",
    "memory": "The peak of a process, with Python and all libraries; the first row is without torch.",
    "runtimes": "Whole runs by one thread each; a diffusion takes 20 steps of DDIM. `benchmarks/browser.py` measures a "
    "browser.",
    "start": "A new process each time, with files in memory; no bytecode is compiled.",
    "exports": "By `benchmarks/exports.py` and `benchmarks/proofs.py`: one process each, with its imports.",
    "conditions": "By `benchmarks/conditions.py`: an encoder in every step, once, and once by hand in ONNX Runtime.",
}


def write(results: Results, path: Path) -> None:
    """Write the page, and its plots into ``images`` beside it."""
    images = path.parent / "images"
    drawn = plots.draw(results, images)
    write_text(path, page(results, {name: os.path.relpath(file, path.parent) for name, file in drawn.items()}))


def page(results: Results, images: Mapping[str, str] | None = None) -> str:
    """The page; ``images`` are the paths of its plots by name."""
    lines = [*_head(results), "", *_goals(goals(results)), ""]
    for section, title in SECTIONS.items():
        cells = measured(results, section)
        if not cells:
            continue
        lines += [f"## {title}", "", *_wrapped(_ABOUT[section]), ""]
        for name, place in (images or {}).items():
            if name.partition("-")[0] == section:
                lines += [f"![{plots.TITLES[name]}]({place})", ""]
        for name in dict.fromkeys(each["name"] for each in cells):
            lines += [*_named(section, name, [each for each in cells if each["name"] == name]), ""]
    return "\n".join([*lines, *_others(results)]).rstrip() + "\n"


def _head(results: Results) -> list[str]:
    machine = results["machine"]
    draft = " **A quick run: a draft, whose figures mean nothing.**" if results["quick"] else ""
    told = (
        f"Measured on {machine['date']} at commit {machine['commit'] or 'unknown'} by `{results['command']}` in "
        f"{results['spent_seconds']:.0f} s; ended {results['ended']}.{draft} This page is written from "
        "`benchmarks/results.json` alone by `python -m benchmarks --page`."
    )
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    where = f"{machine['processor']}, {machine['cores']} cores; Python {machine['python']}, {versions}."
    how = (
        "The engines take turns in one process, with the same number of threads, none of which spins while it "
        "waits. Figures are medians with quartiles; *times* are ratios computed turn by turn, above 1 where the engine "
        "is faster than the base."
    )
    return ["# Benchmarks", "", *_wrapped(told), "", *_wrapped(where), "", *_wrapped(how)]


def _goals(entries: Sequence[Goal]) -> list[str]:
    rows = [[goal.goal, goal.measured or "not measured", goal.verdict, goal.why] for goal in entries]
    return ["## Goals", "", *table(["goal", "measured", "reached", "why"], rows).splitlines()]


def _named(section: str, name: str, cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """A table: a row for each engine, and a column for each case."""
    engines = list(dict.fromkeys(engine for each in cells for engine in each["engines"]))
    unit, factor = _SHOWN.get(cells[0]["unit"], (cells[0]["unit"], 1.0))
    bases = {each["base"] for each in cells if each["base"]}
    against = f", and times as fast as {bases.pop()}" if len(bases) == 1 else ""
    if len(cells) > len(engines) or section == "scaling":
        head = ["", *engines]
        rows = [[each["case"], *(_shown(each, engine, factor) for engine in engines)] for each in cells]
    else:
        head = ["", *(each["case"] for each in cells)]
        rows = [[engine, *(_shown(each, engine, factor) for each in cells)] for engine in engines]
    lines = [
        f"### {name}",
        "",
        f"{unit[0].upper()}{unit[1:]}{against}:",
        "",
        *table(head, rows).splitlines(),
    ]
    lines += ["", *_numbers(cells)] if section in ("sampling", "variants", "start", "flows") else []
    missing = {f"{engine}: {why}": None for each in cells for engine, why in each["unavailable"].items()}
    return [*lines, *([""] if missing else []), *(line for each in missing for line in _wrapped(f"- {each}"))]


def _shown(entry: Mapping[str, Any], engine: str, factor: float) -> str:
    spread = entry["engines"].get(engine)
    if spread is None:
        return ""
    told = number(factor * spread["median"])
    if spread["turns"] > 1:
        told += f" ({number(factor * spread['low'])}-{number(factor * spread['high'])})"
    times = entry["times"].get(engine)
    return told if times is None else f"{told}, {number(times['median'])} ×"


def number(value: float) -> str:
    """Three digits, without an exponent."""
    if value == 0:
        return "0"
    if abs(value) >= 100:
        return f"{value:,.0f}"
    digits = 2 if abs(value) >= 1 else 3
    return f"{value:.{digits}f}" if abs(value) < 10 else f"{value:.1f}"


def _numbers(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """Other numbers of cells, one line for each that has any."""
    lines = []
    for each in cells:
        told = [f"{name} {number(value)}" for name, value in each["numbers"].items() if name != "batch" and value]
        lines += _wrapped(f"- {each['case']}: {'; '.join(told)}") if told else []
    return lines


def _others(results: Results) -> list[str]:
    """What was not measured, and why."""
    reasons: dict[str, list[str]] = {}
    for entry in results["cells"]:
        if entry["status"] != "measured":
            told = entry["status"] + (f": {entry['reason']}" if entry.get("reason") else "")
            reasons.setdefault(told, []).append(f"{entry['name']}, {entry['case']}")
    if not reasons:
        return []
    lines = [line for told, which in reasons.items() for line in _wrapped(f"- {told} ({'; '.join(which)})")]
    return ["## Not measured", "", *lines]


def _wrapped(text: str, width: int = 120) -> list[str]:
    """Lines of a paragraph or of an item of a list."""
    import textwrap

    indent = "  " if text.startswith("- ") else ""
    return textwrap.wrap(text, width, subsequent_indent=indent, break_long_words=False, break_on_hyphens=False)
