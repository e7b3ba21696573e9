"""How the time of a step grows: with the batch, the dimension, the steps, the size of images and the threads."""

from __future__ import annotations

import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import autoregressive
import torch
from gpu_run import models as gpu_models
from suite import models
from suite.results import compared
from suite.worker import Settings

from zoo.benchmarking import stepping
from zoo.runtime import load

OURS, EAGER = "zoo, ONNX Runtime", "torch, eager"
POINTS = 256
#: from this dimension on a flow is written as a loop: unrolled it has too many nodes
LOOP = 1024


def batch(settings: Settings, model: str, batch: int, threads: int = 1) -> dict[str, Any]:
    """A shipped model's step, in ONNX Runtime beside PyTorch."""
    torch.set_num_threads(threads)
    shipped = models.loaded(model, threads)
    takes = {EAGER: models.bare(shipped, EAGER).timed(batch).steps, OURS: models.ours(shipped, batch)[OURS].take}
    count = models.counted(takes[OURS], 50)
    calls = {name: (lambda take=take: take(count)) for name, take in takes.items()}
    result = compared(calls, settings.seconds, base=EAGER, per=count, numbers={"batch": batch, "threads": threads})
    torch.set_num_threads(1)
    return result


def steps(settings: Settings, steps: int) -> dict[str, Any]:
    """Whole samples of a small diffusion, so that what a run costs besides its steps shows."""
    shipped = models.loaded("moons-rectified-flow")
    calls = {
        "zoo, PyTorch": lambda: shipped.model.sample(POINTS, seed=0, steps=steps),
        OURS: lambda: shipped.bundle.sample(POINTS, seed=0, steps=steps, batch_size=POINTS),
    }
    return compared(calls, settings.seconds, base="zoo, PyTorch", per=steps, numbers={"batch": POINTS})


def dimension(settings: Settings, size: int) -> dict[str, Any]:
    """Samples and densities of a masked autoregressive flow of ``autoregressive.py``, written without a proof."""
    model = gpu_models.Model(
        f"maf-{size}", "inverse", "maf", {"event_shape": [size], "transforms": 5, "hidden": [512, 512]}
    )
    torch.manual_seed(0)
    flow = autoregressive.flow(size)
    inverse = "loop" if size >= LOOP else None
    bundle = load(written(flow, model, settings.scratch, inverse=inverse), "cpu", 1)
    z = torch.randn(POINTS, size, generator=torch.Generator().manual_seed(0))
    frozen = flow.frozen()
    with torch.no_grad():
        calls = {
            "PyTorch, density": lambda: frozen.log_density(z),
            "PyTorch, samples": lambda: frozen.inverse(z),
            "ONNX Runtime, density": lambda: bundle.session("log_prob").run({"x": z.numpy()}),
            "ONNX Runtime, samples": lambda: bundle.session("inverse").run({"z": z.numpy()}),
        }
        return compared(calls, settings.seconds, base="PyTorch, samples", unit="s a call", numbers={"batch": POINTS})


def image(settings: Settings, size: int) -> dict[str, Any]:
    """A step of a small U-Net with fresh weights over images of a size, one at a time."""
    config = {"event_shape": [1, size, size], "base": 16, "multipliers": [1, 2, 2], "blocks": 1, "likelihood": False}
    model = gpu_models.Model(f"unet-{size}", "step", "unet", config)
    built = gpu_models.build(model)
    bundle = load(written(built, model, settings.scratch), "cpu", 1)
    takes = {
        "zoo, PyTorch": stepping(built, 1, steps=50).take,
        OURS: stepping(bundle, 1, steps=50).take,
    }
    count = models.counted(takes[OURS], 20)
    calls = {name: (lambda take=take: take(count)) for name, take in takes.items()}
    return compared(calls, settings.seconds, base="zoo, PyTorch", per=count)


def written(
    built: Any, model: gpu_models.Model, scratch: Path, without: Sequence[str] = (), *, inverse: str | None = None
) -> Path:
    """A bundle by the parts of the exporter, compared with PyTorch once."""
    folder = scratch / model.name
    if not folder.exists():
        torch.set_num_threads(1)
        part = folder.with_name(f".{folder.name}")
        gpu_models.write(built.eval(), model, part, without, inverse=inverse)
        gpu_models.compare(built, model, part)
        shutil.move(part, folder)
    return folder
