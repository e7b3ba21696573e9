"""The spline functions: monotone, smooth at knots, inverted exactly, and unharmed by wild parameters."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from hypothesis import given, settings  # noqa: E402 - after the check for torch
from hypothesis import strategies as st  # noqa: E402

from zoo_flows.transforms.rational_quadratic import inverse_spline, knots, parameter_count, spline  # noqa: E402

BINS, BOUND = 8, 3.0


def random_knots(shape, *, scale=1.0, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    parameters = scale * torch.randn(*shape, parameter_count(BINS), generator=generator, dtype=dtype)
    return knots(parameters.movedim(-1, 0), bins=BINS, bound=BOUND)


def test_knots_increase_between_exact_ends():
    k = random_knots((200,), scale=6.0)
    x, y, derivatives = k.whole
    for positions in (x, y):
        assert (positions.diff(dim=0) > 0).all()
        assert (positions[0] == -BOUND).all()
        assert (positions[-1] == BOUND).all()
    assert (derivatives > 1e-3).all()
    assert (derivatives < 1e3).all()
    assert (derivatives[[0, -1]] == 1).all()


def test_it_passes_through_its_knots_with_their_derivatives():
    k = random_knots((50,))
    for x, expected, derivative in zip(*k.whole, strict=True):
        y, log_slope = spline(x, k, bound=BOUND)
        torch.testing.assert_close(y, expected, rtol=0, atol=1e-12)
        torch.testing.assert_close(log_slope, derivative.log(), rtol=0, atol=1e-9)


def test_equations_4_and_5_of_the_paper():
    k = random_knots((1,), seed=3)
    x = torch.linspace(-2.99, 2.99, 101, dtype=torch.float64)
    y, log_slope = spline(x, k, bound=BOUND)
    positions, heights, slopes = k.whole[..., 0].numpy()
    for i, value in enumerate(x.tolist()):
        j = np.searchsorted(positions, value, side="right") - 1
        w, h = positions[j + 1] - positions[j], heights[j + 1] - heights[j]
        s, xi, d0, d1 = h / w, (value - positions[j]) / w, slopes[j], slopes[j + 1]
        denominator = s + (d1 + d0 - 2 * s) * xi * (1 - xi)
        assert y[i].item() == pytest.approx(heights[j] + h * (s * xi**2 + d0 * xi * (1 - xi)) / denominator, abs=1e-12)
        slope = s**2 * (d1 * xi**2 + 2 * s * xi * (1 - xi) + d0 * (1 - xi) ** 2) / denominator**2
        assert log_slope[i].item() == pytest.approx(math.log(slope), abs=1e-10)


@settings(max_examples=40, deadline=None)
@given(
    x=st.lists(st.floats(-1e6, 1e6), min_size=1, max_size=20),
    scale=st.floats(0, 3),
    seed=st.integers(0, 1000),
)
def test_any_number_comes_back(x, scale, seed):
    x = torch.tensor(x, dtype=torch.float64)
    k = random_knots((len(x),), scale=scale, seed=seed)
    y, log_slope = spline(x, k, bound=BOUND)
    back, inverse_log_slope = inverse_spline(y, k, bound=BOUND)
    # x is only as well determined as the spline is steep: to 1e-10 in y
    assert ((back - x).abs() * log_slope.exp().clamp(max=1.0) <= 1e-10 * (1 + x.abs())).all()
    torch.testing.assert_close(spline(back, k, bound=BOUND)[0], y, rtol=1e-10, atol=1e-10)
    assert (log_slope + inverse_log_slope).abs().max() < 1e-4


@settings(max_examples=25, deadline=None)
@given(seed=st.integers(0, 1000), scale=st.floats(0, 6))
def test_it_is_monotone(seed, scale):
    x = torch.linspace(-3.5, 3.5, 401, dtype=torch.float64)
    k = random_knots((1,), scale=scale, seed=seed)
    assert (spline(x, k, bound=BOUND)[0].diff() > 0).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_wild_parameters_give_no_nan_in_values_or_gradients(dtype):
    generator = torch.Generator().manual_seed(0)
    n = 20_000
    parameters = 6.0 * torch.randn(n, parameter_count(BINS), generator=generator, dtype=dtype)
    x = 4.0 * (torch.rand(n, generator=generator, dtype=dtype) * 2 - 1)
    parameters.requires_grad_()
    x.requires_grad_()
    k = knots(parameters.movedim(-1, 0), bins=BINS, bound=BOUND)
    for function in (spline, inverse_spline):
        y, log_slope = function(x, k, bound=BOUND)
        assert y.isfinite().all()
        assert log_slope.isfinite().all()
        gradients = torch.autograd.grad(y.sum() + log_slope.sum(), (x, parameters), retain_graph=True)
        assert all(g.isfinite().all() for g in gradients)


@torch.no_grad()
def test_wild_parameters_in_float32_still_come_back():
    n = 20_000
    k = random_knots((n,), scale=6.0, dtype=torch.float32)
    y = 3.5 * (torch.rand(n, generator=torch.Generator().manual_seed(1)) * 2 - 1)
    x, _ = inverse_spline(y, k, bound=BOUND)
    again, log_slope = spline(x, k, bound=BOUND)
    # half an ulp of x is this much of y
    rounding = 2.0**-22 * log_slope.exp() + 1e-5
    assert ((again - y).abs() <= 20 * rounding).all()


def test_splines_are_shared_across_a_batch():
    k = random_knots((1, 4))
    x = torch.randn(7, 4, dtype=torch.float64)
    y, _ = spline(x, k, bound=BOUND)
    for i in range(4):
        one = k._replace(inner=k.inner[..., i])
        torch.testing.assert_close(y[:, i], spline(x[:, i], one._replace(ends=k.ends[..., 0]), bound=BOUND)[0])
