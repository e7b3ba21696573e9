"""Flows: they start as what fits data without them, and every parameter learns."""

import copy

import pytest

torch = pytest.importorskip("torch")

from zoo.errors import DataError  # noqa: E402 - after the check for torch
from zoo_flows.glow import Glow  # noqa: E402
from zoo_flows.naf import NAF  # noqa: E402
from zoo_flows.realnvp import RealNVP  # noqa: E402


@torch.no_grad()
@pytest.mark.parametrize("cls", [RealNVP, Glow])
def test_a_fresh_flow_of_images_is_a_fitted_gaussian(cls):
    """1×1 convolutions begin as rotations and couplings as the identity, so the base stays what it is."""
    x = 3.0 + 0.2 * torch.randn(3000, 1, 4, 4, generator=torch.Generator().manual_seed(0))
    model = cls(event_shape=[1, 4, 4], scales=2)
    model.prepare(x)
    expected = torch.distributions.Normal(x.mean(0), x.std(0)).log_prob(x).flatten(1).sum(1)
    difference = (model.log_prob(x) - expected).abs()
    assert difference.mean() < 0.1
    assert difference.max() < 1.0


def test_every_parameter_gets_a_gradient(model, inputs):
    model = copy.deepcopy(model).train()
    x, condition = inputs(model, 200)
    model.loss(x, condition=condition).backward()
    for key, parameter in model.named_parameters():
        assert parameter.grad is not None, key
        assert parameter.grad.isfinite().all(), key
        assert parameter.grad.abs().max() > 0, key


def test_prepared_on_data_a_fresh_flow_is_a_fitted_gaussian(cls):
    if cls is NAF:
        pytest.skip("sigmoids of naf begin apart")
    x = torch.randn(3000, 2, generator=torch.Generator().manual_seed(0)) * torch.tensor([0.2, 5.0]) + 3.0
    model = cls(event_shape=[2])
    model.prepare(x)
    expected = torch.distributions.Normal(x.mean(0), x.std(0)).log_prob(x).sum(1)
    torch.testing.assert_close(model.log_prob(x).detach(), expected, rtol=1e-4, atol=1e-4)
    with pytest.raises(DataError, match="component 0"):
        model.prepare(torch.ones(5, 2))


def test_activation_normalisation_starts_at_what_it_is_given(scramble):
    """Behind couplings that are not fresh, the base noise of the data it was prepared on has mean 0 and deviation 1."""
    torch.manual_seed(0)
    model = scramble(RealNVP(event_shape=[3], transforms=2, condition={"kind": "vector", "size": 2}), scale=0.3)
    x = torch.randn(3000, 3, generator=torch.Generator().manual_seed(0)).exp()
    model.prepare(x)
    # layers are prepared for a mean condition
    z, _ = model.to_noise(x, model.standardized_context.shift.expand(3000, 2))
    torch.testing.assert_close(z.mean(0), torch.zeros(3), rtol=0, atol=1e-4)
    torch.testing.assert_close(z.std(0), torch.ones(3), rtol=1e-4, atol=0)
