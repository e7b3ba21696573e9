"""Flows: samples and noise go back to where they came from, in every dtype."""

import copy

import pytest

torch = pytest.importorskip("torch")

from zoo_flows.cnf import CNF  # noqa: E402 - after the check for torch
from zoo_flows.glow import Glow  # noqa: E402
from zoo_flows.realnvp import RealNVP  # noqa: E402


@torch.no_grad()
def test_sampling_inverts_scoring_in_float64(model, inputs):
    model = copy.deepcopy(model).double()
    x, condition = inputs(model, 40, dtype=torch.float64)
    z, log_det = model.to_noise(x, condition)
    back, inverse_log_det = model.to_data(z, condition)
    closeness = 1e-6 if isinstance(model, CNF) else 1e-10
    torch.testing.assert_close(back, x, rtol=closeness, atol=closeness)
    torch.testing.assert_close(inverse_log_det, -log_det, rtol=1e-8, atol=1e-8)


@torch.no_grad()
def test_scoring_inverts_sampling_in_float32(model, inputs):
    """Measured in z: where these random flows are flat, x is worse determined by a rounded z than float32 shows."""
    x, condition = inputs(model, 200)
    z, _ = model.to_noise(x, condition)
    back, _ = model.to_data(z, condition)
    again, _ = model.to_noise(back, condition)
    assert ((again - z).abs() <= 1e-4 * (1 + z.abs())).all()


@torch.no_grad()
@pytest.mark.parametrize("cls", [RealNVP, Glow])
def test_sampling_inverts_scoring_of_images_in_float32_at_default_sizes(scramble, cls, inputs):
    torch.manual_seed(0)
    model = cls(event_shape=[1, 8, 8], scales=2).eval()
    for name, parameter in model.named_parameters():
        if "packed" not in name:  # 1×1 convolutions begin as rotations
            parameter.copy_(0.02 * torch.randn(parameter.shape))
    x, _ = inputs(model, 50)
    z, _ = model.to_noise(x)
    torch.testing.assert_close(model.to_data(z)[0], x, rtol=1e-4, atol=1e-4)


@torch.no_grad()
@pytest.mark.parametrize("shape", [[2], [1, 8, 8]])
def test_sampling_inverts_scoring_in_float32_at_default_sizes(scramble, cls, shape, inputs):
    torch.manual_seed(0)
    model = scramble(cls(event_shape=shape), scale=0.02).eval()
    x, _ = inputs(model, 200 if len(shape) == 1 else 40)
    z, _ = model.to_noise(x)
    assert (z - x).abs().max() > 0.1
    torch.testing.assert_close(model.to_data(z)[0], x, rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_dtypes_are_kept(model, dtype, inputs):
    model = copy.deepcopy(model).to(dtype)
    x, condition = inputs(model, 3, dtype=dtype)
    assert model.log_prob(x, condition=condition).dtype == dtype
    assert model.sample(2, condition=None if condition is None else condition[:2], seed=0).dtype == dtype
