"""How many times as fast the graphs of one bundle are as those of another one of the same model, in turn.

    python benchmarks/bundles.py OLD NEW                  # --graph step --batches 1 16 256 --turns 11
    python benchmarks/bundles.py mnist-unet out/mnist-unet

Both run the same inputs, on one thread. Times are of the processor, so that other work on the machine takes no part;
ratios are taken turn by turn: medians and quartiles.
"""

from __future__ import annotations

import argparse
import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "scripts"))

from gpu_run.models import feeds

from zoo.bundle.differences import relative_difference
from zoo.models.sources import resolve
from zoo.registry import installed
from zoo.runtime import BundledModel, load

#: samples of a turn, so that small batches take longer than the clock's grain
SAMPLES = 64


def main() -> None:
    """Measure, and print one table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", help="a bundle, or the name of a model")
    parser.add_argument("new")
    parser.add_argument("--graph", help="all that both have, unless said")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 16, 256])
    parser.add_argument("--turns", type=int, default=11)
    args = parser.parse_args()
    old, new = _loaded(args.old), _loaded(args.new)
    print("| graph | batch | old, ms | new, ms | old / new | quartiles | largest difference |")
    print("| --- | --- | --- | --- | --- | --- | --- |")
    both = [name for name in old.manifest.graphs if name in new.manifest.graphs]
    for graph in [args.graph] if args.graph else both:
        for batch in args.batches:
            print(f"| {graph} | {batch} | {_row(old, new, graph, batch, args.turns)} |", flush=True)


def _loaded(name: str) -> BundledModel:
    source = resolve(installed(), name)
    return load(source.bundle or name, "cpu", 1)


def _row(old: BundledModel, new: BundledModel, graph: str, batch: int, turns: int) -> str:
    inputs = feeds(old.manifest.graphs[graph], batch)
    runs = [partial(each.session(graph).run, inputs) for each in (old, new)]
    results = [run() for run in runs]
    difference = max(relative_difference(results[1][name], value, 1.0) for name, value in results[0].items())
    repeats = max(1, SAMPLES // batch)
    taken = np.array([[_seconds(run, repeats) for run in runs] for _ in range(turns)])
    low, middle, high = statistics.quantiles(taken[:, 0] / taken[:, 1], n=4, method="inclusive")
    before, after = 1e3 * np.median(taken, 0)
    return f"{before:.3g} | {after:.3g} | {middle:.2f} | {low:.2f}-{high:.2f} | {difference:.1e}"


def _seconds(run: Callable[[], Any], repeats: int) -> float:
    began = time.process_time()
    for _ in range(repeats):
        run()
    return (time.process_time() - began) / repeats


if __name__ == "__main__":
    main()
