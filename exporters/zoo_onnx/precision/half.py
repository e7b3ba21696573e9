"""Products in float16: convolutions and matrix products with stored float16 weights take float16 activations too.

Inputs are cast to float16 before each product and outputs back to float32 after it, so that everything between
stays in float32. On a GPU, the products run on its tensor cores; ONNX Runtime's CPU computes them in float32 from the
rounded numbers.
"""

from __future__ import annotations

import onnx_ir as ir

from zoo_onnx.build import Builder
from zoo_onnx.precision.storage import remove_unused

_PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
_HALF, _FLOAT = ir.DataType.FLOAT16, ir.DataType.FLOAT


def lower(model: ir.Model) -> int:
    """Rewrite a graph's products in place, and return their number."""
    count = 0
    for graph in model.graphs():
        rounded: dict[ir.Value, ir.Value] = {}
        for node in list(graph):
            if node.op_type not in _PRODUCTS or (weight := _half_weight(node)) is None:
                continue
            builder = Builder(f"{node.outputs[0].name}.half.")
            for index, value in enumerate(node.inputs):
                if value is None:
                    continue
                if index == 1:
                    node.replace_input_with(1, weight)
                elif value in rounded:
                    node.replace_input_with(index, rounded[value])
                else:
                    rounded[value] = builder("Cast", value, to=_HALF.value)
                    node.replace_input_with(index, rounded[value])
            graph.insert_before(node, builder.nodes)
            _restore(graph, node)
            count += 1
        remove_unused(graph)
    return count


def _half_weight(node: ir.Node) -> ir.Value | None:
    """The stored float16 weight of a product, or None if it has none."""
    value = node.inputs[1]
    source = None if value is None else value.producer()
    if source is None or source.op_type != "Cast":
        return None
    stored = source.inputs[0]
    return stored if stored is not None and stored.dtype == _HALF and stored.is_initializer() else None


def _restore(graph: ir.Graph, node: ir.Node) -> None:
    """Cast a product's result back to float32 for its consumers."""
    output = node.outputs[0]
    builder = Builder(f"{output.name}.float.")
    restored = builder("Cast", output, to=_FLOAT.value)
    (cast,) = builder.nodes
    for user, index in list(output.uses()):
        if user is not cast:
            user.replace_input_with(index, restored)
    for index, result in enumerate(graph.outputs):
        if result is output:
            name, restored.type, restored.shape = output.name, output.type, output.shape
            output.name, output.type, restored.name = f"{name}.half", ir.TensorType(_HALF), name
            graph.outputs[index] = restored
    graph.insert_after(node, builder.nodes)
