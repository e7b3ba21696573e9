"""Averages of any length after the training, against those that would have been followed."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ConfigError  # noqa: E402 - after the check for torch
from zoo.training.averages import PowerAverages, combination, exponent, profile, reconstructed  # noqa: E402

STEPS, EVERY = 400, 20


def walk():
    """Weights that move like those of a training: fast at first, with noise."""
    random = np.random.default_rng(0)
    return 3.0 * np.exp(-np.arange(STEPS) / 80)[:, None] + 0.3 * random.normal(size=(STEPS, 5)).cumsum(0) / 10


def brute_force(values, length, last):
    """The recursion of the paper, in float64."""
    average = np.zeros(values.shape[1])
    for t in range(1, last + 1):
        beta = (1 - 1 / t) ** (exponent(length) + 1)
        average = beta * average + (1 - beta) * values[t - 1]
    return average


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "averages"
    model = torch.nn.Linear(5, 1, bias=False)
    averages = PowerAverages(model.double(), folder, EVERY)
    for step, value in enumerate(walk(), 1):
        with torch.no_grad():
            model.weight.copy_(torch.from_numpy(value)[None])
        averages.follow(step, last=step == STEPS)
    return folder


def test_exponents_are_those_of_the_paper():
    # Karras et al. 2024, section 3.1: widths of 5% and 10% are γ = 16.97 and 6.94
    assert exponent(0.05) == pytest.approx(16.97, abs=0.005)
    assert exponent(0.10) == pytest.approx(6.94, abs=0.005)


def test_profiles_are_those_of_the_recursion_and_as_long_as_they_say():
    steps = np.arange(1, 5001)
    shares = profile(5000, 0.1, steps)
    assert shares.sum() == pytest.approx(1.0)
    mean = (shares * steps).sum()
    assert ((shares * (steps - mean) ** 2).sum() ** 0.5) / 5000 == pytest.approx(0.1, rel=1e-3)
    values = np.eye(STEPS)
    np.testing.assert_allclose(
        brute_force(values, 0.1, STEPS), profile(STEPS, 0.1, np.arange(1, STEPS + 1)), atol=1e-15
    )


@pytest.mark.parametrize("length", [0.05, 0.1])
@pytest.mark.parametrize("last", [STEPS, 7 * EVERY])
def test_what_was_followed_comes_back_exactly(folder, length, last):
    found = reconstructed(folder, length, last)["weight"][0]
    np.testing.assert_allclose(found, brute_force(walk(), length, last), atol=1e-9)


@pytest.mark.parametrize("length", [0.03, 0.04, 0.07, 0.12, 0.15, 0.2])
def test_any_length_is_made_of_the_snapshots(folder, length):
    exact = brute_force(walk(), length, STEPS)
    found = reconstructed(folder, length, STEPS)["weight"][0]
    nearest = min((brute_force(walk(), each, STEPS) for each in (0.05, 0.1)), key=lambda a: abs(a - exact).max())
    # how far the nearer of the two that were followed is says what this is worth
    assert abs(found - exact).max() < 0.03 * abs(nearest - exact).max()


def test_factors_are_one_in_sum():
    stored = [(step, length) for step in range(EVERY, STEPS + 1, EVERY) for length in (0.05, 0.1)]
    for length in (0.03, 0.13, 0.25):
        assert combination(stored, STEPS, length).sum() == pytest.approx(1.0)


def test_what_cannot_be_made_is_refused(folder, tmp_path):
    for length in (0.0, 0.3, float("nan")):
        with pytest.raises(ConfigError, match="the length of an average is above 0"):
            reconstructed(folder, length, STEPS)
    with pytest.raises(ConfigError, match="no snapshots"):
        reconstructed(tmp_path, 0.1, STEPS)
