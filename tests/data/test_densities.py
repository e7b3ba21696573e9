"""The densities in the plane: their entropies against independent computations, their splits, and their options."""

import math

import numpy as np
import pytest

from zoo.errors import ConfigError
from zoo_data import densities
from zoo_data.mixtures import IsotropicMixture

ALL = [
    densities.moons,
    densities.circles,
    densities.eight_gaussians,
    densities.checkerboard,
    densities.pinwheel,
]
SIZES = {"train": 300, "validation": 20, "test": 40}


@pytest.fixture(params=ALL, ids=lambda make: make.__name__)
def make(request, monkeypatch):
    """Each of them, without waiting for its entropy."""
    monkeypatch.setattr(IsotropicMixture, "entropy", lambda self: 0.0)
    return request.param


def test_sizes_dtypes_and_classes(make):
    data = make(**SIZES)
    assert [len(s) for s in (data.train, data.validation, data.test)] == [300, 20, 40]
    assert data.event_shape == (2,)
    assert data.train.x.dtype == np.float32
    assert data.train.condition.dtype == np.int32
    assert data.train.condition.min() == 0
    assert data.levels is None


def test_a_seed_repeats_and_splits_are_apart(make):
    one, same, other = make(**SIZES), make(**SIZES), make(**SIZES, seed=1)
    np.testing.assert_array_equal(one.train.x, same.train.x)
    assert not np.array_equal(one.train.x, other.train.x)
    assert not np.array_equal(one.train.x[:20], one.validation.x)
    assert not np.array_equal(one.validation.x, one.test.x[:20])


def test_more_training_samples_leave_the_test_split_alone(make):
    np.testing.assert_array_equal(make(**SIZES).test.x, make(**{**SIZES, "train": 5}).test.x)


def test_default_sizes():
    data = densities.checkerboard()
    assert (len(data.train), len(data.validation), len(data.test)) == (100_000, 10_000, 20_000)


@pytest.mark.parametrize("options", [{"train": 0}, {"seed": -1}])
def test_sizes_and_seeds_that_make_no_sense_are_refused(make, options):
    with pytest.raises(ConfigError, match="splits need 1 sample"):
        make(**options)


@pytest.mark.parametrize("noise", [0.0, -1.0, math.nan, math.inf])
def test_noise_that_makes_no_sense_is_refused(noise):
    for make in (densities.moons, densities.circles, densities.eight_gaussians):
        with pytest.raises(ConfigError, match="noise must be a standard deviation"):
            make(noise=noise)


def test_other_options_that_make_no_sense_are_refused():
    with pytest.raises(ConfigError, match="factor"):
        densities.circles(factor=1.0)
    with pytest.raises(ConfigError, match="pinwheel"):
        densities.pinwheel(arms=0)


# -- entropies ---------------------------------------------------------------------------------------------------------


def test_the_entropy_of_one_gaussian_is_the_formula():
    mixture = IsotropicMixture(np.array([[1.0, -2.0]]), np.ones(1), 0.3)
    assert mixture.entropy() == pytest.approx(1 + math.log(2 * math.pi * 0.3**2), abs=1e-9)


def test_the_entropy_of_gaussians_far_apart_adds_that_of_the_choice():
    mixture = IsotropicMixture(np.array([[0.0, 0.0], [50.0, 0.0]]), np.array([0.25, 0.75]), 1.0)
    choice = -0.25 * math.log(0.25) - 0.75 * math.log(0.75)
    assert mixture.entropy() == pytest.approx(1 + math.log(2 * math.pi) + choice, abs=1e-9)


@pytest.mark.parametrize("noise", [0.1, 0.3])
def test_the_entropy_of_the_moons_is_that_of_samples(noise):
    """By Monte Carlo with a density of its own: each moon's line integral by a plain sum over 2,000 points."""
    data = densities.moons(train=1, validation=1, test=4_000, noise=noise)
    t = (np.arange(2_000) + 0.5) * math.pi / 2_000
    curve = np.concatenate([np.stack([np.cos(t), np.sin(t)], 1), np.stack([1 - np.cos(t), 0.5 - np.sin(t)], 1)])
    p = np.empty(len(data.test))
    for i, x in enumerate(data.test.x):
        squared = ((x - curve) ** 2).sum(1)
        p[i] = np.exp(-0.5 * squared / noise**2).mean() / (2 * math.pi * noise**2)
    nll = -np.log(p)
    assert abs(nll.mean() - data.entropy) < 4 * nll.std() / math.sqrt(len(nll))


def test_the_entropy_of_the_circles_is_that_of_their_radial_density():
    """p(ρ) = mean over radii r of exp(-(ρ-r)²/2σ²)·i₀e(ρr/σ²)/(2πσ²), integrated over ρ."""
    noise = 0.1
    radius = np.linspace(1e-6, 2.0, 20_001)
    p = np.zeros_like(radius)
    for r in (1.0, 0.5):
        a = radius * r / noise**2
        p += 0.5 * np.exp(-((radius - r) ** 2) / (2 * noise**2)) * np.i0(a) * np.exp(-a) / (2 * math.pi * noise**2)
    inner = -2 * math.pi * radius * p * np.log(np.maximum(p, 1e-300))
    expected = float(((inner[1:] + inner[:-1]) / 2 * np.diff(radius)).sum())
    assert densities.circles(**SIZES, noise=noise).entropy == pytest.approx(expected, abs=1e-6)


def test_the_entropy_of_the_eight_gaussians_is_below_that_of_separate_ones():
    separate = math.log(8) + 1 + math.log(2 * math.pi / 8)
    assert separate - 0.02 < densities.eight_gaussians(**SIZES).entropy < separate


def test_the_checkerboard_fills_its_dark_squares_evenly():
    data = densities.checkerboard(**{**SIZES, "train": 16_000})
    column, row = np.floor((data.train.x + 4.0) / 2.0).astype(int).T
    assert ((column + row) % 2 == 0).all()
    counts = np.bincount(4 * column + row, minlength=16)
    assert (counts[counts > 0] > 1800).all()
    assert (counts > 0).sum() == 8
    assert data.entropy == pytest.approx(math.log(32))


def test_an_entropy_that_would_take_too_long_is_not_claimed():
    assert densities.moons(**SIZES, noise=0.001).entropy is None
    assert densities.pinwheel(**SIZES).entropy is None


def test_moons_are_where_scikit_learn_puts_them():
    sklearn_datasets = pytest.importorskip("sklearn.datasets")
    x, which = sklearn_datasets.make_moons(2_000, noise=0.1, random_state=0)
    ours = densities.moons(**{**SIZES, "train": 2_000}, noise=0.1).train
    for label in (0, 1):
        np.testing.assert_allclose(ours.x[ours.condition == label].mean(0), x[which == label].mean(0), atol=0.08)
