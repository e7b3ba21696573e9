"""The derivatives that exporters trace, against central differences in float64, and against ``torch.func`` in ONNX."""

import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F

from zoo.errors import ExportError
from zoo.models import derivatives
from zoo.programs import Graph
from zoo.programs.ports import Port
from zoo.runtime import Session
from zoo_onnx.trace import trace

W = torch.linspace(-1, 1, 24).reshape(6, 4)
KERNEL = torch.linspace(-1, 1, 18).reshape(2, 1, 3, 3)

FUNCTIONS = {
    "arithmetic": lambda x: (2 * x - 1) * x / (3 + x * x) - 1 / (2 + x) + (1 - x),
    "powers": lambda x: x**2 + (x * x + 1) ** -0.5 + torch.sqrt(x * x + 1) + torch.rsqrt(x * x + 2),
    "exponentials": lambda x: torch.exp(x) + torch.log(x * x + 1) + torch.expm1(x) + torch.log1p(x * x),
    "trigonometry": lambda x: torch.sin(x) * torch.cos(x) + torch.tanh(x),
    "activations": lambda x: F.silu(x) + F.gelu(x) + F.gelu(x, approximate="tanh") + F.softplus(x) + torch.sigmoid(x),
    "kinks": lambda x: F.relu(x) + F.leaky_relu(x) + F.elu(x) + x.abs() + x.clamp(-0.5, 0.5),
    "choices": lambda x: torch.where(x > 0, x * x, -x) + torch.maximum(x, x * x) + torch.minimum(x, 0 * x),
    "linear layers": lambda x: F.linear(x, W.to(x), W[:, 0].to(x)) @ W.to(x),
    "softmax": lambda x: torch.softmax(x, 1) + torch.log_softmax(x, 0),
    "joining": lambda x: torch.cat([x * x, torch.ones_like(x)], 1)[:, 1:5] + torch.stack(x.chunk(2, 1))[0].repeat(1, 2),
    "reductions": lambda x: x - (x * x).mean(1, keepdim=True) + x.sum(0) + (x * x).cumsum(1),
    "layer norm": lambda x: F.layer_norm(x, (4,), W[0].to(x), W[1].to(x)),
    "group norm": lambda x: F.group_norm(
        x.reshape(-1, 4, 1).expand(-1, 4, 3) * W[:3, 0].to(x), 2, W[0].to(x), W[1].to(x)
    ).sum(-1),
    "convolution": lambda x: F.conv2d(x.reshape(-1, 1, 2, 2), KERNEL.to(x), padding=1).flatten(1)[:, :4],
    "attention": lambda x: F.scaled_dot_product_attention(*(x.reshape(-1, 1, 2, 2) * k for k in (1, 2, 3))).flatten(1),
    "constant": lambda x: torch.ones_like(x),
}


def run(function, folder, x, v, *, opset=18):
    """The value of a function and its derivative, or of several functions in turn, in ONNX Runtime."""
    functions = function if isinstance(function, list) else [function]
    inputs = tuple(Port(name, "float32", ("batch", 4)) for name in "xv")
    outputs = tuple(Port(f"{name}_{i}", "float32", ("batch", 4)) for i, _ in enumerate(functions) for name in "yt")

    def pairs(x, v):
        return [each for f in functions for each in derivatives.jvp(f, x, v)]

    ir.save(trace(Graph("g", pairs, inputs, outputs), opset), folder / "g.onnx")
    result = Session(folder / "g.onnx").run({"x": x.numpy(), "v": v.numpy()})
    return [torch.from_numpy(result[port.name]) for port in outputs]


