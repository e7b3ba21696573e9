"""The fused graph against the loop outside: the same samples, and how much time for them.

    python benchmarks/fused.py                     # --model mnist-unet --batch 16 --steps 10 --threads 1 --repeats 9

Exports the model into a temporary folder for each sampler, then draws the same samples by both, in turn, and prints the
ratios of the least and of the median times.
"""

from __future__ import annotations

import argparse
import platform
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np

from zoo.exporting import export
from zoo.models import building
from zoo.models.sources import resolve
from zoo.registry import Registry
from zoo.runtime import load
from zoo.runtime.ort import onnxruntime


def main() -> None:
    """Measure, and print one line a sampler."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", default="mnist-unet")
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--steps", type=int, default=10)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=9)
    parser.add_argument("--samplers", nargs="+", default=["ddim", "ddpm", "dpm-solver-pp"])
    args = parser.parse_args()

    registry = Registry.discover()
    source = resolve(registry, args.model)
    model = building.load(registry, source)
    print(f"{args.model}, batch {args.batch}, {args.steps} steps, {args.threads} thread(s)")
    print(f"ONNX Runtime {onnxruntime().__version__}, Python {platform.python_version()}, {platform.machine()}")
    print(f"{'sampler':<16}{'loop, ms':>10}{'fused, ms':>11}{'ratio of least':>16}{'of medians':>12}{'difference':>12}")
    for sampler in args.samplers:
        with tempfile.TemporaryDirectory() as scratch:
            choice = {"sampler": sampler, "steps": args.steps}
            folder = export(model, Path(scratch) / "bundle", card=source.card, registry=registry, fused=choice)
            bundle = load(folder, "cpu", args.threads)
            loop, fused, difference = [], [], 0.0
            for turn in range(args.repeats + 1):
                begin = time.perf_counter()
                one = bundle.sample(args.batch, seed=turn, batch_size=args.batch, sampler=sampler, steps=args.steps)
                middle = time.perf_counter()
                other = bundle.sample(args.batch, seed=turn, batch_size=args.batch, fused=True)
                end = time.perf_counter()
                difference = max(difference, float(np.abs(one - other).max()))
                if turn:  # the first warms up
                    loop.append(middle - begin)
                    fused.append(end - middle)
        print(
            f"{sampler:<16}{1e3 * min(loop):>10.1f}{1e3 * min(fused):>11.1f}{min(fused) / min(loop):>16.3f}"
            f"{statistics.median(fused) / statistics.median(loop):>12.3f}{difference:>12.1e}"
        )


if __name__ == "__main__":
    main()
