"""Sampling of a shipped model at a batch: bare PyTorch in several forms, and zoo in PyTorch and in ONNX Runtime."""

from __future__ import annotations

from typing import Any

from suite import models
from suite.results import LEAST_TURNS, compared
from suite.worker import Settings

from zoo.runtime.timing import timed

BARE = ("torch, eager", "torch, channels-last", "torch.compile")
OURS = "zoo, ONNX Runtime"


def measure(settings: Settings, model: str, batch: int) -> dict[str, Any]:
    """Seconds a step."""
    shipped = models.loaded(model)
    unavailable = dict(settings.without)
    takes: dict[str, models.Take] = {}
    for name in BARE:
        if name in unavailable or (name == "torch, channels-last" and not models.has_images(shipped)):
            continue
        if settings.quick and name == "torch.compile" and model == "mnist-unet":
            unavailable[name] = "is left out of a quick run, since it takes long"
            continue
        try:
            take = models.bare(shipped, name).timed(batch).steps
            take(1)
            takes[name] = take
        except Exception as error:  # of any library: the others can be measured
            unavailable[name] = " ".join(f"{type(error).__name__}: {error}".split())[:200]
    steppings = models.ours(shipped, batch)
    takes |= {name: each.take for name, each in steppings.items()}
    # a run has no more rows than its table
    rows = steppings[OURS].steps if steppings[OURS].steps > 1 else 1000
    count = models.counted(takes[OURS], min(rows, 200))
    outside: list[float] = []
    session = shipped.bundle.session(shipped.described.graph)
    calls = {name: (lambda take=take: take(count)) for name, take in takes.items()}
    result = compared(
        calls,
        settings.seconds,
        base="torch, eager" if "torch, eager" in calls else "zoo, PyTorch",
        per=count,
        unavailable=unavailable,
        least=1 if settings.quick else LEAST_TURNS,
    )
    result["numbers"] = {"batch": batch, "steps of a sample": steppings[OURS].steps}
    for _ in range(5):
        with timed(session) as inside:
            whole = models.seconds_of(calls[OURS])
        outside.append((whole - sum(inside)) / count)
    result["numbers"]["microseconds a step outside the calls"] = 1e6 * sorted(outside)[2]
    result["numbers"]["operations of a sample's step"] = models.products(shipped)
    return result
