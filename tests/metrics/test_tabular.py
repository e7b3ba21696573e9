"""Distances of tables, and what is learned from their rows."""

from types import SimpleNamespace

import numpy as np
import pytest

from zoo.conditions import Condition
from zoo.data import Dataset, Split
from zoo.metrics.efficacy import efficacy
from zoo.metrics.evaluation import Evaluation
from zoo.metrics.tabular import column_distance, correlation_difference, pair_distance, table_metrics
from zoo.modality import Column, Table

TABLE = Table((Column("x"), Column.categories("kind", ("a", "b"))))


@pytest.fixture
def rows():
    random = np.random.default_rng(0)
    x = random.normal(size=4000)
    return np.stack([x, (x + random.normal(size=4000) > 0).astype(float)], axis=1)


def test_the_same_rows_are_at_no_distance(rows):
    assert column_distance(rows, rows[::-1], TABLE) == 0
    assert correlation_difference(rows, rows) == 0


def test_distances_of_columns_are_known_ones(rows):
    moved = rows + np.array([1.0, 0.0])
    # of N(0, 1) and N(1, 1): 2·Φ(1/2) - 1 = 0.3829, half of it for the mean over two columns
    assert column_distance(rows, moved, TABLE) == pytest.approx(0.3829 / 2, abs=0.02)
    swapped = rows.copy()
    swapped[:, 1] = 0.0
    assert column_distance(rows, swapped, TABLE) == pytest.approx(rows[:, 1].mean() / 2)


def test_correlations_agree_with_scipy(rows):
    stats = pytest.importorskip("scipy.stats")
    shuffled = np.stack([rows[:, 0], np.random.default_rng(1).permutation(rows[:, 1])], axis=1)
    expected = abs(stats.spearmanr(rows)[0] - stats.spearmanr(shuffled)[0])
    assert correlation_difference(rows, shuffled) == pytest.approx(expected)
    assert expected > 0.5


def test_pairs_of_columns_are_told_apart_where_single_ones_are_not(rows):
    assert pair_distance(rows, rows[::-1], TABLE) == 0
    shuffled = np.stack([rows[:, 0], np.random.default_rng(1).permutation(rows[:, 1])], axis=1)
    assert column_distance(rows, shuffled, TABLE) == 0
    assert pair_distance(rows, shuffled, TABLE) > 0.2
    # two categories together: half of the rows have moved from one cell to another
    two = Table((Column.categories("a", ("x", "y")), Column.categories("b", ("u", "v"))))
    same, other = np.array([[0.0, 0.0], [1.0, 1.0]] * 8), np.array([[0.0, 0.0], [1.0, 0.0]] * 8)
    assert pair_distance(same, other, two) == 0.5


class Rows:
    """Draws rows, of two columns and a number that they are conditioned on."""

    condition, event_shape = Condition.vector(1, ("size",)), (2,)
    manifest = SimpleNamespace(sample=object(), log_prob=None, density="none", length=None)

    def __init__(self, make):
        self.make = make

    def sample(self, n, *, seed, condition, progress):
        return self.make(np.random.default_rng(seed), condition[:, 0])


def related(random, size):
    """A number that is near another, and a category that says whether it is above."""
    x = size + 0.2 * random.normal(size=len(size))
    return np.stack([x, x > 0.0], 1).astype(np.float32)


def unrelated(random, size):
    return np.stack([random.normal(size=len(size)), random.random(len(size)) > 0.5], 1).astype(np.float32)


def measured(make):
    random = np.random.default_rng(0)
    splits = []
    for _ in "abc":
        size = random.normal(size=400)
        splits.append(Split(related(random, size), size[:, None].astype(np.float32)))
    data = Dataset("table", *splits, modality=TABLE)
    return Evaluation(model=Rows(make), data=data, samples=400)


def test_what_is_learned_from_good_samples_holds_for_real_rows():
    pytest.importorskip("sklearn")
    good, bad = (efficacy(measured(make))["efficacy"] for make in (related, unrelated))
    assert good["value"] == pytest.approx(good["of_training_data"], abs=0.05)
    assert good["of_training_data"] == bad["of_training_data"] > 0.8
    assert bad["value"] < 0.2
    assert set(good["columns"]) == set(good["columns_of_training_data"]) == {"x", "kind"}
    assert good["columns"]["x"] > 0.85
    # given numbers are no reason to leave a table out
    assert table_metrics(measured(related))["pair_distance"]["value"] < 0.1
    assert table_metrics(measured(unrelated))["pair_distance"]["value"] > 0.3
