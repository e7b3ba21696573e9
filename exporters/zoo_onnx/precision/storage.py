"""Weights of a graph stored losslessly in fewer bits, restored by a ``Cast`` and a ``Mul`` by scales."""

from __future__ import annotations

import ml_dtypes
import numpy as np
import onnx_ir as ir

from zoo.arrays import Array
from zoo_onnx.build import Builder
from zoo_onnx.precision.number_formats import NumberFormat, Stored
from zoo_onnx.weights import THRESHOLD


def store(model: ir.Model, format: NumberFormat) -> int:
    """Store the weights of a graph that a format represents exactly, and return their number."""
    count = 0
    for graph in model.graphs():
        builder = Builder("stored.")
        for value in list(graph.initializers.values()):
            tensor = value.const_value
            if tensor is None or tensor.dtype != ir.DataType.FLOAT or len(tensor.shape) < 2:
                continue
            array = np.ascontiguousarray(tensor.numpy())
            held = None if array.nbytes < THRESHOLD else format.stored(array)
            if held is None:
                continue
            ir.convenience.replace_all_uses_with(value, _restored(builder, str(value.name), held, array.shape))
            del graph.initializers[str(value.name)]
            count += 1
        for constant in builder.constants:
            graph.register_initializer(constant)
        if builder.nodes:
            graph.insert_before(graph[0], builder.nodes)
    return count


def _restored(builder: Builder, name: str, held: Stored, shape: tuple[int, ...]) -> ir.Value:
    """Nodes that restore the float32 weights, evaluated once when a runtime loads the graph.

    Integers are multiplied by their scales rather than dequantized: given a ``DequantizeLinear`` before a product,
    ONNX Runtime may round the activations to 8 bits too.
    """
    values = builder(
        "Cast", _constant(builder, f"{name}.{held.values.dtype.name}", held.values), to=ir.DataType.FLOAT.value
    )
    if held.scale is None:
        return values
    restored = builder("Mul", values, _constant(builder, f"{name}.scale", held.scale))
    straight = shape[::-1] if held.turned else shape
    if held.values.shape != straight:
        restored = builder("Reshape", restored, builder.integers(*straight))
    return builder("Transpose", restored, perm=[1, 0]) if held.turned else restored


def _constant(builder: Builder, name: str, array: Array) -> ir.Value:
    """An initializer with exactly this name, not shared with another."""
    kind = ir.DataType.INT4 if array.dtype == ml_dtypes.int4 else ir.DataType.from_numpy(array.dtype)
    value = ir.Value(
        name=name,
        type=ir.TensorType(kind),
        shape=ir.Shape(array.shape),
        const_value=ir.Tensor(array, dtype=kind, name=name),
    )
    builder.constants.append(value)
    return value


def scaled_integers(value: ir.Value) -> tuple[ir.Value, ir.Value, bool] | None:
    """The 8-bit integers and scales whose product is a value written by :func:`store`, and whether it is transposed."""
    product = value.producer()
    turned = product is not None and product.op_type == "Transpose"
    if product is not None and turned:
        product = None if product.inputs[0] is None else product.inputs[0].producer()
    if product is None or product.op_type != "Mul":
        return None
    cast, scale = product.inputs
    source = None if cast is None else cast.producer()
    integers = source.inputs[0] if source is not None and source.op_type == "Cast" else None
    if integers is None or scale is None or not integers.is_initializer() or not scale.is_initializer():
        return None
    return (integers, scale, turned) if integers.dtype == ir.DataType.INT8 else None


def numbers(value: ir.Value) -> Array:
    """An initializer's numbers."""
    assert value.const_value is not None
    return value.const_value.numpy()


def remove_unused(graph: ir.Graph) -> None:
    """Remove nodes and initializers whose values are unused."""
    outputs = {id(output) for output in graph.outputs}
    for node in reversed(list(graph)):
        if not any(output.uses() or id(output) in outputs for output in node.outputs):
            graph.remove(node, safe=True)
    for name, value in list(graph.initializers.items()):
        if not value.uses() and id(value) not in outputs:
            del graph.initializers[name]
