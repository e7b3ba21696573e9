"""Patterns that ONNX Runtime computes slowly are written in operators that it computes fast, and give the same."""

from collections import Counter

import numpy as np
import onnx_ir as ir
import onnxruntime
import pytest
import torch
import torch.nn.functional as F
from torch import nn

from zoo.bundle.scan import scan_graph
from zoo.models import derivatives
from zoo.programs import Graph
from zoo.programs.ports import Port
from zoo.runtime import Session
from zoo_diffusion.networks.policy import Mish
from zoo_onnx.trace import trace

SIGNAL, PICTURE = (6, 9), (3, 4, 5)


def written(module, shape, tmp_path, x, opset=18):
    """The operators of a module's graph, after it was seen to compute what the module does."""
    with torch.no_grad():
        expected = module(torch.from_numpy(x)).numpy()
    ports = (Port("x", "float32", ("batch", *shape)),), (Port("y", "float32", ("batch", *expected.shape[1:])),)
    model = trace(Graph("g", module, *ports), opset)
    path = tmp_path / "g.onnx"
    ir.save(model, path)
    scan_graph(
        path.read_bytes(),
        path.name,
        opset=opset,
        ir_version=model.ir_version,
        inputs=ports[0],
        outputs=ports[1],
        files={},
    )
    np.testing.assert_allclose(Session(path).run({"x": x})["y"], expected, rtol=2e-6, atol=2e-6)
    return Counter(node.op_type for node in model.graph), model


def drawn(*shape):
    return np.random.default_rng(0).standard_normal(shape).astype(np.float32)


CONVOLUTIONS = {
    "plain": nn.Conv1d(6, 4, 3),
    "padded": nn.Conv1d(6, 4, 3, padding=1, bias=False),
    "strided": nn.Conv1d(6, 4, 4, stride=3, padding=2),
    "dilated, by channel": nn.Conv1d(6, 12, 2, dilation=3, groups=6),
    "padded to the same": nn.Conv1d(6, 4, 3, padding="same"),
    "around": nn.Conv1d(6, 4, 3, padding=1, padding_mode="circular"),
}


@pytest.mark.parametrize("name", CONVOLUTIONS)
def test_signals_are_convolved_as_pictures(name, tmp_path):
    found, model = written(CONVOLUTIONS[name].requires_grad_(False), SIGNAL, tmp_path, drawn(3, *SIGNAL))
    assert found["Conv"] == 1
    (node,) = (node for node in model.graph if node.op_type == "Conv")
    assert len(node.inputs[1].shape) == 4


def test_a_weight_that_convolves_twice_is_written_once(tmp_path):
    convolution = nn.Conv1d(6, 6, 3, padding=1).requires_grad_(False)
    _, model = written(nn.Sequential(convolution, nn.Tanh(), convolution), SIGNAL, tmp_path, drawn(2, *SIGNAL))
    assert sum(len(each.shape) == 4 for each in model.graph.initializers.values()) == 1


class Filtered(nn.Module):
    """A convolution whose weights are computed from what it convolves."""

    def forward(self, x):
        return F.conv1d(x, x.mean(0)[None, :, :3])


def test_weights_that_are_computed_stay_signals(tmp_path):
    found, _ = written(Filtered(), SIGNAL, tmp_path, drawn(3, *SIGNAL))
    assert found["Conv"] == 1
    assert found["Unsqueeze"] <= 1  # that of the weights


class Repeated(nn.Module):
    """Each pixel repeated in a block."""

    def __init__(self, down, across):
        super().__init__()
        self.down, self.across = down, across

    def forward(self, x):
        _, c, h, w = x.shape
        wide = x[:, :, :, None, :, None].expand(-1, c, h, self.down, w, self.across)
        return wide.reshape(-1, c, h * self.down, w * self.across)


@pytest.mark.parametrize(("down", "across"), [(2, 2), (1, 2), (3, 1), (2, 5)])
def test_repeated_pixels_are_a_resize(down, across, tmp_path):
    found, _ = written(Repeated(down, across), PICTURE, tmp_path, drawn(3, *PICTURE))
    assert found["Resize"] == 1
    assert "Expand" not in found


class Interleaved(nn.Module):
    """Almost the same: blocks of columns instead of repeated pixels."""

    def forward(self, x):
        _, c, h, w = x.shape
        return x[:, :, None, :, None].expand(-1, c, 2, h, 2, w).reshape(-1, c, 2 * h, 2 * w)


@pytest.mark.parametrize("shape", [PICTURE, (3, 2, 2)], ids=str)
def test_other_expansions_stay_as_they_are(shape, tmp_path):
    found, _ = written(Interleaved(), shape, tmp_path, drawn(3, *shape))
    assert "Resize" not in found


class Squashed(nn.Module):
    """The hyperbolic tangent of a softplus."""

    def __init__(self, **options):
        super().__init__()
        self.options = options

    def forward(self, x):
        return torch.tanh(F.softplus(x, **self.options))


