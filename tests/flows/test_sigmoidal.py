"""The map of neural autoregressive flows, and the root finder that inverts it."""

import math

import pytest

torch = pytest.importorskip("torch")

from zoo.errors import DataError  # noqa: E402 - after the check for torch
from zoo_flows.naf import NAF  # noqa: E402
from zoo_flows.transforms import SigmoidalMap  # noqa: E402

DTYPES = pytest.mark.parametrize("dtype", [torch.float32, torch.float64])


def parameters_of(units, n, scale, dtype=torch.float64):
    generator = torch.Generator().manual_seed(0)
    return (scale * torch.randn(3 * units, n, generator=generator, dtype=torch.float64)).to(dtype)


def test_it_is_the_logit_of_a_mixture_of_sigmoids():
    map, x = SigmoidalMap(4), torch.linspace(-4, 4, 101, dtype=torch.float64)[None]
    u, shifts, logits = parameters_of(4, 101, 1.0).chunk(3)
    slopes = torch.exp(u / (1 + u.abs() / math.log(100)))
    y = torch.logit((logits.softmax(0) * torch.sigmoid(slopes * (x + shifts))).sum(0, keepdim=True))
    z, _ = map.forward(x, parameters_of(4, 101, 1.0))
    torch.testing.assert_close(z, 0.999 * y + 0.001 * x)


def test_one_sigmoid_is_an_affine_map():
    x = torch.linspace(-1e4, 1e4, 101, dtype=torch.float64)[None]
    parameters = torch.tensor([0.7, -1.5, 3.0], dtype=torch.float64)[:, None].expand(3, 101)
    slope = math.exp(0.7 / (1 + 0.7 / math.log(100)))
    z, log_slope = SigmoidalMap(1).forward(x, parameters)
    torch.testing.assert_close(z, 0.999 * slope * (x - 1.5) + 0.001 * x)
    torch.testing.assert_close(log_slope, torch.full_like(x, math.log(0.999 * slope + 0.001)))


@DTYPES
@pytest.mark.parametrize("scale", [0.0, 1e-3, 0.3, 1.0, 3.0, 6.0])
def test_the_root_is_found_whatever_the_weights(dtype, scale):
    map, n = SigmoidalMap(8), 4000
    parameters = parameters_of(8, n, scale, dtype)
    z = torch.cat([torch.linspace(-10, 10, n // 2), torch.logspace(-6, 4, n // 2)])[None].to(dtype)
    x = map.inverse(z, parameters)
    again, log_slope = map.forward(x, parameters)
    # roundings of what is summed, the largest of which is slope times shift, are all that is left
    slopes, shifts, _ = map.prepared(parameters)
    unit = 1 + z.abs() + (slopes * (x.abs() + shifts.abs())).amax(0) + x.abs() * log_slope.exp()
    assert ((again - z).abs() / unit).max() < 8 * torch.finfo(dtype).eps
    assert (log_slope >= math.log(1e-3) - 1e-3).all()


@DTYPES
def test_it_increases_without_bound_and_ends_in_straight_lines(dtype):
    map, parameters = SigmoidalMap(8), parameters_of(8, 200, 2.0, dtype)
    x = torch.tensor([-1e6, -1e4, -1e2, 0.0, 1e2, 1e4, 1e6], dtype=dtype)
    z = torch.stack([map.forward(v.expand(1, 200), parameters)[0][0] for v in x])
    slopes = [map.forward(v.expand(1, 200), parameters)[1][0] for v in x]
    assert z.isfinite().all()
    assert (z.diff(dim=0) > 0).all()
    torch.testing.assert_close(slopes[0], slopes[1], rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(slopes[-1], slopes[-2], rtol=1e-3, atol=1e-3)


def test_gradients_of_the_inverse_are_those_of_the_function_it_inverts():
    map = SigmoidalMap(3)
    z = torch.tensor([[-2.0, 0.3, 4.0]], dtype=torch.float64, requires_grad=True)
    parameters = parameters_of(3, 3, 1.0).requires_grad_()
    assert torch.autograd.gradcheck(map.inverse, (z, parameters))


def test_sigmoids_begin_apart_and_the_map_near_the_identity():
    map, x = SigmoidalMap(8), torch.linspace(-10, 10, 201, dtype=torch.float64)[None]
    parameters = map.apart().double()
    assert len(set(parameters[8:16].tolist())) == 8
    z, log_slope = map.forward(x, parameters[:, None])
    assert 0.01 < (z - x).abs().max() < 0.1
    assert log_slope.abs().max() < 0.05
    assert torch.equal(SigmoidalMap(1).apart(), torch.zeros(3))


def test_a_fresh_flow_is_about_a_fitted_gaussian():
    x = torch.randn(3000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.2, 5.0]) + 3.0
    model = NAF(event_shape=[2])
    model.prepare(x)
    expected = torch.distributions.Normal(x.mean(0), x.std(0)).log_prob(x).sum(1)
    difference = (model.log_prob(x) - expected).abs()
    assert difference.mean() < 0.3
    with pytest.raises(DataError, match="component 0"):
        model.prepare(torch.ones(5, 2))
