"""What is measured, in which order, and which of it cannot be."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from gpu_run.models import MODELS

PRECISIONS = ("float32", "tf32", "float16", "bfloat16")
OURS, OURS_RECORDED, TENSORRT = "onnxruntime", "onnxruntime-graph", "tensorrt"
EAGER, RECORDED, COMPILED = "torch", "torch-graph", "torch-compile"
ENGINES = (OURS, OURS_RECORDED, EAGER, RECORDED, COMPILED, TENSORRT)
#: a cell that is no model: the peak of a large matrix product in PyTorch
MATMUL = "matmul"
#: seconds of a cell, beyond which it is stopped
BOUNDS = {COMPILED: 60.0, TENSORRT: 60.0}
BOUND = 25.0


@dataclass(frozen=True)
class Cell:
    """One thing to measure.

    Attributes:
        model: a key of :data:`~gpu_run.models.MODELS`, or :data:`MATMUL`.
        engine: one of :data:`ENGINES`; of a matrix product, :data:`EAGER`.
        precision: one of :data:`PRECISIONS`.
        batch: samples; of a matrix product, 0.
    """

    model: str
    engine: str
    precision: str
    batch: int

    @property
    def bound(self) -> float:
        """Seconds after which it is stopped."""
        return BOUNDS.get(self.engine, BOUND)

    def as_json(self) -> dict[str, Any]:
        """Its fields."""
        return asdict(self)


def planned(
    models: Sequence[str], engines: Sequence[str], precisions: Sequence[str], batches: Sequence[int]
) -> list[Cell]:
    """All cells, the most valuable first.

    The peaks; then each model's smallest and largest batch in float32 and float16, with the engines that take seconds;
    then in the other precisions; then the compiler for the smallest batch in float32 and the largest in float16; then
    the batches between; then TensorRT likewise, and the rest of both. Cells of one model are together, which loads it
    once.
    """
    ends = [batch for batch in batches if batch in (min(batches), max(batches))]
    between = [batch for batch in batches if batch not in ends]
    quick = [engine for engine in (OURS_RECORDED, RECORDED, OURS, EAGER) if engine in engines]
    slow = [engine for engine in (COMPILED, TENSORRT) if engine in engines]
    first = [(min(batches), "float32"), (max(batches), "float16")]
    better_known = [precision for precision in precisions if precision in ("float32", "float16")]

    def cells(of: Iterable[str], formats: Iterable[str], sizes: Sequence[int]) -> list[Cell]:
        return [Cell(m, e, p, b) for m in models for p in formats for e in of for b in sizes]

    def chosen(engine: str) -> list[Cell]:
        return [Cell(m, engine, p, b) for b, p in first for m in models if engine in slow and p in precisions]

    plan = [Cell(MATMUL, EAGER, precision, 0) for precision in precisions if EAGER in engines]
    plan += cells(quick, better_known, ends) + cells(quick, precisions, ends)
    plan += chosen(COMPILED) + cells(quick, precisions, between) + chosen(TENSORRT) + cells(slow, precisions, batches)
    return list(dict.fromkeys(plan))


def reason_against(cell: Cell, provider: str, has_tensorrt: bool, missing: Iterable[str]) -> str | None:
    """Why a cell cannot be measured here, or None.

    Args:
        cell: it.
        provider: ``"cuda"`` or ``"cpu"``.
        has_tensorrt: whether this ONNX Runtime was built with it.
        missing: models that were not prepared.
    """
    if cell.model in missing:
        return "was not prepared: scripts/gpu --prepare FOLDER, then --prepared FOLDER"
    if cell.engine == TENSORRT and not has_tensorrt:
        return "this ONNX Runtime was built without TensorRT"
    if cell.engine == TENSORRT and cell.precision in ("tf32", "bfloat16"):
        return "is measured in float32 and float16"
    if provider != "cpu":
        return None
    if cell.precision == "tf32":
        return "TF32 needs CUDA"
    if cell.engine in (OURS_RECORDED, RECORDED, TENSORRT):
        return "needs CUDA"
    if cell.engine in (EAGER, COMPILED) and cell.precision == "float16":
        return "takes PyTorch too long without CUDA"
    if cell.engine == OURS and cell.precision == "bfloat16":
        return "ONNX Runtime's CPU has no products in bfloat16"
    return None


def names_of(text: str | None, known: Sequence[str], what: str) -> list[str]:
    """The names of a list with commas, all of them by default.

    Raises:
        SystemExit: an unknown one.
    """
    chosen = list(known) if text is None else text.split(",")
    if unknown := [name for name in chosen if name not in known]:
        raise SystemExit(f"there is no {what} {unknown[0]}: there are {', '.join(known)}")
    return chosen


KNOWN_MODELS = tuple(MODELS)
