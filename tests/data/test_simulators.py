"""Simulators of the benchmark of simulation-based inference, and its reference posteriors."""

import math
from types import SimpleNamespace

import numpy as np
import pytest

from zoo.conditions import Condition, Part
from zoo.errors import ConfigError, DataError
from zoo_data import reference, simulators

SIMULATORS = {"two_moons": simulators.simulate_two_moons, "slcp": simulators.simulate_slcp}
LOADERS = {"two_moons": simulators.two_moons, "slcp": simulators.slcp}


@pytest.mark.parametrize("task", SIMULATORS)
def test_observations_are_distributed_as_those_of_sbibm(task):
    pytest.importorskip("pyro", reason="sbibm cannot be imported without it")
    sbibm = pytest.importorskip("sbibm")
    torch = pytest.importorskip("torch")
    stats = pytest.importorskip("scipy.stats")
    theirs = sbibm.get_task(task)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        parameters = theirs.get_prior()(4000)
        expected = theirs.get_simulator()(parameters).reshape(4000, -1).double().numpy()
    observed = SIMULATORS[task](np.random.default_rng(1), parameters.double().numpy())
    data = LOADERS[task](train=4000, validation=1, test=1)
    # of one parameter each, and in directions that see how they depend on each other
    directions = np.random.default_rng(2).standard_normal((expected.shape[1], 8))
    for a, b in ((expected, observed), (parameters.numpy(), data.train.x)):
        columns = [(a[:, i], b[:, i]) for i in range(a.shape[1])]
        columns += [] if a is not expected else list(zip((a @ directions).T, (b @ directions).T, strict=True))
        assert min(stats.ks_2samp(*pair).pvalue for pair in columns) > 1e-3


def test_the_crescent_is_where_the_parameters_move_it():
    moved = simulators.simulate_two_moons(np.random.default_rng(0), np.tile([[0.3, -0.5]], (20000, 1)))
    crescent = moved - [0.25 - 0.2 / math.sqrt(2), -0.8 / math.sqrt(2)]
    radius, angle = np.hypot(*crescent.T), np.arctan2(crescent[:, 1], crescent[:, 0])
    assert radius.mean() == pytest.approx(0.1, abs=4e-4)
    assert radius.std() == pytest.approx(0.01, rel=0.03)
    assert np.abs(angle).max() <= math.pi / 2 + 1e-12
    assert angle.std() == pytest.approx(math.pi / math.sqrt(12), rel=0.02)


def test_the_points_of_slcp_have_the_mean_and_covariance_of_their_parameters():
    parameters = np.array([0.7, -2.9, -1.0, -0.9, 0.6])
    points = simulators.simulate_slcp(np.random.default_rng(0), np.tile(parameters, (30000, 1))).reshape(-1, 2)
    first, second, rho = 1.0, 0.81, math.tanh(0.6)
    np.testing.assert_allclose(points.mean(0), parameters[:2], atol=0.015)
    expected = [[first**2, rho * first * second], [rho * first * second, second**2]]
    np.testing.assert_allclose(np.cov(points.T), expected, atol=0.02)


def test_more_simulations_leave_the_others_as_they_are():
    few, many = (simulators.slcp(train=n, validation=20, test=30) for n in (10, 40))
    np.testing.assert_array_equal(few.test.x, many.test.x)
    np.testing.assert_array_equal(few.validation.condition["points"], many.validation.condition["points"])
    assert np.abs(many.train.x).max() <= 3.0
    assert [column.maximum for column in many.modality.columns] == [3.0] * 5


