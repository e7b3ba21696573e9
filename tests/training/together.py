"""Trains small models as one of the processes that the environment names, as ``torchrun`` would.

    python together.py FOLDER SETTINGS NAME...

Each case trains into ``FOLDER/NAME``, with settings of the training beside its own, as JSON, of which ``stop`` is
a step after which it is interrupted. Tests run it twice at once and alone, and compare what was written.
"""

import json
import sys
from itertools import count
from pathlib import Path

import numpy as np
import torch

from zoo import weights
from zoo.data import Dataset, Split
from zoo.models.building import build
from zoo.registry import installed
from zoo.training import kept, loop
from zoo.training.processes import joined
from zoo.training.recipe import Recipe

CLASSES = {"condition": {"kind": "classes", "size": 3, "required": False}}
VECTOR = {"condition": {"kind": "vector", "size": 2}}
PARTS = {
    "condition": {
        "parts": [
            {"name": "which", "modality": "classes", "size": 3, "null": 3},
            {"name": "numbers", "modality": "numbers", "shape": [2], "null": [0.0, 0.0]},
        ]
    }
}
FLOW = {"event_shape": [4], "transforms": 2, "hidden": 8}
AUTOREGRESSIVE = {**FLOW, "hidden": [8]}
IMAGE = {"event_shape": [1, 8, 8]}
UNET2D = {"block_out_channels": [8, 8], "norm_num_groups": 4, "add_attention": False}
UNET2D |= {"down_block_types": ["DownBlock2D", "DownBlock2D"], "up_block_types": ["UpBlock2D", "UpBlock2D"]}
UNET = {**IMAGE, "base": 8, "multipliers": [1, 2], "attention": [], "head_channels": 8}
MLP = {"event_shape": [4], "hidden": 8, "blocks": 1}
LATENTS = {"kind": "unet", "base": 8, "multipliers": [1, 2], "attention": [], "head_channels": 8}
CODER = {"widths": [8], "latent_channels": 2}

#: every architecture: name, config, settings of the training
CASES = {
    "adm": ("adm", {**IMAGE, "model_channels": 32, "num_res_blocks": 1, "dropout": 0.2} | CLASSES, {}),
    "cnf": ("cnf", {"event_shape": [4], "hidden": 8} | CLASSES, {}),
    "cnf-likelihood": ("cnf", {"event_shape": [4], "hidden": 8, "objective": "likelihood", "exact": 2, "steps": 4}, {}),
    "cnf-coupling": ("cnf", {"event_shape": [4], "hidden": 8, "coupling": "optimal-transport"} | CLASSES, {}),
    "diffwave": ("diffwave", {"event_shape": [1, 16]} | CLASSES, {}),
    "dit": ("dit", {**IMAGE, "hidden_size": 16, "depth": 2, "num_heads": 2} | CLASSES, {}),
    "glow": ("glow", {**IMAGE, "hidden": 8} | CLASSES, {}),
    "iaf": ("iaf", AUTOREGRESSIVE | VECTOR, {}),
    "kl-autoencoder": ("kl-autoencoder", {**IMAGE, **CODER}, {}),
    "latent": ("latent", {"event_shape": [1, 8, 8], "autoencoder": CODER, "network": LATENTS} | CLASSES, {}),
    "maf": ("maf", AUTOREGRESSIVE | VECTOR, {}),
    # plain gradients: what batch normalisation takes away has gradients of rounding alone, which Adam blows up
    "maf-batchnorm": ("maf", AUTOREGRESSIVE | {"batchnorm": True} | CLASSES, {"optimizer": "sgd"}),
    "masked": ("masked", {"event_shape": [4], "levels": 5, "width": 8, "layers": 1, "heads": 2} | CLASSES, {}),
    "mlp": ("mlp", MLP | CLASSES | {"dropout": 0.3}, {"ema": 0.9, "evaluate_every": 2, "keep": "best"}),
    "mlp-vector": ("mlp", MLP | VECTOR | {"objective": {"times": "logit-normal"}}, {"accumulate": 3}),
    "mlp-parts": ("mlp", MLP | PARTS, {"gradient_clip": 0.5, "batch_size": 11, "accumulate": 2}),
    "mlp-coupling": ("mlp", MLP | CLASSES | {"objective": {"coupling": "optimal-transport"}}, {"batch_size": 7}),
    "mlp-bfloat16": ("mlp", MLP | CLASSES, {"precision": "bfloat16"}),
    "mlp-lion": ("mlp", MLP | CLASSES, {"optimizer": "lion"}),
    "mlp-muon": ("mlp", MLP | CLASSES, {"optimizer": "muon"}),
    "mlp-schedule-free": ("mlp", MLP | CLASSES, {"optimizer": "schedule-free", "schedule": "constant"}),
    "mlp-snapshots": ("mlp", MLP | CLASSES, {"ema_snapshots": 1, "ema_length": 0.07}),
    "naf": ("naf", AUTOREGRESSIVE | CLASSES, {}),
    "nice": ("nice", FLOW | CLASSES, {}),
    "nsf-ar": ("nsf-ar", AUTOREGRESSIVE | CLASSES, {}),
    "nsf-circular": ("nsf-circular", FLOW | CLASSES, {}),
    "nsf-coupling": ("nsf-coupling", FLOW | VECTOR, {"evaluate_every": 1, "patience": 2, "learning_rate": 0.3}),
    "pixelcnn": ("pixelcnn", {**IMAGE, "width": 8, "blocks": 1} | CLASSES, {}),
    "planar": ("planar", {"event_shape": [4], "transforms": 2} | CLASSES, {}),
    "radial": ("radial", {"event_shape": [4], "transforms": 2} | CLASSES, {}),
    "realnvp": ("realnvp", FLOW | CLASSES, {}),
    "residual": ("residual", {**FLOW, "exact": 2} | CLASSES, {}),
    "sylvester": ("sylvester", {"event_shape": [4], "transforms": 2} | CLASSES, {}),
    "tarflow": ("tarflow", {**IMAGE, "width": 16, "noise": 0.1} | CLASSES, {}),
    "umnn": ("umnn", AUTOREGRESSIVE | CLASSES, {}),
    "unet": ("unet", UNET | CLASSES, {}),
    "unet1d": (
        "unet1d",
        {"event_shape": [1, 32], "patch": 4, "base": 8, "multipliers": [1, 2], "head_channels": 8} | CLASSES,
        {},
    ),
    "unet2d": ("unet2d", {**IMAGE, **UNET2D} | CLASSES, {}),
    "uvit": ("uvit", {**IMAGE, "embed_dim": 16, "depth": 2, "num_heads": 2} | CLASSES, {}),
}


