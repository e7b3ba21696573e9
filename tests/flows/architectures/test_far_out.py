"""Flows far from what they were made for: data far out or not finite, and numbers of 16 bits."""

import copy
import math

import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ConfigError  # noqa: E402
from zoo_flows.iaf import IAF  # noqa: E402
from zoo_flows.maf import MAF  # noqa: E402

#: in units of what transforms see
FAR = (30.0, 1e3, 1e6)
#: of vectors, with many transforms one after the other
DEEP = ("plane", "maf", "iaf", "iaf-vector", "maf-mixture", "nsf-ar", "naf", "umnn", "tarflow", "nice", "realnvp")


def arguments(condition):
    return {} if condition is None else {"condition": condition}


@torch.no_grad()
@pytest.mark.parametrize("config", DEEP)
def test_densities_are_finite_in_float32_as_far_out_as_they_are_in_float64(make, inputs, config):
    model = make(config, scale=0.6, transforms=8)
    double = copy.deepcopy(model).double()
    x, condition = inputs(model, 32)
    direction = torch.nn.functional.normalize(x.flatten(1), dim=1)
    for distance in FAR:
        far = (distance * direction).view_as(x)
        expected = double.log_prob(far.double(), **arguments(condition))
        assert expected.isfinite().all()
        given = model.log_prob(far, **arguments(condition))
        # far out, float32 keeps the size of the density, if not all of its digits
        torch.testing.assert_close(given.double(), expected, rtol=0.05, atol=1.0)


@torch.no_grad()
@pytest.mark.parametrize("cls", [MAF, IAF])
@pytest.mark.parametrize("slope", [2.0, 8.0])
def test_slopes_of_affine_autoregressive_flows_are_bounded(cls, slope):
    """So far from data, where none are learned, a density of n transforms falls by slope^(2n) at most."""
    torch.manual_seed(0)
    model = cls(event_shape=[3], transforms=4, hidden=[16], largest_slope=slope).double()
    for parameter in model.parameters():
        parameter.data.add_(3.0 * torch.randn_like(parameter))  # far steeper than any training
    _, log_det = model.to_noise(30.0 * torch.randn(64, 3, dtype=torch.float64))
    # each slope lies between the bound and its inverse; the standardisation of data is the identity here
    assert log_det.abs().max() <= 3 * 4 * math.log(slope)
    assert log_det.abs().max() > math.log(slope)


@pytest.mark.parametrize("slope", [1.0, 0.5, -2.0, 1e4, math.nan])
def test_bounds_of_slopes_that_are_none_are_refused(slope):
    with pytest.raises(ConfigError, match="largest_slope must be more than 1 and at most 1000"):
        MAF(event_shape=[2], largest_slope=slope)


@torch.no_grad()
def test_the_density_of_an_infinity_is_zero_and_that_of_nan_is_nan(model, inputs):
    x, condition = inputs(model, 6)
    expected = model.log_prob(x, **arguments(condition))
    flat = x.flatten(1).clone()
    flat[1, 0], flat[2, -1], flat[3] = math.inf, -math.inf, math.inf
    flat[4, 0], flat[5, 0], flat[5, -1] = math.nan, math.nan, math.inf
    given = model.log_prob(flat.view_as(x), **arguments(condition))
    assert given[0] == expected[0]
    assert (given[1:4] == -math.inf).all()
    assert given[4:].isnan().all()


@torch.no_grad()
@pytest.mark.parametrize("dtype", [torch.half, torch.bfloat16], ids=str)
def test_sixteen_bits_sample_and_score_about_the_same(model, inputs, dtype):
    """Within what rounding weights and values to 11 or 8 bits makes of them, layer after layer."""
    condition = arguments(inputs(model, 8)[1])
    x = model.sample(8, seed=1, **condition)
    low = copy.deepcopy(model).to(dtype)
    samples, density = low.sample(8, seed=1, **condition), low.log_prob(x.to(dtype), **condition)
    assert samples.dtype == density.dtype == dtype
    spread = 1.0 + x.abs()
    assert ((samples.float() - x).abs() / spread).median() < 0.05
    expected = model.log_prob(x, **condition)
    assert ((density.float() - expected).abs() / (1.0 + expected.abs())).median() < 0.05
