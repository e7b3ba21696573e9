"""A graph with its products in float16 or bfloat16, between casts, as exports with ``dtype=float16`` have them.

The exporter rounds the weights that it stores; here the graph casts them, which ONNX Runtime does once, when it loads
the graph. So one weights file serves every precision, and bfloat16, in which the exporter has no products since ONNX
Runtime's CPU could not prove them, can be measured.
"""

from __future__ import annotations

from pathlib import Path

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
