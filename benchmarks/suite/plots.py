"""The plots of the page, as SVG, by matplotlib; the same results give the same files."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from suite.results import measured

Results = Mapping[str, Any]
TITLES = {
    "sampling-times": "How many times as fast as eager PyTorch each engine takes a step, by model, at batch 16",
    "scaling-batch": "Milliseconds a step against the batch",
    "scaling-dimension": "Milliseconds a call of a masked autoregressive flow against its dimension",
    "scaling-image": "Milliseconds a step of a U-Net against the size of images",
}
_COLOURS = {
    "torch, channels-last": "tab:gray",
    "torch.compile": "tab:blue",
    "zoo, PyTorch": "tab:green",
    "zoo, ONNX Runtime": "tab:orange",
}


def draw(results: Results, folder: Path) -> dict[str, Path]:
    """Draw what there are results for; returns the files by the names of :data:`TITLES`."""
    import matplotlib

    matplotlib.use("Agg")
    drawn = {}
    with matplotlib.rc_context({"svg.hashsalt": "genzoo", "svg.fonttype": "path", "font.size": 9}):
        for name, how in (
            ("sampling-times", _times),
            ("scaling-batch", lambda axes, r: _growth(axes, r, "by batch", "samples of a batch")),
            ("scaling-dimension", lambda axes, r: _growth(axes, r, "by dimension", "dimension")),
            ("scaling-image", lambda axes, r: _growth(axes, r, "by image size", "pixels of a side")),
        ):
            if (file := _drawn(results, folder / f"benchmarks-{name}.svg", how)) is not None:
                drawn[name] = file
    return drawn


def _drawn(results: Results, path: Path, how: Any) -> Path | None:
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=(7, 4))
    try:
        if not how(axes, results):
            return None
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        figure.tight_layout()
        path.parent.mkdir(parents=True, exist_ok=True)
        figure.savefig(path, metadata={"Date": None, "Creator": None})
    finally:
        pyplot.close(figure)
    return path


def _times(axes: Any, results: Results) -> bool:
    cells = [e for e in measured(results, "sampling") if e["case"] == "batch 16" and e["base"]]
    for index, (engine, colour) in enumerate(_COLOURS.items()):
        own = [(place, e["times"][engine]) for place, e in enumerate(cells) if engine in e["times"]]
        if not own:
            continue
        heights = [times["median"] for _, times in own]
        errors = [[t["median"] - t["low"] for _, t in own], [t["high"] - t["median"] for _, t in own]]
        places = [place + 0.2 * (index - 1.5) for place, _ in own]
        axes.bar(places, heights, 0.2, yerr=errors, label=engine, color=colour, error_kw={"linewidth": 0.8})
    axes.axhline(1, color="black", linewidth=0.8)
    axes.set(ylabel="times as fast as eager PyTorch", yscale="log")
    axes.set_xticks(range(len(cells)), [e["name"] for e in cells], rotation=40, ha="right")
    return bool(cells)


def _growth(axes: Any, results: Results, ending: str, what: str) -> bool:
    cells = [e for e in measured(results, "scaling") if e["name"].endswith(ending)]
    for name in dict.fromkeys(e["name"] for e in cells):
        own = [e for e in cells if e["name"] == name]
        for engine in dict.fromkeys(engine for e in own for engine in e["engines"]):
            points = [(float(e["case"]), e["engines"][engine]) for e in own if engine in e["engines"]]
            label = engine if len({e["name"] for e in cells}) == 1 else f"{name.removesuffix(ending).strip()}: {engine}"
            style = "-" if "ONNX" in engine else "--"
            sizes, spreads = [x for x, _ in points], [spread for _, spread in points]
            axes.plot(sizes, [1e3 * spread["median"] for spread in spreads], style, marker="o", label=label)
    axes.set(xlabel=what, ylabel="ms", xscale="log", yscale="log")
    return bool(cells)
