"""A process that measures cells, see :mod:`gpu_run.asking`."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from gpu_run import models
from gpu_run.asking import answer
from gpu_run.cells import MATMUL, OURS, OURS_RECORDED, TENSORRT, Cell
from gpu_run.engines import OnnxRuntime, PyTorch, Timed, product

#: seconds to spend on repeats, and their least and largest number
SPENT = 0.4
REPEATS = (3, 15)
#: a step of so many seconds is measured once
SLOW = 0.3
#: steps of the shorter of the two runs whose times are subtracted
SHORT = 1


def serve(provider: str, prepared: Path, scratch: Path) -> None:
    """Measure until the input ends."""
    worker = Worker(provider, prepared, scratch)
    answer(lambda request: worker.measure(Cell(**request)))


class Worker:
    """Measures cells, keeping what the next cells need again.

    Args:
        provider: ``"cuda"`` or ``"cpu"``.
        prepared: see :func:`~gpu_run.models.bundle_of`.
        scratch: a folder for whole bundles.
    """

    def __init__(self, provider: str, prepared: Path, scratch: Path) -> None:
        self._provider, self._prepared, self._scratch = provider, prepared, scratch
        self._key: tuple[str, str, str] | None = None
        self._engine: Any = None
        self._folders: dict[str, Path] = {}
        self._products: dict[str, float] = {}
        if provider == "cuda":
            # its CUDA libraries are the ones that ONNX Runtime finds then, wherever its own package lies
            import torch

            torch.zeros(1, device="cuda")

    def measure(self, cell: Cell) -> dict[str, Any]:
        """Results of a cell by name."""
        if cell.model == MATMUL:
            call, operations = product(cell, self._provider)
            _, times = _repeated(call)
            return {"tflops": operations / min(times) / 1e12, "repeats": len(times)}
        began = time.perf_counter()
        timed = self._made(cell).timed(cell.batch)
        timed.steps(SHORT)
        result = {"first_run_s": round(time.perf_counter() - began, 3), **timed.notes, **_per_step(timed)}
        products = self._products.get(cell.model)
        return result if products is None else {**result, "products": products}

    def _made(self, cell: Cell) -> Any:
        """The engine of a cell, the last one if it serves it too."""
        key = (cell.model, cell.engine, cell.precision)
        if key != self._key:
            self._engine, self._key = None, None
            _free(self._provider)
            model, folder = models.MODELS[cell.model], self._folder(cell.model)
            if cell.engine in (OURS, OURS_RECORDED, TENSORRT):
                self._engine = OnnxRuntime(model, folder, cell, self._provider)
            else:
                built = models.build(model, folder)
                if cell.model not in self._products:
                    self._products[cell.model] = models.products(built, model, folder)
                self._engine = PyTorch(built, model, cell, self._provider)
            self._key = key
        return self._engine

    def _folder(self, name: str) -> Path:
        if name not in self._folders:
            self._folders[name] = models.bundle_of(models.MODELS[name], self._prepared, self._scratch)
        return self._folders[name]


def _per_step(timed: Timed) -> dict[str, Any]:
    """Microseconds a step: the difference of two runs, unless each step is a whole call."""
    once = _seconds(lambda: timed.steps(SHORT)) / SHORT
    more = max(1, min(100, int(0.1 / max(once, 1e-6))))
    least = 1 if once > SLOW else REPEATS[0]
    if timed.single:
        _, times = _repeated(lambda: timed.steps(more), least=least)
        each = [1e6 * taken / more for taken in times]
    else:
        shorter, longer = _repeated(lambda: timed.steps(SHORT), lambda: timed.steps(SHORT + more), least=least)
        each = [1e6 * (b - a) / more for a, b in zip(shorter, longer, strict=True)]
    spread = {"least": min(each), "most": max(each), "repeats": len(each), "steps": more}
    return {"microseconds": statistics.median(each), **spread}


def _repeated(*calls: Callable[[], Any], least: int = REPEATS[0]) -> tuple[list[float], list[float]]:
    """Seconds of the first and the last call, in turn, several times."""
    times: list[list[float]] = [[] for _ in calls]
    began = time.perf_counter()
    while len(times[0]) < least or (time.perf_counter() - began < SPENT and len(times[0]) < REPEATS[1]):
        for call, taken in zip(calls, times, strict=True):
            taken.append(_seconds(call))
    return times[0], times[-1]


def _seconds(call: Callable[[], Any]) -> float:
    began = time.perf_counter()
    call()
    return time.perf_counter() - began


def _free(provider: str) -> None:
    gc.collect()
    if provider == "cuda":
        import torch

        torch.cuda.empty_cache()
