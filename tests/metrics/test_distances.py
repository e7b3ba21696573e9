"""Distances between sets of samples, calibration and AUROC, on distributions whose answer is known."""

from types import SimpleNamespace

import numpy as np
import pytest
from matplotlib.figure import Figure

from zoo.conditions import Condition
from zoo.data import Dataset, Split
from zoo.errors import PluginError, UsageError
from zoo.metrics import two_sample
from zoo.metrics.evaluation import Evaluation
from zoo.metrics.neighbours import copying, fidelity, prdc
from zoo.metrics.outliers import area, auroc
from zoo.metrics.posterior import calibration, predictive, ranks, ranks_of, tarp
from zoo.metrics.report import draw_ranks, page
from zoo.metrics.rows import compared, nearest, squared_distances
from zoo.metrics.two_sample import c2st, distances
from zoo.modality import Column, Table


class Gaussian:
    """Samples with a mean and a deviation around their condition, and their density."""

    def __init__(self, d=2, condition=None, deviation=1.0, shift=0.0):
        self.event_shape, self.condition, self.levels = (d,), condition, None
        self.deviation, self.shift = deviation, shift
        score = SimpleNamespace(estimates=False)
        sample = SimpleNamespace(stepped=False)
        self.manifest = SimpleNamespace(sample=sample, log_prob=score, density="exact", length=None)

    def mean(self, condition):
        return self.shift if condition is None else np.asarray(condition, float).reshape(len(condition), -1)[:, :1]

    def sample(self, n, *, seed, condition=None, progress=None):
        z = np.random.default_rng(seed).standard_normal((n, *self.event_shape))
        return (self.mean(condition) + self.deviation * z).astype(np.float32)

    def log_prob(self, x, *, condition=None, seed=0, progress=None):
        z = (x - self.mean(condition)) / self.deviation
        return (-0.5 * z**2 - np.log(self.deviation * np.sqrt(2 * np.pi))).sum(1)


def evaluation(model, n=600, **options):
    random = np.random.default_rng(5)
    condition = None
    if model.condition is not None:
        condition = random.standard_normal((2 * n, 1)).astype(np.float32)
    x = random.standard_normal((2 * n, 2)) + (0 if condition is None else condition)
    parts = [
        Split(x[k * n : (k + 1) * n].astype(np.float32), None if condition is None else condition[k * n : (k + 1) * n])
        for k in (0, 1)
    ]
    return Evaluation(model=model, data=Dataset("normals", parts[0], parts[0], parts[1]), samples=n, **options)


def test_distances_are_those_of_their_definitions():
    random = np.random.default_rng(0)
    x, y = random.standard_normal((7, 2)), random.standard_normal((5, 2)) + 1

    def mean(a, b, f, own):
        return np.mean(
            [f(np.linalg.norm(p - q)) for i, p in enumerate(a) for j, q in enumerate(b) if not own or i != j]
        )

    def kernel(r):
        return np.exp(-(r**2) / (2 * 0.7**2))

    for f, sign, measure in (
        (kernel, 1, lambda: two_sample.squared_mmd(x, y, 0.7)),
        (float, -1, lambda: two_sample.energy_distance(x, y)),
    ):
        expected = sign * (mean(x, x, f, True) + mean(y, y, f, True) - 2 * mean(x, y, f, False))
        assert measure() == pytest.approx(expected, rel=1e-9)
    directions = np.array([[1.0, 0.6], [0.0, 0.8]])
    shift = np.array([3.0, 4.0])
    # along a direction u a shift s is |u·s|
    wanted = np.sqrt((3.0**2 + (0.6 * 3 + 0.8 * 4) ** 2) / 2)
    assert two_sample.sliced_wasserstein(x, x + shift, directions) == pytest.approx(wanted)


def test_a_right_model_is_as_far_as_training_data_and_a_wrong_one_farther():
    pytest.importorskip("sklearn")
    right = evaluation(Gaussian())
    wrong = evaluation(Gaussian(shift=1.0))
    for name in ("mmd", "energy_distance", "sliced_wasserstein"):
        good, bad = two_sample.distances(right)[name], two_sample.distances(wrong)[name]
        assert bad["of_training_data"] == good["of_training_data"]
        assert bad["value"] > 0.05 + 3 * abs(good["value"])
    told = two_sample.c2st(evaluation(Gaussian(), n=300))["c2st"]
    assert abs(told["value"] - 0.5) < 0.07
    assert abs(told["of_training_data"] - 0.5) < 0.07
    # two normals at a distance of √2: the best accuracy is Φ(√2/2)
    assert two_sample.c2st(evaluation(Gaussian(shift=1.0), n=300))["c2st"]["value"] == pytest.approx(0.76, abs=0.05)


