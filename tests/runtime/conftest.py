"""Small bundles made by hand, whose samples and densities are known in closed form.

``gaussian_flow``       x = μ + A·z in 2-D, as a program of one call
``gaussian_diffusion``  the exact denoiser of a normal distribution on 3 numbers, unconditional
``class_diffusion``     the same on [1, 2, 2] images with 4 levels, a mean for each of 3 classes and the null class
"""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper, numpy_helper

from zoo.bundle import MANIFEST, GraphInfo, Manifest, file_info
from zoo.conditions import Condition
from zoo.paths import CosineLogSNR
from zoo.programs import Direct, Integrate, Iterate
from zoo.programs.ports import Port

OPSET, IR = 18, 8
FLOW_MEAN = np.array([1.0, -2.0], np.float32)
FLOW_FACTOR = np.array([[0.5, 0.0], [0.3, 0.8]], np.float32)
MEAN, STD = 0.2, 0.4
#: means of the classes, the null class last, in state units
MEANS = np.array([-0.6, 0.0, 0.6, 0.1], np.float32)
CLASS_STD = 0.2
LABELS = ("low", "middle", "high")
_TYPES = {"float32": TensorProto.FLOAT, "int32": TensorProto.INT32}


class Net:
    """ONNX nodes written as expressions."""

    def __init__(self):
        self.nodes, self.constants = [], []

    def constant(self, value, dtype=np.float32):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value, dtype), name))
        return name

    def __call__(self, op, *inputs, name=None, **attributes):
        inputs = [i if isinstance(i, str) else self.constant(i) for i in inputs]
        name = name or f"n{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [name], **attributes))
        return name

    def save(self, path, inputs, outputs):
        def info(port):
            return helper.make_tensor_value_info(port.name, _TYPES[port.dtype], list(port.shape))

        graph = helper.make_graph(self.nodes, path.stem, list(map(info, inputs)), list(map(info, outputs)))
        graph.initializer.extend(self.constants)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], ir_version=IR)
        onnx.checker.check_model(model, full_check=True)
        onnx.save(model, path)
        return GraphInfo(path.name, OPSET, IR, tuple(inputs), tuple(outputs))


def f32(name, *shape):
    return Port(name, "float32", shape)


ROW = (f32("time"), f32("alpha"), f32("sigma"))


def write_manifest(folder: Path, **fields) -> Path:
    files = {p.name: file_info(p) for p in folder.iterdir() if p.name != MANIFEST}
    values = {"event_shape": (), "condition": None, "levels": None, "licenses": {}, "log_prob": None, **fields}
    (folder / MANIFEST).write_text(Manifest(files=files, created_by="tests", **values).to_json())
    return folder


def flow_bundle(folder: Path) -> Path:
    z, x = f32("z", "batch", 2), f32("x", "batch", 2)
    inverse = Net()
    inverse("Add", inverse("MatMul", "z", FLOW_FACTOR.T), FLOW_MEAN, name="x")
    density = Net()
    whitened = density("MatMul", density("Sub", "x", FLOW_MEAN), np.linalg.inv(FLOW_FACTOR).T.astype(np.float32))
    squares = density("ReduceSumSquare", whitened, density.constant([1], np.int64), keepdims=0)
    norm = -np.log(2 * np.pi) - np.log(np.linalg.det(FLOW_FACTOR.astype(float)))
    density("Add", density("Mul", squares, -0.5), norm, name="log_prob")
    graphs = {
        "inverse": inverse.save(folder / "inverse.onnx", [z], [x]),
        "log_prob": density.save(folder / "log_prob.onnx", [x], [f32("log_prob", "batch")]),
    }
    return write_manifest(
        folder,
        model={"name": "gaussian-flow", "family": "flow"},
        event_shape=(2,),
        graphs=graphs,
        sample=Direct("inverse", noise="z"),
        log_prob=Direct("log_prob"),
    )


