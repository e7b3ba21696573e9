"""One small good bundle, and the ways to change it: everything hostile here is this bundle with one thing changed."""

from __future__ import annotations

import json
import shutil
import struct
from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
from onnx import TensorProto, helper, numpy_helper  # noqa: E402

from zoo import weights  # noqa: E402
from zoo.bundle import MANIFEST, GraphInfo, Manifest, file_info  # noqa: E402
from zoo.bundle.manifest import FileInfo  # noqa: E402
from zoo.programs import Direct  # noqa: E402
from zoo.programs.ports import Port  # noqa: E402

FACTOR = np.array([[0.5, 0.3], [0.0, 0.8]], np.float32)
Z, X = Port("z", "float32", ("batch", 2)), Port("x", "float32", ("batch", 2))
LOG_PROB = Port("log_prob", "float32", ("batch",))


def value(port):
    return helper.make_tensor_value_info(port.name, TensorProto.FLOAT, list(port.shape))


def outside(name, dims, offset, length, location="weights.safetensors"):
    """An initializer whose numbers stand in another file."""
    tensor = TensorProto(name=name, data_type=TensorProto.FLOAT, dims=dims, data_location=TensorProto.EXTERNAL)
    for key, what in (("location", location), ("offset", str(offset)), ("length", str(length))):
        tensor.external_data.add(key=key, value=what)
    return tensor


def model(nodes, initializers, inputs, outputs):
    graph = helper.make_graph(nodes, "g", [value(p) for p in inputs], [value(p) for p in outputs], initializers)
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def write_good(folder: Path) -> Path:
    """x = z·A + m, with A in the weights file; a density; golden values."""
    weights.write(folder / "weights.safetensors", {"factor": FACTOR})
    header = 8 + struct.unpack("<Q", (folder / "weights.safetensors").read_bytes()[:8])[0]
    mean = numpy_helper.from_array(np.array([1, -2], np.float32), "mean")
    nodes = [helper.make_node("MatMul", ["z", "factor"], ["zf"]), helper.make_node("Add", ["zf", "mean"], ["x"])]
    axes = numpy_helper.from_array(np.array([1], np.int64), "axes")
    square = [
        helper.make_node("ReduceSumSquare", ["x", "axes"], ["q"], keepdims=0),
        helper.make_node("Neg", ["q"], ["log_prob"]),
    ]
    graphs = {
        "inverse": (model(nodes, [outside("factor", [2, 2], header, 16), mean], [Z], [X]), (Z,), (X,)),
        "log_prob": (model(square, [axes], [X], [LOG_PROB]), (X,), (LOG_PROB,)),
    }
    for name, (proto, _, _) in graphs.items():
        (folder / f"{name}.onnx").write_bytes(proto.SerializeToString())
    z = np.array([[0.5, -1.0]], np.float32)
    x = z @ FACTOR + np.array([1, -2], np.float32)
    golden = {
        "inverse/0/in/z": z,
        "inverse/0/out/x": x,
        "log_prob/0/in/x": x,
        "log_prob/0/out/log_prob": -(x**2).sum(1),
    }
    golden |= {"program:log_prob/0/in/x": x, "program:log_prob/0/out/log_prob": -(x**2).sum(1)}
    weights.write(folder / "golden.safetensors", golden)
    manifest = Manifest(
        model={"name": "good", "family": "flow"},
        event_shape=(2,),
        condition=None,
        levels=None,
        licenses={"code": "Apache-2.0", "weights": "Apache-2.0"},
        graphs={n: GraphInfo(f"{n}.onnx", 18, 8, given, gives) for n, (_, given, gives) in graphs.items()},
        sample=Direct("inverse", noise="z"),
        log_prob=Direct("log_prob"),
        files={p.name: file_info(p) for p in folder.iterdir()},
        created_by="tests",
    )
    (folder / MANIFEST).write_text(manifest.to_json())
    return folder


class Victim:
    """A copy of the good bundle, and ways to change it."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __truediv__(self, name):
        return self.folder / name

    def reseal(self):
        """Let the manifest state what the files are now: an attacker writes the manifest too."""

        def restate(values):
            for name in values["files"]:
                info: FileInfo = file_info(self / name)
                values["files"][name] = {"size": info.size, "sha256": info.sha256}

        self.manifest(restate)

    def manifest(self, change):
        values = json.loads((self / MANIFEST).read_text())
        change(values)
        (self / MANIFEST).write_text(json.dumps(values))

    def graph(self, change, name="inverse.onnx"):
        proto = onnx.load(self / name, load_external_data=False)
        change(proto)
        (self / name).write_bytes(proto.SerializeToString())
        self.reseal()

    def bytes(self, change, name="inverse.onnx"):
        (self / name).write_bytes(change((self / name).read_bytes()))
        self.reseal()

    def header(self, change, name="weights.safetensors"):
        """Change the JSON header of a safetensors file; the graphs' offsets are left as they are."""
        data = (self / name).read_bytes()
        (size,) = struct.unpack("<Q", data[:8])
        header = json.loads(data[8 : 8 + size])
        changed = change(header)
        text = (changed if isinstance(changed, str) else json.dumps(header)).encode()
        (self / name).write_bytes(struct.pack("<Q", len(text)) + text + data[8 + size :])
        self.reseal()


@pytest.fixture(scope="session")
def good(tmp_path_factory):
    return write_good(tmp_path_factory.mktemp("good"))


@pytest.fixture
def victim(good, tmp_path):
    return Victim(shutil.copytree(good, tmp_path / "bundle"))