def test_samples_are_not_compared_with_data_of_their_own_conditions():
    """Beside its twin of another kind in training, each row of a fold would be taken for that kind."""
    pytest.importorskip("sklearn")
    found = compared(evaluation(Gaussian(condition=Condition.vector(1)), n=600))
    assert len(found.drawn) == len(found.held_out) == len(found.training) == 300
    assert not set(found.drawn[:, -1].round(7)) & set(found.held_out[:, -1].round(7))
    right = two_sample.c2st(evaluation(Gaussian(condition=Condition.vector(1)), n=1200))["c2st"]
    assert right["value"] == pytest.approx(0.5, abs=3 * right["standard_error"])


def test_samples_are_rounded_as_the_data_are_before_they_are_compared():
    random = np.random.default_rng(1)
    columns = (Column("age", (), 1.0, -9.0, 9.0), Column.categories("city", ("Bern", "Biel")))
    x = [np.stack([np.round(random.normal(0, 3, 400)).clip(-9, 9), random.integers(2, size=400)], 1) for _ in "ab"]
    splits = [Split(each.astype(np.float32)) for each in x]
    model = Gaussian()
    model.sample = lambda n, **_: (x[0] + random.random((400, 2))).astype(np.float32)
    data = Dataset("table", splits[1], splits[1], splits[0], grain=np.ones(2, np.float32), modality=Table(columns))
    rows = compared(Evaluation(model=model, data=data, samples=400))
    assert rows.drawn.shape == (400, 3)  # a number, and an indicator for each city
    np.testing.assert_allclose(rows.drawn, rows.held_out)


def test_classes_are_compared_in_equal_numbers_and_circular_columns_on_the_circle():
    random = np.random.default_rng(2)
    test = Split(np.array([[-3.1], [3.1], [0.0], [1.0]]), np.array([0, 0, 0, 1], np.int32))
    train = Split(random.uniform(-3, 3, (9, 1)), np.array([0, 1] * 4 + [1], np.int32))
    model = Gaussian(1, Condition.classes(2))
    model.sample = lambda n, *, condition, **_: np.where(condition[:, None] == 0, 3.1, 1.0)
    data = Dataset("angles", train, train, test, labels=("a", "b"), extra={"circular": {"0": [-np.pi, np.pi]}})
    rows = compared(Evaluation(model=model, data=data, samples=8))
    assert [len(each) for each in (rows.drawn, rows.held_out, rows.training)] == [3, 3, 3]
    # -3.1 and 3.1 are neighbours on the circle, as on no line
    assert np.linalg.norm(rows.held_out[0, :2] - rows.drawn[0, :2]) < 0.3


def test_a_calibrated_posterior_passes_and_one_that_is_too_sure_does_not():
    pytest.importorskip("scipy")
    good = calibration(evaluation(Gaussian(condition=Condition.vector(1))))
    assert min(good["sbc"]["p_values"].values()) == good["sbc"]["value"] > 0.01
    assert good["expected_coverage"]["value"] == pytest.approx(0.9, abs=0.05)
    assert good["expected_coverage"]["p_value"] > 0.01
    sure = calibration(evaluation(Gaussian(condition=Condition.vector(1), deviation=0.6)))
    assert sure["sbc"]["value"] < 1e-3
    # χ² with 2 degrees: 90% of the narrow one is 1 - 0.1^0.36 of the true one
    assert sure["expected_coverage"]["value"] == pytest.approx(1 - 0.1**0.36, abs=0.08)
    assert calibration(evaluation(Gaussian())) == {}


