"""Sampling other people's autoregressive flows: their graphs converted, as an export writes them, beside traced ones.

    python benchmarks/converted.py                      # of 16 numbers, 1,000 samples a call, 9 turns
    python benchmarks/converted.py --size 64 --samples 100 --turns 5

Each flow (three layers, two hidden layers of 64, weights moved by normals of deviation 0.05) is exported twice: as
``zoo.wrap`` gives it, and traced in the library's own code, which passes its network once for each number. Both bundles
then draw the same samples in turn, in one process and one thread; times are of CPU, medians, and ratios turn by turn.
"""

from __future__ import annotations

import argparse
import contextlib
import platform
import tempfile
import time
import warnings
from collections.abc import Callable
from functools import partial
from pathlib import Path
from statistics import median
from typing import Any
from unittest import mock

import numpy as np
import torch
from torch import nn

import zoo
from zoo import runtime
from zoo.bundle.differences import relative_difference
from zoo.runtime.ort import onnxruntime

LAYERS, HIDDEN, DEVIATION = 3, 64, 0.05


def _zuko(name: str) -> Callable[[int], nn.Module]:
    def build(size: int) -> nn.Module:
        import zuko

        flow: nn.Module = getattr(zuko.flows, name)(size, transforms=LAYERS, hidden_features=(HIDDEN, HIDDEN))
        return flow

    return build


def _nflows(name: str, **more: Any) -> Callable[[int], nn.Module]:
    def build(size: int) -> nn.Module:
        from nflows import distributions, flows, transforms

        layers = []
        for _ in range(LAYERS):
            layers.append(transforms.ReversePermutation(size))
            layers.append(getattr(transforms, name)(size, HIDDEN, num_blocks=1, **more))
        flow: nn.Module = flows.Flow(transforms.CompositeTransform(layers), distributions.StandardNormal([size]))
        return flow

    return build


_SPLINE = {"num_bins": 8, "tails": "linear", "tail_bound": 3.0}
FLOWS = {
    "zuko `MAF`": _zuko("MAF"),
    "zuko `NSF`": _zuko("NSF"),
    "nflows `MaskedAffineAutoregressive`": _nflows("MaskedAffineAutoregressiveTransform"),
    "nflows `MaskedPiecewiseRationalQuadraticAutoregressive`": _nflows(
        "MaskedPiecewiseRationalQuadraticAutoregressiveTransform", **_SPLINE
    ),
}


def exported(flow: nn.Module, folder: Path, *, traced: bool) -> runtime.BundledModel:
    """The bundle of a flow, converted or traced."""
    from zoo_nflows.wrapped import NflowsFlow
    from zoo_zuko.wrapped import ZukoFlow

    with contextlib.ExitStack() as stack:
        if traced:
            stack.enter_context(mock.patch.object(ZukoFlow, "_converted", return_value=None))
            stack.enter_context(mock.patch.object(NflowsFlow, "_written", return_value={}))
        zoo.export(zoo.wrap(flow), folder)
    return runtime.load(folder, device="cpu")


def seconds(call: Callable[[], object]) -> float:
    """Seconds of CPU of a call."""
    began = time.process_time()
    call()
    return time.process_time() - began


def main() -> None:
    """Export each flow twice, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--size", type=int, default=16)
    parser.add_argument("--samples", type=int, default=1000)
    parser.add_argument("--turns", type=int, default=9)
    asked = parser.parse_args()
    warnings.simplefilter("ignore")  # of the libraries
    torch.set_num_threads(1)
    print(f"torch {torch.__version__}, ONNX Runtime {onnxruntime().__version__}, Python {platform.python_version()}\n")
    print("| flow | traced, ms | converted, ms | times as fast | difference |\n| --- | --- | --- | --- | --- |")
    for name, build in FLOWS.items():
        torch.manual_seed(0)
        flow = build(asked.size)
        with torch.no_grad():
            for parameter in flow.parameters():
                parameter += DEVIATION * torch.randn(parameter.shape)
        with tempfile.TemporaryDirectory() as folder:
            both = [exported(flow.eval(), Path(folder) / str(traced), traced=traced) for traced in (True, False)]
            sessions = [each.session("inverse") for each in both]
            z = np.random.default_rng(0).standard_normal((asked.samples, asked.size)).astype(np.float32)
            traced_x, x = (session.run({"z": z})["x"] for session in sessions)
            calls = [partial(session.run, {"z": z}) for session in sessions]
            taken = []
            for turn in range(asked.turns):
                order = (0, 1) if turn % 2 else (1, 0)
                spent = {which: seconds(calls[which]) for which in order}
                taken.append((spent[0], spent[1]))
        times = [1e3 * median(each) for each in zip(*taken, strict=True)]
        faster = median(slow / fast for slow, fast in taken)
        apart = relative_difference(x, traced_x, 1.0)
        print(f"| {name} | {times[0]:.1f} | {times[1]:.1f} | {faster:.1f} | {apart:.0e} |", flush=True)


if __name__ == "__main__":
    main()
