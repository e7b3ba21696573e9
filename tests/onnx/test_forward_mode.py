"""The derivatives that exporters trace, against central differences in float64, and against ``torch.func`` in ONNX."""

import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F

from zoo.errors import ExportError
from zoo.models import derivatives
from zoo.runtime import Session
from zoo_onnx import forward_mode
from zoo_onnx.trace import trace

W = torch.linspace(-1, 1, 24, dtype=torch.float64).reshape(6, 4)
KERNEL = torch.linspace(-1, 1, 18, dtype=torch.float64).reshape(2, 1, 3, 3)

FUNCTIONS = {
    "arithmetic": lambda x: (2 * x - 1) * x / (3 + x * x) - 1 / (2 + x) + (1 - x),
    "powers": lambda x: x**2 + (x * x + 1) ** -0.5 + torch.sqrt(x * x + 1) + torch.rsqrt(x * x + 2),
    "exponentials": lambda x: torch.exp(x) + torch.log(x * x + 1) + torch.expm1(x) + torch.log1p(x * x),
    "trigonometry": lambda x: torch.sin(x) * torch.cos(x) + torch.tanh(x),
    "activations": lambda x: F.silu(x) + F.gelu(x) + F.gelu(x, approximate="tanh") + F.softplus(x) + torch.sigmoid(x),
    "kinks": lambda x: F.relu(x) + F.leaky_relu(x) + F.elu(x) + x.abs() + x.clamp(-0.5, 0.5),
    "choices": lambda x: torch.where(x > 0, x * x, -x) + torch.maximum(x, x * x) + torch.minimum(x, 0 * x),
    "linear layers": lambda x: F.linear(x, W, W[:, 0]) @ W,
    "softmax": lambda x: torch.softmax(x, 1) + torch.log_softmax(x, 0),
    "joining": lambda x: torch.cat([x * x, torch.ones_like(x)], 1)[:, 1:5] + torch.stack(x.chunk(2, 1))[0].repeat(1, 2),
    "reductions": lambda x: x - (x * x).mean(1, keepdim=True) + x.sum(0) + (x * x).cumsum(1),
    "layer norm": lambda x: F.layer_norm(x, (4,), W[0], W[1]),
    "group norm": lambda x: F.group_norm(x.reshape(-1, 4, 1).expand(-1, 4, 3) * W[:3, 0], 2, W[0], W[1]).sum(-1),
    "convolution": lambda x: F.conv2d(x.reshape(-1, 1, 2, 2), KERNEL, padding=1).flatten(1)[:, :4],
    "attention": lambda x: F.scaled_dot_product_attention(*(x.reshape(-1, 1, 2, 2) * k for k in (1, 2, 3))).flatten(1),
    "constant": lambda x: torch.ones_like(x),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_it_equals_central_differences(name):
    function = FUNCTIONS[name]
    generator = torch.Generator().manual_seed(0)
    x, v = torch.randn(2, 3, 4, dtype=torch.float64, generator=generator)
    with torch.no_grad():
        value, tangent = forward_mode.jvp(function, x, v)
        torch.testing.assert_close(value, function(x))
        h = 1e-6
        torch.testing.assert_close(tangent, (function(x + h * v) - function(x - h * v)) / (2 * h), rtol=1e-6, atol=1e-7)


def test_an_operator_without_a_rule_is_named():
    with pytest.raises(ExportError, match="bessel_j0"):
        forward_mode.jvp(torch.special.bessel_j0, torch.ones(2), torch.ones(2))


def test_what_does_not_depend_on_the_point_has_no_tangent():
    other = torch.ones(3)
    value, tangent = forward_mode.jvp(lambda x: other * 2, torch.ones(3), torch.ones(3))
    assert value.tolist() == [2, 2, 2]
    assert tangent.tolist() == [0, 0, 0]


def test_a_method_is_in_place_only_within_its_block():
    with derivatives.method(lambda f, x, v: (x, x)):
        assert derivatives.jvp(torch.exp, torch.zeros(1), torch.ones(1))[0].item() == 0
    assert derivatives.jvp(torch.exp, torch.zeros(1), torch.ones(1))[0].item() == 1


def test_a_derivative_in_a_graph_keeps_the_batch_symbolic(graph, tmp_path):
    def slope(x):
        return derivatives.jvp(
            lambda y: torch.tanh(F.linear(y, W.float())).sum(-1, keepdim=True) * y, x, torch.ones_like(x)
        )[1]

    ir.save(trace(graph(slope), 18), tmp_path / "g.onnx")
    session = Session(tmp_path / "g.onnx")
    for batch in (1, 2, 17):
        x = torch.randn(batch, 4)
        torch.testing.assert_close(torch.from_numpy(session.run({"x": x.numpy()})["y"]), slope(x), rtol=1e-5, atol=1e-5)
