"""A fixed batch size, for runtimes and accelerators that need static shapes.

An encoder of conditions takes one at a time then: most calls have a single one, whatever the batch.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterable

import onnx_ir as ir

from zoo.programs.conditioning import ROWS
from zoo.programs.ports import Port

BATCH = "batch"


def fixed_ports(ports: Iterable[Port], batch: int | None) -> tuple[Port, ...]:
    """Ports with ``batch`` in place of the symbolic batch; unchanged if it is None."""
    if batch is None:
        return tuple(ports)
    sizes: dict[int | str, int] = {BATCH: batch, ROWS: 1}
    return tuple(dataclasses.replace(p, shape=tuple(sizes.get(d, d) for d in p.shape)) for p in ports)


def fix(model: ir.Model, batch: int) -> None:
    """Fix the batch of a graph in place."""
    for value in (*model.graph.inputs, *model.graph.outputs):
        if value.shape is not None:
            fixed = {BATCH: batch, ROWS: 1}
            sizes = [fixed.get(str(d.value), d) if isinstance(d, ir.SymbolicDim) else d for d in value.shape]
            value.shape = ir.Shape(sizes)
