"""Sampling autoregressive flows at the cost of one pass: ours against zuko, and how the cost grows with the dimension.

    python benchmarks/autoregressive.py            # --sizes 16 32 64 128 256 --points 256 --threads 1 --repeats 5
    python benchmarks/autoregressive.py --plot benchmarks/autoregressive.png

Draws the same points from the same masked autoregressive flow (64 dimensions, 5 transforms, hidden layers of 512) by
zuko, by our PyTorch and by ONNX Runtime, in turn, and prints the ratios of the least times. Then does so for other
dimensions, without zuko, beside one evaluation of the density. Needs zuko for the first table; says so without it.
"""

from __future__ import annotations

import argparse
import platform
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from zoo.exporting import export
from zoo.registry import Registry
from zoo.runtime import load
from zoo.runtime.ort import onnxruntime
from zoo_flows.maf import MAF
from zoo_flows.transforms import Autoregressive

HIDDEN, TRANSFORMS = (512, 512), 5


def main() -> None:
    """Measure, and print two tables."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=64, help="dimension of the comparison with zuko")
    parser.add_argument("--sizes", type=int, nargs="*", default=[16, 32, 64, 128, 256])
    parser.add_argument("--points", type=int, default=256)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--plot", type=Path, help="file to draw the growth into")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    print(f"{args.points} points, {TRANSFORMS} transforms, hidden layers of {HIDDEN}, {args.threads} thread(s)")
    print(
        f"torch {torch.__version__}, ONNX Runtime {onnxruntime().__version__}, "
        f"Python {platform.python_version()}, {platform.machine()}"
    )
    compare(args.size, args.points, args.threads, args.repeats)
    rows = [growth(size, args.points, args.threads, args.repeats) for size in args.sizes]
    if rows:
        print(f"\n{'d':>5}" + "".join(f"{name:>22}" for name in rows[0]))
        for size, row in zip(args.sizes, rows, strict=True):
            print(f"{size:>5}" + "".join(f"{1e3 * seconds:>19.1f} ms" for seconds in row.values()))
    if args.plot and rows:
        plot(args.sizes, rows, args.plot)


def compare(size: int, points: int, threads: int, repeats: int) -> None:
    """Ours against zuko."""
    try:
        import zuko
    except ImportError:
        print("\nzuko is not installed, so ours are not compared with it: pip install zuko==1.6.0")
        return
    theirs = zuko.flows.MAF(size, transforms=TRANSFORMS, hidden_features=HIDDEN).eval()
    model = flow(size)
    copied(theirs, model)
    z = torch.randn(points, size, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
        began = time.perf_counter()
        bundles = {way: bundle(model, Path(scratch) / way, way, threads) for way in ("unroll", "loop")}
        exported = (time.perf_counter() - began) / 2
        calls: dict[str, Callable[[], np.ndarray]] = {
            "zuko": lambda: theirs().transform.inv(z).numpy(),
            "PyTorch": lambda: model.inverse(z).numpy(),
            **{
                f"ONNX Runtime, {way}": lambda b=b: b.session("inverse").run({"z": z.numpy()})["x"]
                for way, b in bundles.items()
            },
        }
        expected = calls["zuko"]()
        times = least(calls, repeats)
        print(f"\nsampling in {size} dimensions; an export with its proof takes {exported:.1f} s\n")
        print(f"{'':<24}{'ms':>10}{'times as fast':>15}{'largest difference':>20}")
        for name, call in calls.items():
            difference = float(np.abs(call() - expected).max())
            print(f"{name:<24}{1e3 * times[name]:>10.1f}{times['zuko'] / times[name]:>15.0f}{difference:>20.1e}")


def growth(size: int, points: int, threads: int, repeats: int) -> dict[str, float]:
    """Seconds for sampling and for one density, in PyTorch and in ONNX Runtime."""
    model = flow(size)
    z = torch.randn(points, size, generator=torch.Generator().manual_seed(0))
    with tempfile.TemporaryDirectory() as scratch, torch.no_grad():
        exported = bundle(model, Path(scratch) / "bundle", "unroll", threads)
        frozen = model.frozen()
        return least(
            {
                "PyTorch, density": lambda: frozen.log_density(z),
                "PyTorch, samples": lambda: frozen.inverse(z),
                "ONNX, density": lambda: exported.session("log_prob").run({"x": z.numpy()}),
                "ONNX, samples": lambda: exported.session("inverse").run({"z": z.numpy()}),
            },
            repeats,
        )


def flow(size: int) -> MAF:
    """Ours, with weights that are not those of a fresh one."""
    torch.manual_seed(0)
    model = MAF(event_shape=[size], transforms=TRANSFORMS, hidden=HIDDEN)
    with torch.no_grad():
        for transform in model.transforms:
            if isinstance(transform, Autoregressive):
                last = transform.network.linear(-1)
                # outputs of the same size whatever the width of what they read
                last.weight.normal_(0.0, 0.4 * last.in_features**-0.5)
                last.weight.copy_(last.masked())
    return model.eval()


@torch.no_grad()
def copied(theirs: torch.nn.Module, ours: MAF) -> None:
    """Give zuko's flow the weights of ours; see ``tests/flows/test_zuko.py`` for what goes where."""
    transforms = [t for t in ours.transforms if isinstance(t, Autoregressive)]
    for turn, (target, source) in enumerate(zip(theirs.transform.transforms, transforms, strict=True)):
        network = source.network
        size = network.size
        order = torch.arange(size) if turn % 2 == 0 else torch.arange(size).flip(0)
        columns, layers = order, [layer for layer in target.hyper if isinstance(layer, torch.nn.Linear)]
        for index, layer in enumerate(layers):
            own = network.linear(index)
            if index == len(layers) - 1:
                rows = (order[:, None] * network.outputs + torch.arange(network.outputs)).flatten()
            else:
                rows = torch.argsort(torch.arange(len(own.bias)) % (size - 1), stable=True)
            layer.weight[rows[:, None], columns] = own.masked()
            layer.bias[rows] = own.bias
            columns = rows