@pytest.mark.parametrize("module", [Mish(), nn.Mish(), Squashed()], ids=["ours", "torch", "inner"])
def test_mish_has_neither_softplus_nor_tanh(module, tmp_path):
    extremes = np.array([[-3e38, -200, -104, -88, -30, -5, -1e-3, 0, 1e-8, 0.5, 9, 19.9, 20.1, 90, 3e38]], np.float32)
    found, _ = written(module, extremes.shape[1:], tmp_path, extremes)
    assert not found.keys() & {"Softplus", "Tanh"}
    written(module, (512,), tmp_path, 4 * drawn(7, 512))


def test_small_values_of_mish_keep_their_digits(tmp_path):
    x = np.linspace(-60, -10, 301, dtype=np.float32)[:, None]
    exact = torch.tanh(F.softplus(torch.from_numpy(x).double())).numpy()
    written(Squashed(), (1,), tmp_path, x)
    np.testing.assert_allclose(Session(tmp_path / "g.onnx").run({"x": x})["y"], exact, rtol=1e-5)


@pytest.mark.parametrize("options", [{"beta": 2.0}, {"threshold": 1.0}], ids=str)
def test_a_softplus_of_another_form_stays(options, tmp_path):
    found, _ = written(Squashed(**options), (4,), tmp_path, drawn(3, 4))
    assert found["Softplus"] == found["Tanh"] == 1


def test_the_derivative_of_rewritten_parts_is_that_of_the_parts(tmp_path):
    torch.manual_seed(0)
    network = nn.Sequential(nn.Conv1d(6, 6, 3, padding=1), Mish(), nn.Conv1d(6, 6, 3, padding=1)).requires_grad_(False)

    class Tangent(nn.Module):
        def forward(self, x):
            return derivatives.jvp(network, x, torch.ones_like(x))[1]

    found, _ = written(Tangent(), SIGNAL, tmp_path, drawn(3, *SIGNAL))
    assert "Tanh" not in found


@pytest.mark.parametrize(("approximate", "fused"), [("none", "Gelu"), ("tanh", "FastGelu")])
def test_gelu_is_written_as_onnx_runtime_fuses_it(approximate, fused, tmp_path):
    linear = nn.Sequential(nn.Linear(8, 8, bias=False), nn.GELU(approximate), nn.Linear(8, 8, bias=False))
    written(linear.requires_grad_(False), (5, 8), tmp_path, drawn(3, 5, 8))
    options = onnxruntime.SessionOptions()
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    onnxruntime.InferenceSession(tmp_path / "g.onnx", options, providers=["CPUExecutionProvider"])
    assert fused in {node.op_type for node in ir.load(tmp_path / "optimised.onnx").graph}


SOFT_LIMITS = {
    "k": (lambda x: x / (1 + x.abs() * 0.3), 1),
    "c": (lambda x: x / (1 + x.abs() / 8.0), 1),
    "one": (lambda x: x / (x.abs() + 1), 1),
    "negative": (lambda x: x / torch.rsub(x.abs(), -1.0, alpha=0.2), 1),
    "several": (lambda x: x / (1 + torch.tensor([0.5, 2.0, 4.0, 1.0]) * x.abs()), 1),
    "of another": (lambda x: x / (1 + (x + 1).abs()), 0),
    "with a pole": (lambda x: x / (1 - 0.1 * x.abs()), 0),
    "from two": (lambda x: x / (2 + x.abs()), 0),
}


class Applied(nn.Module):
    """A function as a module."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


@pytest.mark.parametrize("name", SOFT_LIMITS)
def test_a_soft_limit_is_a_softsign(name, tmp_path):
    function, count = SOFT_LIMITS[name]
    x = np.array([[-1e30, -3.0, 0.0, 1e-30], [2.0, 5.0, 300.0, 1e30]], np.float32)
    operators, _ = written(Applied(function), (4,), tmp_path, x)
    assert operators["Softsign"] == count
    assert (operators["Div"] == 0) == bool(count)


@pytest.mark.parametrize("shape", [(1,), (7, 1), (4,), (3, 1, 1)])
def test_a_number_has_the_axes_of_what_ends_in_an_axis_of_one(shape, tmp_path):
    function = Applied(lambda x: torch.where(x * 3.0 - 2.0 >= 0.5, x, 1.5 - x))
    _, model = written(function, shape, tmp_path, drawn(5, *shape))
    ranks = {
        len(value.const_value.shape)
        for node in model.graph
        if node.op_type in ("Mul", "Sub", "GreaterOrEqual")
        for value in node.inputs
        if value.const_value is not None
    }
    assert ranks == {1 + len(shape) if shape[-1] == 1 else 0}


def test_a_reshape_computes_no_sizes(tmp_path):
    function = Applied(lambda x: x.unflatten(1, (-1, 2)).movedim(2, 0)[0])
    operators, _ = written(function, (6,), tmp_path, drawn(5, 6))
    assert not operators["Shape"]