def test_a_page_shows_whether_ranks_leave_the_band_of_calibrated_ones():
    pytest.importorskip("scipy")
    for deviation, leaves in ((1.0, False), (0.6, True)):
        asked = evaluation(Gaussian(condition=Condition.vector(1), deviation=deviation))
        metrics = calibration(asked)
        model, asked.model = asked.model, None  # ranks are not drawn again
        axis = Figure().subplots()
        draw_ranks(axis, ranks(asked))
        asked.model = model
        limit = 1.628 / np.sqrt(len(ranks(asked).ranks))
        lines = [np.abs(line.get_ydata()).max() for line in axis.lines[1:]]
        assert len(lines) == len(metrics["sbc"]["p_values"])
        assert all(
            (p < 0.01) == (far > limit) for p, far in zip(metrics["sbc"]["p_values"].values(), lines, strict=True)
        )
        assert (max(lines) > limit) == leaves
        text = page(asked, metrics, name="m", facts={})
        assert text.count("<h2>Calibration</h2>") == text.count('<img alt="distribution functions of ranks"') == 1
        assert "Calibration" not in page(asked, {}, name="m", facts={})


def test_options_say_how_many_posteriors_are_drawn_and_samples_of_each_once_for_all_metrics():
    pytest.importorskip("scipy")
    given = {"posteriors": 50, "among": 19}
    asked = evaluation(Gaussian(condition=Condition.vector(1)), options={"calibration": given, "tarp": given})
    measured = {**calibration(asked, **given), **tarp(asked, **given)}
    assert {(table["samples"], table["each_among"]) for table in measured.values()} == {(50, 19)}
    assert ranks(asked, **given).drawn.shape == (50 * 19, 2)
    asked.model.sample = None  # neither the metrics nor the page draw again
    assert tarp(asked, **given) == {"tarp": measured["tarp"]}
    asked.samples, asked.__dict__["drawn"] = 0, None
    assert "<h2>Calibration</h2>" in page(asked, measured, name="m", facts={})


def test_options_change_what_they_say():
    random = np.random.default_rng(3)
    drawn, real = random.normal(size=(60, 2)), random.normal(0.7, 1, size=(50, 2))
    reach = np.sort(np.linalg.norm(real[:, None] - real, axis=2), axis=1)[:, 1]
    within = (np.linalg.norm(drawn[:, None] - real, axis=2) <= reach).any(1).mean()
    assert prdc(drawn, real, real, "numbers", 1)["precision"]["value"] == pytest.approx(within, abs=1e-4)
    few, many = (distances(evaluation(Gaussian()), projections=k)["sliced_wasserstein"] for k in (2, 500))
    assert few["value"] != many["value"]
    assert few["of"].endswith("along 2 directions")
    for metric, option in ((distances, "projections"), (fidelity, "neighbour"), (calibration, "among")):
        with pytest.raises(UsageError, match=f"the option {option} is 1 or more, not 0"):
            metric(evaluation(Gaussian()), **{option: 0})
    with pytest.raises(UsageError, match="the option folds is 2 or more, not 1"):
        c2st(evaluation(Gaussian()), folds=1)


def test_ranks_of_equal_values_are_uniform_too():
    ranks = ranks_of(np.zeros((2000, 1)), np.zeros((2000, 9, 1)), 0)
    assert 0 < ranks.min() < 0.01
    assert 0.99 < ranks.max() < 1
    assert ranks.mean() == pytest.approx(0.5, abs=0.02)


def test_auroc_is_the_share_of_pairs_in_order():
    a, b = np.array([0.0, 1.0, 2.0, -np.inf]), np.array([1.0, 0.5])
    pairs = np.mean([(p > q) + (p == q) / 2 for p in a for q in b])
    assert area(a, b)[0] == pairs == 3.5 / 8
    other = Split(np.full((50, 2), 5.0, np.float32))
    measured = auroc(evaluation(Gaussian(), against=other))["auroc"]
    assert measured["value"] == 1.0
    assert (measured["samples"], measured["others"]) == (600, 50)
    assert auroc(evaluation(Gaussian())) == {}


# -- nearest neighbours ----------------------------------------------------------------------------------------------


def test_neighbours_are_those_of_all_pairs():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(300, 3)), random.normal(size=(40, 3))
    distances = np.sort(np.linalg.norm(a[:, None] - b, axis=2), axis=1)
    np.testing.assert_allclose(nearest(a, b, 4), distances[:, :4])
    own = np.sort(np.linalg.norm(a[:, None] - a, axis=2), axis=1)
    np.testing.assert_allclose(nearest(a, a, 2, same=True), own[:, 1:3])
    far = 1e4 + a  # equal rows are at no distance, whatever the rounding of large numbers
    assert (np.diag(squared_distances(far, far.copy())) == 0).all()


