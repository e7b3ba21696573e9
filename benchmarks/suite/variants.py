"""A shipped model exported in another way, beside the bundle that it ships with."""

from __future__ import annotations

import time
from typing import Any

from suite import models
from suite.results import LEAST_TURNS, compared
from suite.worker import Settings

from zoo.benchmarking import stepping
from zoo.exporting import export
from zoo.registry import installed
from zoo.runtime import load

STEPS, BATCH = 10, 16
WAYS: dict[str, dict[str, Any]] = {
    "fused": {"fused": {"steps": STEPS}},
    "int8": {"quantize": "int8"},
    "int8-dynamic": {"quantize": "int8-dynamic"},
    "float16": {"dtype": "float16"},
}


def measure(settings: Settings, model: str, way: str) -> dict[str, Any]:
    """Seconds a step of the bundle that ships, and of the one that is exported and proven here."""
    shipped = models.loaded(model)
    folder = settings.scratch / f"{model}-{way}"
    began = time.process_time()
    if not folder.exists():
        export(
            shipped.model,
            folder,
            card=shipped.source.card,
            registry=installed(),
            quality=False,
            without=["log_prob"] if shipped.bundle.manifest.log_prob is not None else [],
            **WAYS[way],
        )
    spent = time.process_time() - began
    other = load(folder, "cpu", 1)
    numbers = {"seconds of CPU of the export": spent, "batch": BATCH}
    least = 1 if settings.quick else LEAST_TURNS
    if way == "fused":
        # the fused graph has the model's own guidance
        calls: dict[str, Any] = {
            "float32": lambda: shipped.bundle.sample(BATCH, seed=0, batch_size=BATCH, steps=STEPS),
            way: lambda: other.sample(BATCH, seed=0, batch_size=BATCH, fused=True),
        }
        return compared(calls, settings.seconds, base="float32", per=STEPS, numbers=numbers, least=least)
    takes = {
        name: stepping(bundle, BATCH, **shipped.options).take
        for name, bundle in (("float32", shipped.bundle), (way, other))
    }
    count = models.counted(takes["float32"], 20)
    calls = {name: (lambda take=take: take(count)) for name, take in takes.items()}
    return compared(calls, settings.seconds, base="float32", per=count, numbers=numbers, least=least)
