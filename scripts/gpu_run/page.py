"""The results as JSON and as a page, both complete or not at all."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from gpu_run.cells import MATMUL

TITLES = {"cuda": "# Bundles on a GPU", "cpu": "# A rehearsal on the CPU: nothing here ran on a GPU"}
#: so many cells with one reason are named one by one
NAMED = 4
RESULTS, PAGE = "results.json", "README.md"


def write(results: Mapping[str, Any], folder: Path) -> None:
    """Write both."""
    from zoo.files import write_text

    write_text(folder / RESULTS, json.dumps(results, indent=1) + "\n")
    write_text(folder / PAGE, page(results))


def page(results: Mapping[str, Any]) -> str:
    """The page."""
    machine, cells = results["machine"], results["cells"]
    lines = [
        TITLES[results["provider"]],
        "",
        f"Made by `{results['command'].strip()}` on {machine['date']}, commit {machine['commit'] or 'unknown'}; ended "
        f"{results['ended']}.",
        "",
        f"- {machine['gpu'] or 'no GPU'}; {machine['processor']}, {machine['cores']} cores",
        f"- Python {machine['python']}, " + ", ".join(f"{k} {v}" for k, v in machine["versions"].items()),
        "",
        *_tests(results["tests"]),
        *_peaks(cells),
    ]
    for model in dict.fromkeys(cell["model"] for cell in cells if cell["model"] != MATMUL):
        lines += _model(model, [cell for cell in cells if cell["model"] == model], peaks(cells))
    return "\n".join([*lines, *_others(cells)]).rstrip() + "\n"


def peaks(cells: Sequence[Mapping[str, Any]]) -> dict[str, float]:
    """Floating-point operations a second of a matrix product, by precision."""
    products = [cell for cell in cells if cell["model"] == MATMUL and cell["status"] == "measured"]
    return {cell["precision"]: 1e12 * cell["tflops"] for cell in products}


def fraction(cell: Mapping[str, Any], products: float | None, peak: float | None) -> float | None:
    """The share of the peak that a cell reaches with its products alone."""
    if cell["status"] != "measured" or not products or not peak:
        return None
    return float(products * cell["batch"] / (cell["microseconds"] * 1e-6) / peak)


def name_of(cell: Mapping[str, Any]) -> str:
    """What a cell is, in words."""
    return f"{cell['model']} {cell['engine']} {cell['precision']} {cell['batch'] or ''}".strip()


def said_of(cell: Mapping[str, Any]) -> str:
    """What came out, in words."""
    if "tflops" in cell:
        return f"{cell['tflops']:.3g} TFLOP/s"
    return f"{_microseconds(cell)} us" if cell["status"] == "measured" else cell.get("reason", cell["status"])


def _tests(tests: Mapping[str, Any] | None) -> list[str]:
    if tests is None:
        return ["Tests: not run.", ""]
    if "passed" not in tests:
        return [f"Tests: {tests['ended']}.", "", "```text", tests["output"].strip(), "```", ""]
    lines = [f"Tests: {tests['passed']} passed, {tests['failed']} failed, {tests['skipped']} skipped.", ""]
    failed = [f"- {each['test']}: {each['told'].strip()}" for each in tests["others"] if each["outcome"] == "failed"]
    reasons = Counter(each["told"].strip() for each in tests["others"] if each["outcome"] == "skipped")
    told = [*failed, *(f"- skipped {count}: {reason}" for reason, count in reasons.items())]
    return [*lines, *told, *([""] if told else [])]


def _peaks(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    rates = peaks(cells)
    if not rates:
        return []
    head = ["## The limit", "", "A large matrix product in PyTorch, the fastest of several:", ""]
    rows = [f"| {name} | {rate / 1e12:.3g} |" for name, rate in rates.items()]
    return [*head, "| precision | TFLOP/s |", "| --- | --- |", *rows, ""]


def _model(model: str, cells: Sequence[Mapping[str, Any]], limits: Mapping[str, float]) -> list[str]:
    """Microseconds a step for each engine, precision and batch, and the share of the peak at the best batch."""
    batches = sorted({cell["batch"] for cell in cells})
    products = next((cell["products"] for cell in cells if "products" in cell), None)
    by_key = {(cell["engine"], cell["precision"], cell["batch"]): cell for cell in cells}
    rows = []
    for engine, precision in dict.fromkeys((cell["engine"], cell["precision"]) for cell in cells):
        own = [by_key.get((engine, precision, batch)) for batch in batches]
        if not any(cell is not None and cell["status"] == "measured" for cell in own):
            continue
        shares = [fraction(cell, products, limits.get(precision)) for cell in own if cell is not None]
        best = max((share for share in shares if share is not None), default=None)
        shown = [_microseconds(cell) for cell in own]
        rows.append(f"| {engine} | {precision} | {' | '.join(shown)} | {'' if best is None else f'{best:.1%}'} |")
    if not rows:
        return [f"## {model}", "", "Nothing was measured.", ""]
    sizes = " | ".join(f"batch {batch}" for batch in batches)
    told = "" if products is None else f", {products / 1e9:.3g} GFLOP of products a sample"
    head = [f"## {model}", "", f"Microseconds a step, medians{told}:", ""]
    columns = [f"| engine | precision | {sizes} | of the peak |", "| --- " * (len(batches) + 3) + "|"]
    return [*head, *columns, *rows, ""]


def _microseconds(cell: Mapping[str, Any] | None) -> str:
    if cell is None or cell["status"] != "measured":
        return "-"
    return f"{cell['microseconds']:,.0f}" if cell["microseconds"] >= 100 else f"{cell['microseconds']:.1f}"


def _others(cells: Sequence[Mapping[str, Any]]) -> list[str]:
    """What was not measured, and why, cells of one reason together."""
    reasons: dict[str, list[Mapping[str, Any]]] = {}
    for cell in cells:
        if cell["status"] != "measured":
            told = f"{cell['status']}: {cell['reason']}" if cell.get("reason") else cell["status"]
            reasons.setdefault(told, []).append(cell)
    if not reasons:
        return []
    lines = [f"- {told} ({len(same)}): {_together(same)}" for told, same in reasons.items()]
    return ["## Not measured", "", f"{RESULTS} has each cell.", "", *lines, ""]


def _together(cells: Sequence[Mapping[str, Any]]) -> str:
    """Few cells by their names, many by what occurs in them."""
    if len(cells) <= NAMED:
        return ", ".join(name_of(cell) for cell in cells)
    occurring = ({str(cell[field]): None for cell in cells} for field in ("model", "engine", "precision", "batch"))
    return "; ".join(", ".join(values) for values in occurring)