def case(name, **more):
    """A fresh model, its data, and the recipe of a run; ``NAME-in-parts`` is of a model that is kept in parts."""
    whole = name.removesuffix("-in-parts")
    more = more if whole == name else {**more, "shard": True}
    architecture, config, training = CASES[whole]
    settings = {"steps": 4, "batch_size": 12, "learning_rate": 0.01, "log_every": 1, **training, **more}
    described = {
        "name": name,
        "model": {"architecture": architecture, "config": config},
        "data": {"name": "made"},
        "training": settings,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        # in float64, so that a difference is none of rounding
        model = build(installed(), architecture, config).to(torch.float64)
    return model, data_for(model), Recipe.from_dict(described)


def data_for(model):
    """Rounded numbers, or symbols, and conditions of the kind that the model takes."""
    random = np.random.default_rng(0)
    levels = getattr(model, "levels", None)
    shape = (40, *model.event_shape)
    x = random.integers(0, levels, shape) if levels else np.round(random.uniform(-2, 2, shape), 1)
    which, numbers = random.integers(0, 3, 40).astype(np.int32), random.normal(0, 1, (40, 2)).astype(np.float32)
    condition = None
    if model.condition is not None:
        plain = {"classes": which, "vector": numbers}
        condition = plain[model.condition.kind] if model.condition.plain else {"which": which, "numbers": numbers}

    def part(rows):
        given = {k: v[rows] for k, v in condition.items()} if isinstance(condition, dict) else condition
        return Split(x[rows].astype(np.float32), given[rows] if isinstance(given, np.ndarray) else given)

    grain = None if levels else np.full(model.event_shape, 0.1, np.float32)
    return Dataset("made", part(slice(0, 24)), part(slice(24, 33)), part(slice(33, 40)), levels=levels, grain=grain)


def main(folder, settings, *names):
    settings = json.loads(settings)
    stop = settings.pop("stop", None)
    with joined() as processes:
        for name in names:
            place = Path(folder) / name
            place.mkdir(parents=True, exist_ok=True)
            model, data, recipe = case(name, **settings)
            path = kept.checkpoint_in(place, shard=recipe.training.shard)
            steps = count(1)
            result = loop.train(model, data, recipe, path, stop=lambda: next(steps) == stop, processes=processes)  # noqa: B023
            if processes.leads and result is not None:
                weights.write(place / "weights.safetensors", result.arrays)


if __name__ == "__main__":
    main(*sys.argv[1:])