@pytest.mark.parametrize("orders", [1, 5, 24])
def test_orders_of_points_are_different_and_of_the_same_simulations(orders):
    plain = simulators.slcp(train=7, validation=1, test=1)
    data = simulators.slcp(train=7, validation=1, test=1, orders=orders)
    assert len(data.train) == 7 * orders
    np.testing.assert_array_equal(data.train.x.reshape(orders, 7, 5), np.broadcast_to(plain.train.x, (orders, 7, 5)))
    seen = data.train.condition["points"].reshape(orders, 7, 4, 2)
    for simulation in range(7):
        points = {tuple(map(tuple, each[simulation])) for each in seen}
        assert len(points) == orders
        assert {frozenset(each) for each in points} == {
            frozenset(map(tuple, plain.train.condition["points"][simulation]))
        }


@pytest.mark.parametrize("options", [{"train": 0}, {"seed": -1}, {"orders": 0}, {"orders": 25}])
def test_what_cannot_be_is_refused(options):
    with pytest.raises(ConfigError):
        simulators.slcp(**options)


def test_the_classifier_is_that_of_sbibm():
    pytest.importorskip("pyro", reason="sbibm cannot be imported without it")
    module = pytest.importorskip("sbibm.metrics.c2st")
    torch = pytest.importorskip("torch")
    pytest.importorskip("sklearn")
    random = np.random.default_rng(0)
    a, b = random.standard_normal((300, 2)), random.standard_normal((300, 2)) * [1.0, 2.0]
    expected = float(module.c2st(torch.from_numpy(a), torch.from_numpy(b)))
    assert reference.accuracy(a, b) == pytest.approx(expected, abs=1e-6)
    assert expected > 0.55


def evaluation(sample, **settings):
    manifest = SimpleNamespace(sample=object())
    model = SimpleNamespace(condition=Condition.vector(2), manifest=manifest, sample=sample)
    data = SimpleNamespace(name="two-moons")
    return SimpleNamespace(**{"model": model, "data": data, "samples": 400, "seed": 0, "progress": None, **settings})


def test_reference_samples_pass_for_themselves_and_the_prior_does_not(monkeypatch):
    pytest.importorskip("sbibm.__version__")
    pytest.importorskip("sklearn")
    monkeypatch.setattr(reference, "_OBSERVATIONS", 3)
    left = iter(range(1, 4))

    def reference_samples(n, *, condition, seed, progress):
        observation, samples = reference.observed("two_moons", next(left))
        np.testing.assert_array_equal(observation, condition)
        return samples[-n:]

    metrics = reference.reference_posteriors(evaluation(reference_samples))["reference_c2st"]
    assert metrics["value"] == pytest.approx(0.5, abs=0.06)
    assert metrics["samples"] == 400

    def prior(n, *, condition, seed, progress):
        return np.random.default_rng(seed).uniform(-1, 1, (n, 2))

    metrics = reference.reference_posteriors(evaluation(prior))["reference_c2st"]
    assert metrics["value"] > 0.9
    assert len(metrics["of_observations"]) == 3


def test_an_observation_takes_the_shape_of_the_part_that_it_is():
    pytest.importorskip("sbibm.__version__")
    pytest.importorskip("sklearn")
    seen = []

    def sample(n, *, condition, seed, progress):
        seen.append(condition["points"])
        return np.random.default_rng(seed).uniform(-3, 3, (n, 5))

    asked = evaluation(sample, samples=20, data=SimpleNamespace(name="slcp"))
    asked.model.condition = Condition((Part("points", "sequence", (4, 2)),))
    metrics = reference.reference_posteriors(asked)["reference_c2st"]
    assert metrics["samples"] == 20
    assert [each.shape for each in seen] == [(4, 2)] * 10
    np.testing.assert_array_equal(seen[2].ravel(), reference.observed("slcp", 3)[0])


def test_other_data_have_no_reference():
    assert reference.reference_posteriors(evaluation(None, data=SimpleNamespace(name="moons"))) == {}


def test_without_sbibm_a_reference_is_refused_by_name(monkeypatch):
    monkeypatch.setattr(reference, "find_spec", lambda name: None)
    with pytest.raises(DataError, match="sbibm"):
        reference.observed("slcp", 1)
