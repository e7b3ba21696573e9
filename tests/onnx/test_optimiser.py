"""What ONNX Runtime's optimiser does to graphs: the pattern that it gets wrong, and the proof that looks for more."""

import math
import warnings

import numpy as np
import pytest

torch = pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")
ort = pytest.importorskip("onnxruntime")

import onnx_ir as ir  # noqa: E402 - after the checks
from onnx import TensorProto, helper  # noqa: E402
from onnx.numpy_helper import from_array  # noqa: E402

from zoo.errors import ProofError  # noqa: E402
from zoo.models.interface import DirectModel  # noqa: E402
from zoo.registry.cards import ModelCard  # noqa: E402
from zoo_onnx import trace as tracing  # noqa: E402
from zoo_onnx.export import export  # noqa: E402
from zoo_onnx.portable import portable  # noqa: E402

VECTOR = np.array([1.0, -2.0, 0.5], np.float32)
CARD = ModelCard(
    name="turned", family="flow", architecture="turned", config={}, summary="", license={}, data={}, papers=[]
)


def turned_by_vector():
    """MatMul(Transpose(x), v), the smallest graph that is changed."""
    nodes = [
        helper.make_node("Transpose", ["x"], ["turned"], perm=[1, 0]),
        helper.make_node("MatMul", ["turned", "v"], ["y"]),
    ]
    ports = [
        helper.make_tensor_value_info("x", TensorProto.FLOAT, [3, "n"]),
        helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n"]),
    ]
    graph = helper.make_graph(nodes, "turned", ports[:1], ports[1:], [from_array(VECTOR, "v")])
    return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 18)], ir_version=8)


def run(model, x, level, **options):
    settings = ort.SessionOptions()
    settings.graph_optimization_level = getattr(ort.GraphOptimizationLevel, f"ORT_{level}")
    return ort.InferenceSession(model.SerializeToString(), settings, **options).run(None, {"x": x})[0]


@pytest.mark.parametrize("n", [1, 2, 17])
def test_a_transposed_matrix_by_a_vector_is_written_so_that_the_optimiser_leaves_it(n):
    x = np.random.default_rng(0).standard_normal((3, n)).astype(np.float32)
    model = ir.from_proto(turned_by_vector())
    portable(model)
    model = ir.to_proto(model)
    onnx.checker.check_model(model, full_check=True)
    for level in ("DISABLE_ALL", "ENABLE_BASIC", "ENABLE_EXTENDED", "ENABLE_ALL"):
        np.testing.assert_allclose(run(model, x, level), x.T @ VECTOR, atol=1e-5)


def test_the_pass_that_is_written_around_is_named_rightly():
    x, model = np.arange(6, dtype=np.float32).reshape(3, 2), turned_by_vector()
    if np.allclose(run(model, x, "ENABLE_ALL"), x.T @ VECTOR):
        pytest.skip(f"ONNX Runtime {ort.__version__} has mended it")
    without = run(model, x, "ENABLE_ALL", disabled_optimizers=["MatmulTransposeFusion"])
    np.testing.assert_allclose(without, x.T @ VECTOR)


class Turned(DirectModel):
    """Normals through two matrices, in a way whose graph the optimiser changes."""

    family = "flow"
    event_shape = (3,)

    def __init__(self):
        super().__init__()
        self.vector = torch.nn.Parameter(torch.tensor(VECTOR))
        # of determinant 1
        matrix = torch.tensor([[1.0, 0.0, 0.0], [0.5, 1.0, 0.0], [0.0, -0.5, 1.0]])
        self.register_buffer("matrix", matrix)
        self.register_buffer("back", torch.linalg.inv(matrix))

    def inverse(self, z, condition=None):
        y = (self.matrix @ z.T).T
        return torch.cat([(y @ self.vector).unsqueeze(1), y[:, 1:]], 1)

    def log_density(self, x, condition=None):
        first = (x[:, 0] - (x[:, 1:] * self.vector[1:]).sum(1)) / self.vector[0]
        z = torch.cat([first.unsqueeze(1), x[:, 1:]], 1) @ self.back.T
        return -0.5 * z.square().sum(1) - 1.5 * math.log(2 * math.pi) - self.vector[0].abs().log()


class Stacked(DirectModel):
    """Two of nflows' QRLinear, one after the other."""

    family = "flow"

    def __init__(self, transforms):
        super().__init__()
        self.event_shape = (4,)
        self.transform = transforms.CompositeTransform([transforms.QRLinear(4, 3) for _ in range(2)])

    def inverse(self, z, condition=None):
        return self.transform.inverse(z)[0]

    def log_density(self, x, condition=None):
        z, log_det = self.transform(x)
        return log_det - 0.5 * z.square().sum(1) - 2.0 * math.log(2 * math.pi)


@pytest.mark.filterwarnings("ignore:torch.triangular_solve")
def test_stacked_qr_transforms_of_nflows_export(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        nflows = pytest.importorskip("nflows", reason="nflows, whose flows are exported, is not installed")
        from nflows import transforms
    assert nflows
    torch.manual_seed(0)
    model = Stacked(transforms)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    export(model, CARD, tmp_path)


def test_the_proof_names_the_graph_that_the_optimiser_changes(tmp_path, monkeypatch):
    monkeypatch.setattr(tracing, "portable", lambda model: None)
    with pytest.raises(ProofError, match=r"ONNX Runtime's optimiser changes graph inverse: output x .* right .* off"):
        export(Turned(), CARD, tmp_path)


def test_the_same_model_exports_when_its_graph_is_written_another_way(tmp_path):
    export(Turned(), CARD, tmp_path)