@pytest.fixture(scope="module")
def written(tmp_path_factory):
    """The point and the direction, and value and derivative of each function there, of one graph."""
    x, v = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(0))
    results = run(list(FUNCTIONS.values()), tmp_path_factory.mktemp("g"), x, v)
    return x.double(), v.double(), dict(zip(FUNCTIONS, zip(results[::2], results[1::2], strict=True), strict=True))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_equals_central_differences(name, written):
    x, v, results = written
    function, h = FUNCTIONS[name], 1e-6
    value, tangent = results[name]
    wanted = (function(x + h * v) - function(x - h * v)) / (2 * h)
    torch.testing.assert_close(value, function(x).float(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(tangent, wanted.float(), rtol=1e-5, atol=1e-5)


@pytest.mark.full
@pytest.mark.parametrize(("name", "opset"), [("activations", 20), ("group norm", 21), ("attention", 23)])
def test_operators_of_later_opsets_have_rules(name, opset, written, tmp_path):
    x, v, results = written
    for one, other in zip(
        run(FUNCTIONS[name], tmp_path, x.float(), v.float(), opset=opset), results[name], strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-5, atol=1e-5)


def test_an_operator_without_a_rule_is_named(tmp_path):
    with pytest.raises(ExportError, match=r"no rule for the derivative of the operator Det.*aten.*det"):
        run(lambda x: x * torch.linalg.det(x.reshape(-1, 2, 2))[:, None], tmp_path, *torch.ones(2, 3, 4))


@pytest.mark.parametrize(
    ("function", "told"),
    [
        (
            lambda x: x * torch.linalg.det(x.reshape(-1, 2, 2))[:, None],
            "no rule for the derivative of the operator Det",
        ),
        (lambda x: (x * x + 1) ** torch.sigmoid(x), "a power whose exponent depends on the data"),
        (lambda x: F.layer_norm(x, (4,), x[0], None), "whose other inputs than the first depend on the data"),
        (lambda x: x if x.sum() > 0 else -x, "branches on the values of its inputs"),
        (lambda x: torch.linalg.eigvals(x.reshape(-1, 2, 2)).real.repeat(1, 2), "cannot be exported to ONNX"),
    ],
)
def test_what_fails_in_a_derivative_names_the_way_without_it(function, told, tmp_path):
    with pytest.raises(ExportError, match=told) as caught:
        run(function, tmp_path, *torch.ones(2, 3, 4))
    assert "a diffusion built with likelihood = false leaves out" in caught.value.hint


def test_what_fails_without_a_derivative_does_not():
    port, other = Port("x", "float32", ("batch", 4)), Port("y", "float32", ("batch", 4))
    with pytest.raises(ExportError, match="branches on the values of its inputs") as caught:
        trace(Graph("g", lambda x: x if x.sum() > 0 else -x, (port,), (other,)), 18)
    assert "likelihood" not in caught.value.hint


@pytest.mark.parametrize("kind", ["Clip", "Conv"])
def test_an_operator_whose_other_inputs_move_is_refused(kind, tmp_path):
    """Its rule would leave out what they add, in silence."""
    function = {
        "Clip": lambda x: torch.onnx.ops.symbolic(
            "::Clip", (x, x.mean() - 1, x.mean() + 1), dtype=x.dtype, shape=x.shape, version=18
        ),
        "Conv": lambda x: F.conv1d(x[:, None], x[:1, None, :1]).flatten(1),
    }[kind]
    with pytest.raises(ExportError, match=f"{kind} whose other inputs than the first depend on the data"):
        run(function, tmp_path, *torch.ones(2, 3, 4))


def test_what_a_type_is_taken_of_may_move(tmp_path):
    """CastLike(constant, x), as translations write constants."""

    def function(x):
        two = torch.onnx.ops.symbolic("::CastLike", (torch.tensor(2), x), dtype=x.dtype, shape=[], version=18)
        return x * two

    x, v = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(4))
    torch.testing.assert_close(run(function, tmp_path, x, v)[1], 2 * v)


def test_what_does_not_depend_on_the_point_has_no_tangent(tmp_path):
    x = torch.ones(3, 4)
    value, tangent = run(lambda y: torch.ones_like(y) * 2, tmp_path, x, x)
    assert (value == 2).all()
    assert (tangent == 0).all()


def test_a_second_derivative_is_one_of_the_first(tmp_path):
    def slope(y):
        return derivatives.jvp(torch.sin, y, 2 * y)[1]

    x, v = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(2))
    value, tangent = run(slope, tmp_path, x, v)
    torch.testing.assert_close(value, 2 * x * x.cos(), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(tangent, 2 * (x.cos() - x * x.sin()) * v, rtol=1e-5, atol=1e-5)


def test_two_derivatives_at_one_point_are_apart(tmp_path):
    def both(x, v):
        value, first = derivatives.jvp(torch.sin, x, v)
        # constant for the second derivative, although it was computed at the same point
        return value, derivatives.jvp(lambda y: y * first, x, v)[1]

    x, v = torch.randn(2, 3, 4, generator=torch.Generator().manual_seed(3))
    ports = (Port("x", "float32", ("batch", 4)), Port("v", "float32", ("batch", 4)))
    outputs = (Port("y", "float32", ("batch", 4)), Port("t", "float32", ("batch", 4)))
    ir.save(trace(Graph("g", both, ports, outputs), 18), tmp_path / "g.onnx")
    result = Session(tmp_path / "g.onnx").run({"x": x.numpy(), "v": v.numpy()})
    torch.testing.assert_close(torch.from_numpy(result["t"]), v * v * x.cos(), rtol=1e-5, atol=1e-5)


def test_a_method_is_in_place_only_within_its_block():
    with derivatives.method(lambda f, x, v: (x, x)):
        assert derivatives.jvp(torch.exp, torch.zeros(1), torch.ones(1))[0].item() == 0
    assert derivatives.jvp(torch.exp, torch.zeros(1), torch.ones(1))[0].item() == 1


def test_a_derivative_in_a_graph_keeps_the_batch_symbolic(graph, tmp_path):
    def slope(x):
        return derivatives.jvp(lambda y: torch.tanh(F.linear(y, W)).sum(-1, keepdim=True) * y, x, torch.ones_like(x))[1]

    ir.save(trace(graph(slope), 18), tmp_path / "g.onnx")
    session = Session(tmp_path / "g.onnx")
    for batch in (1, 2, 17):
        x = torch.randn(batch, 4)
        torch.testing.assert_close(torch.from_numpy(session.run({"x": x.numpy()})["y"]), slope(x), rtol=1e-5, atol=1e-5)
