"""Matrix products of 8-bit integers with dynamically scaled activations, each row by its own largest value.

A scale for each row, instead of one for the whole tensor as in runtimes' own dynamic quantization, keeps samples
independent: a sample is the same alone or among a thousand.
"""

from __future__ import annotations

import numpy as np
import onnx_ir as ir

from zoo_onnx.build import Builder
from zoo_onnx.precision.storage import numbers, remove_unused, scaled_integers

_LARGEST = 127


def lower(model: ir.Model) -> int:
    """Rewrite a graph's matrix products with stored 8-bit weights in place, and return their number."""
    count = 0
    for graph in model.graphs():
        for node in list(graph):
            stored = _stored_weight(node)
            if stored is None:
                continue
            weight, scale, transposed = stored
            builder = Builder(f"{node.outputs[0].name}.int8.")
            x = node.inputs[0]
            assert x is not None
            size = builder("ReduceMax", builder("Abs", x), builder.integers(-1), keepdims=1)
            # a row of zeros has no scale of its own
            least = np.array([np.finfo(np.float32).tiny], np.float32)
            step = builder("Max", builder("Div", size, np.array([_LARGEST], np.float32)), least)
            whole = builder("Cast", builder("Round", builder("Div", x, step)), to=ir.DataType.INT8.value)
            if transposed:
                weight = builder("Transpose", weight, perm=[1, 0])
            product = builder("Cast", builder("MatMulInteger", whole, weight), to=ir.DataType.FLOAT.value)
            result = builder("Mul", builder("Mul", product, step), numbers(scale).reshape(-1))
            if len(node.inputs) > 2 and node.inputs[2] is not None:
                result = builder("Add", result, node.inputs[2])
            graph.insert_before(node, builder.nodes)
            for constant in builder.constants:
                graph.register_initializer(constant)
            output = node.outputs[0]
            _replace(graph, output, result)
            graph.remove(node, safe=True)
            count += 1
        remove_unused(graph)
    return count


def _stored_weight(node: ir.Node) -> tuple[ir.Value, ir.Value, bool] | None:
    """Integers, ``[out, in]`` if True and ``[in, out]`` if not, and the scales of the outputs."""
    stored = None
    if node.op_type in ("Gemm", "MatMul") and node.inputs[1] is not None:
        stored = scaled_integers(node.inputs[1])
    if stored is None:
        return None
    weight, scale, turned = stored
    attributes = node.attributes
    plain = attributes.get_float("alpha", 1.0) == 1.0 and attributes.get_float("beta", 1.0) == 1.0
    transposed = (node.op_type == "Gemm" and attributes.get_int("transB", 0) == 1) != turned
    shape, sizes = numbers(weight).shape, numbers(scale).shape
    # the scales must be those of the outputs
    of_outputs = len(shape) == 2 and sizes == ((shape[0], 1) if transposed else (1, shape[1]))
    return (weight, scale, transposed) if plain and of_outputs and not attributes.get_int("transA", 0) else None


def _replace(graph: ir.Graph, old: ir.Value, new: ir.Value) -> None:
    """Replace one value by another, also as an output of the graph."""
    for index, result in enumerate(graph.outputs):
        if result is old:
            name, new.type, new.shape = old.name, old.type, old.shape
            old.name, new.name = f"{name}.float", name
            graph.outputs[index] = new
    ir.convenience.replace_all_uses_with(old, new)