def flow_log_prob(x):
    white = (x - FLOW_MEAN) @ np.linalg.inv(FLOW_FACTOR.astype(float)).T
    return -0.5 * (white**2).sum(1) - np.log(2 * np.pi) - np.log(np.linalg.det(FLOW_FACTOR.astype(float)))


def denoiser(net, x, mean, std, alpha="alpha", sigma="sigma"):
    """D = m + α·s²/(α²s² + σ²)·(x - α·m), and that gain."""
    variance = net("Mul", net("Mul", alpha, alpha), std**2)
    gain = net("Div", net("Mul", alpha, std**2), net("Add", variance, net("Mul", sigma, sigma)))
    return net("Add", mean, net("Mul", gain, net("Sub", x, net("Mul", alpha, mean)))), gain


def deviation(net, x, event):
    """Standard deviation of each sample, with the rank of the batch."""
    axes = net.constant(list(range(1, len(event) + 1)), np.int64)
    centred = net("Sub", x, net("ReduceMean", x, axes, keepdims=1))
    return net("Sqrt", net("Add", net("ReduceMean", net("Mul", centred, centred), axes, keepdims=1), 1e-12))


def advance(net, x_d, event, *, edits=False):
    """From D: bound it, multiply [state, D] by the matrix, add noise to the first slot."""
    rank = len(event)
    d = net("Min", net("Max", x_d, net("Neg", "clip")), "clip", name=None if edits else "denoised")
    if edits:
        kept = net("Mul", net("Sub", 1.0, "mask"), "known")
        d = net("Add", net("Mul", "mask", d), kept, name="denoised")
    zero = net.constant([0], np.int64)
    columns = net("Concat", "state", net("Unsqueeze", d, zero), axis=0)
    flat = net("Flatten", columns, axis=1)
    moved = net("Reshape", net("MatMul", "matrix", flat), net("Shape", "state"))
    one, end = net.constant([1], np.int64), net.constant([2**31 - 1], np.int64)
    head = net("Slice", moved, zero, one, zero)
    tail = net("Slice", moved, one, end, zero)
    noisy = net("Add", head, net("Unsqueeze", net("Mul", "noise_scale", "noise"), zero))
    net("Concat", noisy, tail, axis=0, name="next_state")
    return rank


def step_ports(event, conditional, *, edits=False):
    return [
        f32("state", "slots", "batch", *event),
        *ROW,
        f32("clip"),
        f32("noise_scale"),
        f32("matrix", "slots", "columns"),
        f32("noise", "batch", *event),
        f32("weights", "evaluations"),
        *([f32("rescale"), f32("known", "batch", *event), f32("mask", "batch", *event)] if edits else []),
        *([Port("condition", "int32", ("evaluations", "batch"))] if conditional else []),
    ], [f32("next_state", "slots", "batch", *event), f32("denoised", "batch", *event)]


def divergence_ports(event, conditional):
    return [
        f32("x", "batch", *event),
        *ROW,
        f32("probe", "batch", *event),
        *([Port("condition", "int32", ("batch",))] if conditional else []),
    ], [f32("denoised", "batch", *event), f32("trace", "batch")]


def row_zero(net, name):
    return net("Gather", name, net.constant(0, np.int64), axis=0)


def trace(net, gain, event):
    axes = net.constant(list(range(1, len(event) + 1)), np.int64)
    net("Mul", gain, net("ReduceSumSquare", "probe", axes, keepdims=0), name="trace")


