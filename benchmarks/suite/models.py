"""Shipped models in every engine, kept until another one is asked for."""

from __future__ import annotations

import copy
from collections.abc import Callable
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from gpu_run import models as gpu_models
from gpu_run.cells import COMPILED, EAGER, Cell
from gpu_run.engines import PyTorch

from zoo.benchmarking import TURN, Stepping, seconds_of, stepping
from zoo.models import building
from zoo.models.sources import Source, resolve
from zoo.registry import installed
from zoo.runtime import BundledModel, load

#: without tuning, which takes minutes, and for any batch
COMPILING = {"dynamic": None}
Take = Callable[[int], object]


@dataclass
class Loaded:
    """A shipped model.

    Attributes:
        source: where it comes from.
        model: in PyTorch.
        bundle: in ONNX Runtime.
        options: of its runs: no guidance, so that a step is one evaluation of the network.
        described: as the engines in PyTorch ask for it.
        engines: those that were made, by name.
    """

    source: Source
    model: Any
    bundle: BundledModel
    options: dict[str, Any]
    described: gpu_models.Model
    engines: dict[str, Any]


@lru_cache(maxsize=1)
def loaded(name: str, threads: int = 1) -> Loaded:
    """A shipped model by its name."""
    torch.set_num_threads(threads)
    source = resolve(installed(), name)
    assert source.bundle is not None
    assert source.card is not None
    bundle = load(source.bundle, "cpu", threads, samplers=installed().samplers())
    model = building.load(installed(), source).eval().requires_grad_(False)
    program = bundle.manifest.sampling
    options = {"guidance": 1.0} if program.stepped and bundle.condition is not None else {}
    described = gpu_models.Model(name, program.graph, source.card.architecture, shipped=name)
    return Loaded(source, model, bundle, options, described, {})


def bare(found: Loaded, engine: str) -> Any:
    """A loop of PyTorch around the module that the step is, with nothing else, for an engine's name."""
    if engine not in found.engines:
        kind = COMPILED if engine == "torch.compile" else EAGER
        built = copy.deepcopy(found.model)
        if engine == "torch, channels-last":
            built = built.to(memory_format=torch.channels_last)
        cell = Cell(found.described.name, kind, "float32", 1)
        found.engines[engine] = PyTorch(built, found.described, cell, "cpu", COMPILING)
    return found.engines[engine]


def has_images(found: Loaded) -> bool:
    """Whether its network is one of convolutions over images, whose layout can be chosen."""
    return len(found.bundle.event_shape) == 3 and any(
        isinstance(each, torch.nn.Conv2d) for each in found.model.modules()
    )


def ours(found: Loaded, batch: int) -> dict[str, Stepping]:
    """The model in PyTorch and in ONNX Runtime, as users run it."""
    return {
        "zoo, PyTorch": stepping(found.model, batch, **found.options),
        "zoo, ONNX Runtime": stepping(found.bundle, batch, **found.options),
    }


def counted(take: Take, most: int) -> int:
    """How many steps a turn takes."""
    take(1)
    return max(1, min(most, int(TURN / max(seconds_of(lambda: take(1)), 1e-9))))


def products(found: Loaded) -> float:
    """Floating-point operations of the products of one sample's step; 0 where they cannot be counted."""
    assert found.source.bundle is not None
    try:
        return gpu_models.products(found.model, found.described, Path(found.source.bundle))
    except (RuntimeError, KeyError, TypeError, ValueError):
        return 0.0