def bundle(model: MAF, folder: Path, way: str, threads: int):
    """A bundle of the model, loaded."""
    return load(export(model, folder, inverse=way, registry=Registry.discover()), "cpu", threads)


def least(calls: dict[str, Callable[[], object]], repeats: int) -> dict[str, float]:
    """Seconds of the fastest of ``repeats`` calls each, taken in turn after one to warm up."""
    times: dict[str, list[float]] = {name: [] for name in calls}
    for turn in range(repeats + 1):
        for name, call in calls.items():
            began = time.perf_counter()
            call()
            if turn:
                times[name].append(time.perf_counter() - began)
    return {name: min(taken) for name, taken in times.items()}


def plot(sizes: list[int], rows: list[dict[str, float]], path: Path) -> None:
    """Draw milliseconds against the dimension."""
    from matplotlib import pyplot, ticker

    figure, axes = pyplot.subplots(figsize=(6, 4))
    for name in rows[0]:
        style = "--" if "density" in name else "-"
        colour = "tab:blue" if name.startswith("PyTorch") else "tab:orange"
        axes.plot(sizes, [1e3 * row[name] for row in rows], style, marker="o", label=name, color=colour)
    axes.set(xlabel="dimension", ylabel="ms", xscale="log", yscale="log")
    axes.set_xticks(sizes, labels=[str(size) for size in sizes])
    axes.set_yticks(milliseconds := [5, 10, 20, 50, 100], labels=[str(each) for each in milliseconds])
    for axis in (axes.xaxis, axes.yaxis):
        axis.set_minor_locator(ticker.NullLocator())
    axes.grid(alpha=0.3)
    axes.legend()
    figure.tight_layout()
    figure.savefig(path, dpi=120, metadata={"Software": None})


if __name__ == "__main__":
    main()
