"""Weights of a graph in fewer bits, the same numbers: a ``Cast`` or ``DequantizeLinear`` stands between."""

from __future__ import annotations

from typing import Any

import ml_dtypes
import numpy as np
import onnx_ir as ir

from zoo_onnx.build import Builder
from zoo_onnx.precision.grids import Grid, Stored
from zoo_onnx.weights import THRESHOLD


def store(model: ir.Model, grid: Grid) -> int:
    """Store those weights of a graph that a grid holds exactly, and return how many there are."""
    count = 0
    for graph in model.graphs():
        net = Builder("stored.")
        for value in list(graph.initializers.values()):
            tensor = value.const_value
            if tensor is None or tensor.dtype != ir.DataType.FLOAT or len(tensor.shape) < 2:
                continue
            array = np.ascontiguousarray(tensor.numpy())
            held = None if array.nbytes < THRESHOLD else grid.stored(array)
            if held is None:
                continue
            ir.convenience.replace_all_uses_with(value, _restored(net, str(value.name), held, array.shape))
            del graph.initializers[str(value.name)]
            count += 1
        for constant in net.constants:
            graph.register_initializer(constant)
        if net.nodes:
            graph.insert_before(graph[0], net.nodes)
    return count


def _restored(net: Builder, name: str, held: Stored, shape: tuple[int, ...]) -> ir.Value:
    """What gives the float32 weights."""
    values = _constant(net, f"{name}.{held.values.dtype.name}", held.values)
    if held.scale is None:
        return net("Cast", values, to=ir.DataType.FLOAT.value)
    scale = _constant(net, f"{name}.scale", held.scale)
    attributes: dict[str, Any] = {"axis": held.axis}
    if held.block:
        attributes["block_size"] = held.block
    restored = net("DequantizeLinear", values, scale, **attributes)
    if held.values.shape != shape:
        restored = net("Reshape", restored, net.integers(*shape))
    return restored


def _constant(net: Builder, name: str, array: Any) -> ir.Value:
    """An initializer of exactly this name, which the builder does not share with another."""
    kind = ir.DataType.INT4 if array.dtype == ml_dtypes.int4 else ir.DataType.from_numpy(array.dtype)
    value = ir.Value(
        name=name,
        type=ir.TensorType(kind),
        shape=ir.Shape(array.shape),
        const_value=ir.Tensor(array, dtype=kind, name=name),
    )
    net.constants.append(value)
    return value
