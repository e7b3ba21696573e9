"""Graphs that OpenVINO's CPU plugin gets wrong as torch's exporter writes them. Most of it needs OpenVINO."""

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")
ir = pytest.importorskip("onnx_ir")

from onnx import TensorProto, helper  # noqa: E402 - after the checks
from onnx.numpy_helper import from_array  # noqa: E402
from safetensors.numpy import load_file  # noqa: E402

from zoo.bundle import open_bundle  # noqa: E402
from zoo.bundle.differences import TOLERANCE, relative_difference  # noqa: E402
from zoo.registry import Registry  # noqa: E402
from zoo_onnx.portable import portable  # noqa: E402

#: of each column
SHIFT = np.array([1.0, 20.0, 300.0], np.float32)
BUNDLES = {item.description.name: item.description.bundle_path for item in Registry.discover(allowed=[]).items("model")}


def reduced(operator):
    """Reduce(x, last axis) + SHIFT."""
    nodes = [
        helper.make_node(operator, ["x", "axis"], ["sums"], keepdims=0),
        helper.make_node("Add", ["sums", "shift"], ["y"]),
    ]
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", 3, 2]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", 3]),
    ]
    constants = [from_array(np.array([2]), "axis"), from_array(SHIFT, "shift")]
    graph = helper.make_graph(nodes, "reduced", ports[:1], ports[1:], constants)
    model = ir.from_proto(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8))
    portable(model)
    return ir.to_proto(model)


@pytest.mark.parametrize("operator", ["ReduceSum", "ReduceMax", "ReduceMean"])
class TestASumOverAnAxisOfThree:
    def test_keeps_the_axis_until_it_is_squeezed(self, operator):
        model = reduced(operator)
        onnx.checker.check_model(model, full_check=True)
        assert [node.op_type for node in model.graph.node] == [operator, "Squeeze", "Add"]
        x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
        (y,) = ort.InferenceSession(model.SerializeToString()).run(None, {"x": x})
        expected = {"ReduceSum": x.sum(2), "ReduceMax": x.max(2), "ReduceMean": x.mean(2)}[operator] + SHIFT
        np.testing.assert_allclose(y, expected)

    def test_is_right_in_openvino(self, operator):
        openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")
        model = reduced(operator).SerializeToString()
        x = np.arange(12, dtype=np.float32).reshape(2, 3, 2)
        (expected,) = ort.InferenceSession(model).run(None, {"x": x})
        core = openvino.Core()
        compiled = core.compile_model(core.read_model(model), "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        np.testing.assert_allclose(compiled({"x": x})["y"], expected)


@pytest.mark.slow
@pytest.mark.sample("mnist-unet", "moons-nsf", "circles-maf")
@pytest.mark.parametrize("name", BUNDLES)
def test_openvino_replays_the_golden_values_of_every_shipped_graph(name):
    openvino = pytest.importorskip("openvino", reason="OpenVINO is not installed")
    bundle, core = open_bundle(BUNDLES[name]), openvino.Core()
    golden = load_file(bundle.folder / "golden.safetensors")
    for graph, info in bundle.manifest.graphs.items():
        model = core.read_model(str(bundle.folder / info.file))
        compiled = core.compile_model(model, "CPU", {"INFERENCE_PRECISION_HINT": "f32"})
        for case in ("0", "1"):
            given = {k.split("/")[3]: v for k, v in golden.items() if k.startswith(f"{graph}/{case}/in/")}
            expected = {k.split("/")[3]: v for k, v in golden.items() if k.startswith(f"{graph}/{case}/out/")}
            assert given
            assert expected
            results = compiled(given)
            for output, value in expected.items():
                assert relative_difference(results[output], value, 1.0) < TOLERANCE, (graph, case, output)
