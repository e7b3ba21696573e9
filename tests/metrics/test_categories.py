"""Whether categories are in keeping with their rows, where they are and where they are not."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("sklearn")

from zoo.data import Dataset, Split
from zoo.errors import DataError
from zoo.metrics.categories import category_agreement, target
from zoo.metrics.evaluation import Evaluation, Samples
from zoo.modality import Column, Table

TABLE = Table((Column("x"), Column("y"), Column.categories("kind", ("a", "b", "c"))))


def rows(n, seed, coupled=True):
    """The category says where x is, and y is twice x; or nothing says anything."""
    random = np.random.default_rng(seed)
    kind = random.integers(0, 3, n)
    x = 3.0 * (kind if coupled else random.integers(0, 3, n)) + random.normal(size=n) * 0.5
    y = 2.0 * (x if coupled else random.permutation(x))
    return np.stack([x, y, kind + random.random(n)], axis=1).astype(np.float32)


def measured(drawn, **extra):
    splits = [Split(np.floor(rows(n, seed) * [1e4, 1e4, 1]) / [1e4, 1e4, 1]) for seed, n in enumerate((300, 60, 200))]
    data = Dataset("rows", *splits, modality=TABLE, extra=extra)
    evaluation = Evaluation(model=SimpleNamespace(condition=None), data=data)
    evaluation.__dict__["drawn"] = Samples(drawn, None)
    return category_agreement(evaluation)


def test_categories_in_keeping_with_their_rows_are_agreed_with():
    told = measured(rows(300, 9))["category_agreement"]
    assert told["value"] > 0.97
    assert told["of_held_out_rows"] > 0.97
    assert told["column"] == "kind"


def test_categories_that_say_nothing_are_found_out():
    assert measured(rows(300, 9, coupled=False))["category_agreement"]["value"] < 0.5


def test_the_data_set_names_the_column():
    assert measured(rows(300, 9), target="y") == {}
    assert [target(TABLE), target(TABLE, "x"), target(Table(TABLE.columns[:2]))] == [2, 0, 1]
    with pytest.raises(DataError, match="'z' is none of the columns x, y, kind"):
        measured(rows(300, 9), target="z")
