"""Distances of tables."""

import numpy as np
import pytest

from zoo.metrics.tabular import column_distance, correlation_difference
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
