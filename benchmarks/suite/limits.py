"""What the machine can do at best: a large matrix product, and the copy of a large array."""

from __future__ import annotations

from typing import Any

import torch
from gpu_run.cells import EAGER, MATMUL, Cell
from gpu_run.engines import product
from suite.results import result
from suite.worker import Given

from zoo.benchmarking import Spread, in_turns

#: bytes of an array that no cache holds
BYTES = 1 << 28


def measure(given: Given, threads: int) -> dict[str, Any]:
    """GFLOP/s of the product and GB/s of the copy, which reads and writes."""
    before = torch.get_num_threads()
    torch.set_num_threads(threads)
    try:
        multiply, operations = product(Cell(MATMUL, EAGER, "float32", 0), "cpu")
        source = torch.ones(BYTES // 4 if not given.quick else BYTES // 64)
        target = torch.empty_like(source)
        taken = in_turns({"product": multiply, "copy": lambda: target.copy_(source)}, given.seconds, turns=20)
    finally:
        torch.set_num_threads(before)
    moved = 2 * source.numel() * source.element_size()
    return result(
        {
            "matrix product, GFLOP/s": Spread.of([operations / each / 1e9 for each in taken["product"]]),
            "copy, GB/s": Spread.of([moved / each / 1e9 for each in taken["copy"]]),
        },
        unit="a second",
        numbers={
            "GFLOP/s": operations / min(taken["product"]) / 1e9,
            "GB/s": moved / min(taken["copy"]) / 1e9,
        },
    )
