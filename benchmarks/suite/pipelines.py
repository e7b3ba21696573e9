"""diffusers' own pipeline beside the bundle that zoo exports of its folder."""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from gpu_run import models as gpu_models
from suite.results import compared
from suite.scaling import written
from suite.worker import Given

from zoo.models import building
from zoo.models.sources import resolve
from zoo.registry import installed
from zoo.runtime import load

STEPS = 10
#: a small one of the layout of google/ddpm-cifar10-32
NETWORK: dict[str, Any] = {
    "sample_size": 32,
    "in_channels": 3,
    "out_channels": 3,
    "layers_per_block": 1,
    "block_out_channels": (32, 64, 64),
    "down_block_types": ("DownBlock2D", "AttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "AttnUpBlock2D", "UpBlock2D"),
    "norm_num_groups": 8,
}


def measure(given: Given, batch: int) -> dict[str, Any]:
    """Seconds a step of whole runs of DDIM, with fresh weights."""
    pipeline, model, bundle = _made(given.scratch)
    options = {"sampler": "ddim", "steps": STEPS}
    calls = {
        "diffusers": lambda: pipeline(batch_size=batch, num_inference_steps=STEPS, output_type="np"),
        "zoo, PyTorch": lambda: model.sample(batch, seed=0, **options),
        "zoo, ONNX Runtime": lambda: bundle.sample(batch, seed=0, batch_size=batch, **options),
    }
    return compared(calls, given.seconds, base="diffusers", per=STEPS, numbers={"batch": batch})


@lru_cache(maxsize=1)
def _made(scratch: Path) -> tuple[Any, Any, Any]:
    from diffusers import DDIMPipeline, DDIMScheduler, UNet2DModel

    torch.manual_seed(0)
    pipeline = DDIMPipeline(UNet2DModel(**NETWORK), DDIMScheduler())
    pipeline.set_progress_bar_config(disable=True)
    folder = scratch / "pipeline"
    pipeline.save_pretrained(folder)
    source = resolve(installed(), folder)
    model = building.load(installed(), source).eval()
    # a network that learned nothing amplifies rounding over whole runs, so its steps are compared, and no run is proven
    folder = written(model, gpu_models.Model("diffusers-unet2d", "step", "unet2d"), scratch, ["log_prob"])
    return pipeline, model, load(folder, "cpu", 1)