def diffusion_bundle(folder: Path, *, break_at: float | None = None, shift: float = 3.0, scale: float = 2.0) -> Path:
    """Data are N(shift + scale·MEAN, (scale·STD)²). Below time ``break_at`` the graph gives NaN."""
    event = (3,)
    step = Net()
    d, _ = denoiser(step, row_zero(step, "state"), step.constant(MEAN), STD)
    d = step("Mul", d, step("ReduceSum", "weights", keepdims=0))
    if break_at is not None:
        late = step("Cast", step("Less", "time", break_at), to=TensorProto.FLOAT)
        d = step("Add", d, step("Sqrt", step("Neg", late)))
    advance(step, d, event)
    divergence = Net()
    d, gain = denoiser(divergence, "x", divergence.constant(MEAN), STD)
    divergence("Identity", d, name="denoised")
    trace(divergence, gain, event)
    path = CosineLogSNR().describe()
    graphs = {
        "step": step.save(folder / "step.onnx", *step_ports(event, conditional=False)),
        "divergence": divergence.save(folder / "divergence.onnx", *divergence_ports(event, conditional=False)),
    }
    return write_manifest(
        folder,
        model={"name": "gaussian-diffusion", "family": "diffusion"},
        event_shape=event,
        graphs=graphs,
        sample=Iterate("step", path, shift=shift, scale=scale, steps=20),
        log_prob=Integrate("divergence", path, shift=shift, scale=scale, steps=64),
    )


def class_bundle(folder: Path) -> Path:
    """Images [1, 2, 2] with values in [0, 4): data = 2 + 2·state."""
    event = (1, 2, 2)
    step = Net()
    per_sample = step.constant([-1, 1, 1, 1], np.int64)
    means = step("Unsqueeze", step("Gather", MEANS, "condition"), step.constant([2, 3, 4], np.int64))
    x = step("Unsqueeze", row_zero(step, "state"), step.constant([0], np.int64))
    each, _ = denoiser(step, x, means, CLASS_STD)
    weights = step("Unsqueeze", "weights", step.constant([1, 2, 3, 4], np.int64))
    guided = step("ReduceSum", step("Mul", each, weights), step.constant([0], np.int64), keepdims=0)
    contrast = step("Div", deviation(step, row_zero(step, each), event), deviation(step, guided, event))
    share = step("Add", step("Mul", "rescale", contrast), step("Sub", 1.0, "rescale"))
    advance(step, step("Mul", guided, share), event, edits=True)
    divergence = Net()
    per_sample = divergence.constant([-1, 1, 1, 1], np.int64)
    means = divergence("Reshape", divergence("Gather", MEANS, "condition"), per_sample)
    d, gain = denoiser(divergence, "x", means, CLASS_STD)
    divergence("Identity", d, name="denoised")
    trace(divergence, gain, event)
    path = CosineLogSNR().describe()
    graphs = {
        "step": step.save(folder / "step.onnx", *step_ports(event, conditional=True, edits=True)),
        "divergence": divergence.save(folder / "divergence.onnx", *divergence_ports(event, conditional=True)),
    }
    common = {"path": path, "shift": 2.0, "scale": 2.0, "null_class": 3}
    return write_manifest(
        folder,
        model={"name": "class-diffusion", "family": "diffusion"},
        event_shape=event,
        condition=Condition.classes(3, LABELS, required=False),
        levels=4,
        graphs=graphs,
        sample=Iterate("step", **common, data_min=0.0, data_max=4.0, clip=1.0, steps=10),
        log_prob=Integrate("divergence", **common, steps=64),
    )


@pytest.fixture(scope="session")
def known():
    """The closed forms that the bundles are made from."""
    return SimpleNamespace(
        flow_mean=FLOW_MEAN,
        flow_factor=FLOW_FACTOR,
        flow_log_prob=flow_log_prob,
        mean=3.0 + 2.0 * MEAN,
        std=2.0 * STD,
        class_means=2.0 + 2.0 * MEANS,
        class_std=2.0 * CLASS_STD,
        labels=LABELS,
    )


@pytest.fixture(scope="session")
def flow(tmp_path_factory):
    return flow_bundle(tmp_path_factory.mktemp("flow"))


@pytest.fixture(scope="session")
def diffusion(tmp_path_factory):
    return diffusion_bundle(tmp_path_factory.mktemp("diffusion"))


@pytest.fixture(scope="session")
def broken_diffusion(tmp_path_factory):
    """Gives NaN at times below 500, i.e. after half of the steps."""
    return diffusion_bundle(tmp_path_factory.mktemp("broken"), break_at=500.0)


@pytest.fixture(scope="session")
def classes(tmp_path_factory):
    return class_bundle(tmp_path_factory.mktemp("classes"))
