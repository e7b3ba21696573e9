"""The unconstrained monotonic map: its quadrature is the integral, its slope the integrand, and its root is found."""

import pytest

torch = pytest.importorskip("torch")

from zoo_flows.transforms import IntegralMap  # noqa: E402 - after the check for torch


@pytest.fixture
def made(scramble):
    def make(scale, *, n=500, nodes=32, dtype=torch.float64):
        torch.manual_seed(0)
        map = scramble(IntegralMap(3, hidden=(8, 8), nodes=nodes, bound=3.0), scale=scale).to(dtype)
        return map, (scale * torch.randn(4, n, dtype=torch.float64)).to(dtype)

    return make


@torch.no_grad()
@pytest.mark.parametrize("scale", [0.1, 0.25, 0.4])
def test_the_slope_is_what_finite_differences_give(made, scale):
    """To 1e-7 with moderate weights; sharp integrands need more nodes."""
    map, parameters = made(scale, nodes=32)
    step = 1e-5
    for value in torch.linspace(-4, 4, 40, dtype=torch.float64):
        x = value.expand(1, parameters.shape[1])
        ahead, behind = (map.forward(x + d, parameters)[0] for d in (step, -step))
        slope = map.forward(x, parameters)[1].exp()
        torch.testing.assert_close((ahead - behind) / (2 * step), slope, rtol=1e-7, atol=1e-7)


@torch.no_grad()
def test_it_goes_on_as_a_line_and_continuously(made):
    map, parameters = made(0.5)
    x = torch.tensor([3.0, 3.0 + 1e-12, 4.0, 5.0, 1e4], dtype=torch.float64)
    z = torch.stack([map.forward(v.expand(1, 500), parameters)[0][0] for v in x])
    torch.testing.assert_close(z[1], z[0])
    torch.testing.assert_close(z[3] - z[2], z[2] - z[0])
    torch.testing.assert_close(z[4] - z[0], 9997 * (z[2] - z[0]))


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0, 3.0])
def test_the_root_is_found_whatever_the_weights(made, scale, dtype):
    map, parameters = made(scale, nodes=64, dtype=dtype)
    z = torch.cat([torch.linspace(-10, 10, 250), torch.logspace(-6, 4, 250)])[None].to(dtype)
    x = map.inverse(z, parameters)
    again, log_slope = map.forward(x, parameters)
    unit = 1 + z.abs() + parameters[-1:].abs() + x.abs() * log_slope.exp()
    assert ((again - z).abs() / unit).max() < 64 * torch.finfo(dtype).eps


def test_gradients_of_the_inverse_are_those_of_the_function_it_inverts(made):
    map, parameters = made(0.4, n=3)
    z = torch.tensor([[-2.0, 0.3, 4.0]], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(map.inverse, (z, parameters.requires_grad_()), atol=1e-5)


def test_gradients_for_weights_are_those_of_the_quadrature(made):
    map, parameters = made(0.4, n=3)
    x = torch.tensor([[-4.0, 0.3, 2.0]], dtype=torch.float64)
    weights = dict(map.named_parameters())

    def total(*values):
        named = dict(zip(weights, values, strict=True))
        z, log_slope = torch.func.functional_call(map, named, (x, parameters))
        return z + log_slope

    assert torch.autograd.gradcheck(total, tuple(w.detach().requires_grad_() for w in weights.values()))
