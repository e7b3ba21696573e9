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

from zoo import weights
from zoo.benchmarking import TURN, Stepping, seconds_of, stepping
from zoo.bundle import GOLDEN
from zoo.models import building
from zoo.models.sources import Source, resolve
from zoo.registry import installed
from zoo.runtime import BundledModel, load
from zoo.runtime.check import grouped

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
        described: its description for the engines in PyTorch.
        engines: those that are built, by name.
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
    options: dict[str, Any] = {"guidance": 1.0} if program.stepped and bundle.condition is not None else {}
    if bundle.condition is not None and bundle.condition.required:
        options["condition"] = _observed(bundle)
    described = gpu_models.Model(name, program.graph, source.card.architecture, shipped=name)
    return Loaded(source, model, bundle, options, described, {})


def _observed(bundle: BundledModel) -> Any:
    """The condition of the first sample among a bundle's golden values, for models that sample under one only."""
    cases = grouped(weights.read(bundle.bundle.file(GOLDEN)))
    case = next(each for each in cases.values() if each.subject == "program:sample")
    rows = {name: value[0] for name, value in case.inputs.items() if name.partition("/")[0] == "condition"}
    assert bundle.condition is not None
    if "condition" in rows:
        return rows["condition"]
    parts = {name.partition("/")[2]: value for name, value in rows.items()}
    lengths = {part.name: int(parts[part.mask].sum()) for part in bundle.condition.parts if part.mask in parts}
    return {part.name: parts[part.name][: lengths.get(part.name)] for part in bundle.condition.parts}


def bare(shipped: Loaded, engine: str) -> Any:
    """The bare loop of PyTorch around the module of a step, by the engine's name."""
    if engine not in shipped.engines:
        kind = COMPILED if engine == "torch.compile" else EAGER
        built = copy.deepcopy(shipped.model)
        if engine == "torch, channels-last":
            built = built.to(memory_format=torch.channels_last)
        cell = Cell(shipped.described.name, kind, "float32", 1)
        shipped.engines[engine] = PyTorch(built, shipped.described, cell, "cpu", COMPILING)
    return shipped.engines[engine]


def has_images(shipped: Loaded) -> bool:
    """Whether its network has convolutions over images, whose memory layout can be chosen."""
    return len(shipped.bundle.event_shape) == 3 and any(
        isinstance(each, torch.nn.Conv2d) for each in shipped.model.modules()
    )


def ours(shipped: Loaded, batch: int) -> dict[str, Stepping]:
    """The model in PyTorch and in ONNX Runtime, as users run it."""
    return {
        "zoo, PyTorch": stepping(shipped.model, batch, **shipped.options),
        "zoo, ONNX Runtime": stepping(shipped.bundle, batch, **shipped.options),
    }


def counted(take: Take, most: int) -> int:
    """How many steps a turn takes."""
    take(1)
    return max(1, min(most, int(TURN / max(seconds_of(lambda: take(1)), 1e-9))))


def products(shipped: Loaded) -> float:
    """Floating-point operations of the products of one sample's step; 0 where they cannot be counted."""
    assert shipped.source.bundle is not None
    try:
        return gpu_models.products(shipped.model, shipped.described, Path(shipped.source.bundle))
    except (RuntimeError, KeyError, TypeError, ValueError):
        return 0.0
