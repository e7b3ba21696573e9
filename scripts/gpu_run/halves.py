"""A graph with its products in float16 or bfloat16, between casts, as exports with ``dtype=float16`` have them.

The exporter rounds the weights that it stores; here the graph casts them, which ONNX Runtime does once, when it loads
the graph. So one weights file serves every precision, and bfloat16, in which the exporter has no products since ONNX
Runtime's CPU could not prove them, can be measured.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

PRODUCTS = ("Conv", "ConvTranspose", "Gemm", "MatMul")
#: the first opset whose convolutions take bfloat16
OPSET = 22


def write(path: Path, precision: str) -> Path:
    """Write the graph beside ``path`` and return where; it points into the same weights file."""
    import onnx
    from onnx import TensorProto, helper

    model = onnx.load(path, load_external_data=False)
    half = TensorProto.FLOAT16 if precision == "float16" else TensorProto.BFLOAT16
    if precision == "bfloat16":
        model.opset_import[0].version = max(model.opset_import[0].version, OPSET)
        model.ir_version = max(model.ir_version, 10)
        _spell_norms(model.graph)
    weights = {each.name for each in model.graph.initializer}
    # a weight may be stored as its transpose
    weights |= {node.output[0] for node in model.graph.node if node.op_type == "Transpose" and node.input[0] in weights}
    cast: dict[str, str] = {}
    nodes = []
    for node in model.graph.node:
        if node.op_type not in PRODUCTS or node.input[1] not in weights:
            nodes.append(node)
            continue
        for index, name in enumerate(node.input):
            if name and name not in cast:
                cast[name] = f"{name}.half"
                nodes.append(helper.make_node("Cast", [name], [cast[name]], to=half))
            node.input[index] = cast.get(name, "")
        (output,) = node.output
        node.output[0] = f"{output}.product"
        nodes += [node, helper.make_node("Cast", [node.output[0]], [output], to=TensorProto.FLOAT)]
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    target = path.with_name(f"{path.stem}.{precision}.onnx")
    onnx.save(model, target)
    return target


def _spell_norms(graph: Any) -> None:
    """Write ``InstanceNormalization`` of ``[n, groups, length]`` as means and quotients.

    ONNX Runtime's CUDA has none of :data:`OPSET`, and would copy what is normalised to the host and back.
    """
    from onnx import numpy_helper

    nodes = []
    for node in graph.node:
        nodes += [node] if node.op_type != "InstanceNormalization" else _spelt(node)
    del graph.node[:]
    graph.node.extend(nodes)
    for name, value in (("norms.last", np.array([-1])), ("norms.one", np.array([1]))):
        graph.initializer.append(numpy_helper.from_array(value.astype(np.int64), name))


def _spelt(node: Any) -> list[Any]:
    from onnx import helper

    x, scale, bias = node.input
    (y,) = node.output
    epsilon = helper.get_node_attr_value(node, "epsilon")

    def add(operator: str, *inputs: str, name: str = "", **attributes: Any) -> str:
        nodes.append(helper.make_node(operator, inputs, [name or f"{y}.{len(nodes)}"], **attributes))
        return str(nodes[-1].output[0])

    nodes: list[Any] = []
    centred = add("Sub", x, add("ReduceMean", x, "norms.last", keepdims=1))
    variance = add("ReduceMean", add("Mul", centred, centred), "norms.last", keepdims=1)
    deviation = add("Sqrt", add("Add", variance, add("Constant", value_float=epsilon)))
    scaled = add("Mul", add("Div", centred, deviation), add("Unsqueeze", scale, "norms.one"))
    add("Add", scaled, add("Unsqueeze", bias, "norms.one"), name=y)
    return nodes