def test_measures_are_those_of_their_definitions():
    random = np.random.default_rng(1)
    drawn, real = random.normal(size=(60, 2)), random.normal(0.7, 1, size=(50, 2))
    found = {name: table["value"] for name, table in prdc(drawn, real, real[::-1], "numbers").items()}

    def reach(x):
        return np.sort(np.linalg.norm(x[:, None] - x, axis=2), axis=1)[:, 5]

    apart = np.linalg.norm(drawn[:, None] - real, axis=2)
    expected = {
        "precision": (apart <= reach(real)).any(1).mean(),
        "recall": (apart <= reach(drawn)[:, None]).any(0).mean(),
        "prdc_density": (apart <= reach(real)).sum() / (5 * len(drawn)),
        "prdc_coverage": (apart <= reach(real)).any(0).mean(),
    }
    assert found == pytest.approx(expected, abs=1e-4)
    assert prdc(drawn[:5], real, real, "numbers") == {}


def test_a_narrow_model_has_precision_and_no_recall_and_a_wide_one_the_reverse():
    narrow, wide = fidelity(evaluation(Gaussian(deviation=0.2))), fidelity(evaluation(Gaussian(deviation=5.0)))
    assert narrow["precision"]["value"] > 0.97
    assert narrow["recall"]["value"] < 0.3
    assert wide["precision"]["value"] < 0.3
    assert wide["recall"]["value"] > 0.9
    right = fidelity(evaluation(Gaussian()))
    for name, table in right.items():
        assert table["value"] == pytest.approx(table["of_training_data"], abs=0.06), name


def test_a_model_that_copies_its_training_data_is_found_out():
    honest = evaluation(Gaussian())
    told = copying(honest)["closest_record"]
    assert told["share_near"] == pytest.approx(0.05, abs=0.03)
    assert told["value"] == pytest.approx(told["of_held_out_data"], rel=0.2)
    thief = evaluation(Gaussian())
    train = np.asarray(thief.data.train.x)
    thief.model.sample = lambda n, **_: train[np.random.default_rng(0).integers(len(train), size=n)] + np.float32(1e-4)
    told = copying(thief)["closest_record"]
    assert told["share_near"] == 1.0
    assert told["value"] < 0.01 * told["of_held_out_data"]
    # nothing is said of copies of data that the model was not trained on
    assert copying(evaluation(Gaussian(), own=False)) == {}


# -- posteriors ------------------------------------------------------------------------------------------------------


class Correlated(Gaussian):
    """Samples whose columns have the right distribution each, and are copies of one another."""

    def sample(self, n, *, seed, condition=None, progress=None):
        z = np.random.default_rng(seed).standard_normal((n, 1))
        return (self.mean(condition) + np.repeat(z, 2, 1)).astype(np.float32)


def test_random_points_find_what_single_columns_do_not_show():
    pytest.importorskip("scipy")
    one = Condition.vector(1)
    assert tarp(evaluation(Gaussian(condition=one)))["tarp"]["value"] > 0.01
    assert tarp(evaluation(Gaussian(condition=one, deviation=0.6)))["tarp"]["value"] < 1e-3
    together = evaluation(Correlated(condition=one))
    assert calibration(together)["sbc"]["value"] > 0.01
    assert tarp(together)["tarp"]["value"] < 1e-3
    assert tarp(evaluation(Gaussian())) == {}


def test_a_simulator_shows_whether_posteriors_fit_what_was_observed():
    one, random = Condition.vector(1, ("seen",)), np.random.default_rng(0)

    def observe(samples):
        return samples.mean(1, keepdims=True) + 0.7 * random.standard_normal((len(samples), 1))

    fits = predictive(evaluation(Gaussian(condition=one), simulator=("m:observe", observe)))["posterior_predictive"]
    assert fits["value"] < 0.05
    assert fits["worst"] == "seen"
    off = predictive(evaluation(Gaussian(condition=one), simulator=("m:o", lambda x: observe(x) + 5)))
    assert off["posterior_predictive"]["value"] > 0.9
    assert predictive(evaluation(Gaussian(condition=one))) == {}
    with pytest.raises(PluginError, match=r"m:o makes an array of shape \[29700, 2\]"):
        predictive(evaluation(Gaussian(condition=one), simulator=("m:o", lambda x: x)))
