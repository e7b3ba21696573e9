"""Random nodes, let through by the scan or not, and run if they are: a program, since what it looks for ends it.

    python tests/attacks/nodes.py SEED COUNT [OPERATOR ...]

Prints each case before it is run, so that the last line is the one that ended the process.
"""

from __future__ import annotations

import contextlib
import random
import sys

import numpy as np
import onnx
import onnxruntime as ort
from onnx import defs, helper, numpy_helper

from zoo.bundle.scan import scan_graph
from zoo.bundle.scan.operators import ALLOWED, SUBGRAPHS
from zoo.errors import BundleError
from zoo.programs import Port

OPSETS = (17, 18, 20, 21, 23)
TYPES = {
    "tensor(float)": np.float32,
    "tensor(double)": np.float64,
    "tensor(float16)": np.float16,
    "tensor(int64)": np.int64,
    "tensor(int32)": np.int32,
    "tensor(int8)": np.int8,
    "tensor(uint8)": np.uint8,
    "tensor(bool)": np.bool_,
}
WHOLE = (0, 1, -1, 2, -2, 3, 8, -8, 2**31 - 1, -(2**31), 2**40, 2**63 - 1, -(2**63))
REAL = (0.0, 1.0, -1.0, 0.5, 3.0, 1e30, -1e30)
SHAPES = ((), (1,), (2,), (3,), (2, 3), (1, 1), (2, 2, 3), (1, 2, 3, 4), (1, 1, 4, 4), (0,), (2, 0))
WORDS = (
    "linear",
    "nearest",
    "cubic",
    "reflect",
    "edge",
    "constant",
    "SAME_UPPER",
    "VALID",
    "add",
    "max",
    "CRD",
    "i,j->ij",
)
KIND = defs.OpSchema.AttrType


def numbers(pick: random.Random, dtype: type, shape: tuple[int, ...]) -> np.ndarray:
    size = int(np.prod(shape))
    if np.dtype(dtype).kind == "f":
        return np.array([pick.choice(REAL) for _ in range(size)]).clip(-6e4, 6e4).astype(dtype).reshape(shape)
    if dtype is np.bool_:
        return np.array([pick.random() < 0.5 for _ in range(size)], dtype).reshape(shape)
    info = np.iinfo(dtype)
    known = WHOLE[:8] if pick.random() < 0.5 else WHOLE
    values = [min(max(pick.choice(known), info.min), info.max) for _ in range(size)]
    return np.array(values, dtype).reshape(shape)


def attribute(pick: random.Random, kind: object) -> object:
    small = WHOLE[:7] if pick.random() < 0.8 else WHOLE
    if kind == KIND.INT:
        return pick.choice(small)
    if kind == KIND.INTS:
        return [pick.choice(small) for _ in range(pick.choice((1, 2, 4)))]
    if kind == KIND.FLOAT:
        return pick.choice(REAL)
    if kind == KIND.FLOATS:
        return [pick.choice(REAL) for _ in range(pick.choice((1, 2)))]
    if kind == KIND.STRING:
        return pick.choice(WORDS)
    if kind == KIND.TENSOR:
        return numpy_helper.from_array(numbers(pick, pick.choice((np.int64, np.float32)), (1,)))
    return None


def case(pick: random.Random, operator: str) -> onnx.ModelProto | None:
    """A graph of one node whose inputs are constants, or go in through an Identity of a constant's like."""
    opset = pick.choice(OPSETS)
    try:
        schema = defs.get_schema(operator, opset, "")
    except defs.SchemaError:
        return None
    allowed = {c.type_param_str: [t for t in c.allowed_type_strs if t in TYPES] for c in schema.type_constraints}
    bound = {letter: pick.choice(types) for letter, types in allowed.items() if types}
    shape, names, tensors = pick.choice(SHAPES), [], []
    for port in schema.inputs:
        if port.option == defs.OpSchema.FormalParameterOption.Optional and pick.random() < 0.4:
            names.append("")
            continue
        dtype = TYPES.get(bound.get(port.type_str, port.type_str), np.float32)
        for _ in range(pick.choice((1, 2)) if port.option == defs.OpSchema.FormalParameterOption.Variadic else 1):
            names.append(f"c{len(names)}")
            own = shape if pick.random() < 0.6 else pick.choice(SHAPES)
            tensors.append(numpy_helper.from_array(numbers(pick, dtype, own), names[-1]))
    while names and not names[-1]:
        names.pop()
    given = {}
    for name, about in schema.attributes.items():
        if (about.required or pick.random() < 0.4) and (value := attribute(pick, about.type)) is not None:
            given[name] = value
    outputs = [
        f"o{i}"
        for i in range(pick.randint(max(schema.min_output, 1), max(schema.min_output, min(schema.max_output, 3))))
    ]
    try:
        node = helper.make_node(operator, names, outputs, **given)
    except (TypeError, ValueError):
        return None
    graph = helper.make_graph([node], "g", [], [onnx.ValueInfoProto(name=outputs[0])], tensors)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", opset)], ir_version=10)


def run(model: onnx.ModelProto) -> bool:
    """Run a graph if the scan lets it through; whether it was run."""
    data, opset = model.SerializeToString(), model.opset_import[0].version
    stated = {"inputs": (), "outputs": (Port(model.graph.output[0].name, "?", ()),), "files": {}}
    try:
        scan_graph(data, "g.onnx", opset=opset, ir_version=10, **stated)
    except BundleError:
        return False
    options = ort.SessionOptions()
    options.intra_op_num_threads, options.log_severity_level = 1, 4
    with contextlib.suppress(Exception):  # an error is an answer; what is looked for is no answer
        ort.InferenceSession(data, options, providers=["CPUExecutionProvider"]).run(None, {})
    return True


def main(seed: int, count: int, operators: list[str]) -> None:
    ran = 0
    for number in range(count):
        pick = random.Random(f"{seed} {number}")
        model = case(pick, pick.choice(operators))
        if model is not None:
            print(number, " ".join(onnx.printer.to_text(model.graph.node[0]).split()), flush=True)
            ran += run(model)
    print(f"ran {ran}")


if __name__ == "__main__":
    main(int(sys.argv[1]), int(sys.argv[2]), sys.argv[3:] or sorted(ALLOWED - SUBGRAPHS.keys()))
