"""Flows of periodic variables: the density is one of a period, the same in all, and has no seam."""

import math

import pytest

torch = pytest.importorskip("torch")

from zoo_flows.nsf_circular import NSFCircular  # noqa: E402 - after the check for torch
from zoo_flows.transforms.circular import CircularMap, wrapped  # noqa: E402

LOW, PERIOD = 3.0, 24.0


@pytest.fixture(scope="module")
def hours(scramble):
    """A flow of two times of day, far from uniform."""
    torch.manual_seed(0)
    model = NSFCircular(event_shape=[2], low=LOW, period=PERIOD, transforms=3, hidden=16, blocks=1)
    return scramble(model, scale=0.3).eval()


@torch.no_grad()
def test_the_density_of_one_period_integrates_to_one(hours):
    model = hours.double()
    axis = LOW + PERIOD * (torch.arange(400, dtype=torch.float64) + 0.5) / 400
    density = model.log_density(torch.cartesian_prod(axis, axis)).exp()
    assert density.sum().item() * (PERIOD / 400) ** 2 == pytest.approx(1.0, abs=2e-3)
    assert density.max() > 5 * density.mean()
    model.float()


@torch.no_grad()
def test_every_period_has_the_same_density_and_there_is_no_seam(hours):
    model = hours.double()
    x = LOW + PERIOD * torch.rand(200, 2, dtype=torch.float64)
    expected = model.log_prob(x)
    for turns in (-3.0, 1.0, 20.0):
        torch.testing.assert_close(model.log_prob(x + turns * PERIOD), expected, rtol=1e-8, atol=1e-8)
    x[:, 0] = LOW
    before, after = model.log_prob(x - 1e-9), model.log_prob(x + 1e-9)
    torch.testing.assert_close(before, after, rtol=0, atol=1e-6)
    model.float()


@torch.no_grad()
def test_samples_lie_in_the_period_and_follow_the_density(hours):
    x = hours.sample(40_000, seed=1)
    assert (x >= LOW).all()
    assert (x <= LOW + PERIOD).all()
    # importance weights of uniform points make the same mean direction
    y = LOW + PERIOD * torch.rand(200_000, 2, generator=torch.Generator().manual_seed(0))
    weight = hours.log_prob(y).exp() * PERIOD**2
    for function in (torch.cos, torch.sin):
        expected = (weight[:, None] * function(y * 2 * math.pi / PERIOD)).mean(0)
        torch.testing.assert_close(function(x * 2 * math.pi / PERIOD).mean(0), expected, rtol=0, atol=0.03)


@torch.no_grad()
def test_rounding_leaves_nothing_without_a_density(hours):
    generator = torch.Generator().manual_seed(0)
    x = LOW + PERIOD * torch.randint(-40, 40, (50_000, 2), generator=generator) + torch.tensor([0.0, 1e-6])
    assert hours.log_prob(x).isfinite().all()
    assert hours.log_prob(1e4 * torch.randn(50_000, 2, generator=generator)).isfinite().all()


@torch.no_grad()
def test_a_fresh_flow_is_uniform():
    model = NSFCircular(event_shape=[2], low=LOW, period=PERIOD)
    x = LOW + PERIOD * torch.rand(20, 2)
    torch.testing.assert_close(model.log_prob(x), torch.full((20,), -2 * math.log(PERIOD)))


def test_it_learns_what_lies_across_the_seam():
    """Of a narrow von Mises distribution around ±π the entropy is known, and a flow of the line would see two ends."""
    torch.manual_seed(0)
    direction = torch.distributions.VonMises(torch.tensor(math.pi), torch.tensor(8.0))
    model = NSFCircular(event_shape=[2], transforms=2, hidden=16, blocks=1)
    optimizer = torch.optim.Adam(model.parameters(), 1e-2)
    for _ in range(150):
        optimizer.zero_grad()
        model.loss(direction.sample((256, 2))).backward()
        optimizer.step()
    x = direction.sample((5000, 2))
    truth = -direction.log_prob(x).sum(1).mean().item()
    with torch.no_grad():
        learned = model.loss(x).item()
    assert truth - 0.02 < learned < truth + 0.1


@torch.no_grad()
def test_a_turn_changes_nothing():
    map = CircularMap(5)
    parameters = torch.randn(map.count, 50, dtype=torch.float64)
    x = 3 * torch.randn(1, 50, dtype=torch.float64)
    z, log_slope = map.forward(x, parameters)
    for turned, its_slope in (map.forward(x + turn * 2 * math.pi, parameters) for turn in (-1, 7)):
        torch.testing.assert_close(wrapped(turned - z), torch.zeros_like(z), rtol=0, atol=1e-10)
        torch.testing.assert_close(its_slope, log_slope, rtol=0, atol=1e-10)
    torch.testing.assert_close(map.inverse(z, parameters), wrapped(x), rtol=1e-10, atol=1e-10)
