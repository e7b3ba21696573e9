"""scikit-learn's digits: units and split; and what happens without scikit-learn."""

import sys

import numpy as np
import pytest

from zoo.errors import MissingDependencyError
from zoo_data.digits import digits


@pytest.fixture(scope="module")
def data():
    pytest.importorskip("sklearn")
    return digits()


def test_shapes_units_and_split(data):
    splits = (data.train, data.validation, data.test)
    assert [len(s) for s in splits] == [1257, 180, 360]
    assert data.event_shape == (1, 8, 8)
    assert data.levels == 17
    assert data.labels == tuple("0123456789")
    for split in splits:
        assert split.x.dtype == np.uint8
        assert split.x.max() <= 16
        assert split.condition.dtype == np.int32
        assert set(split.condition.tolist()) == set(range(10))
    assert data.train.x.max() == 16


def test_the_splits_are_the_original_images_once_each(data):
    from sklearn.datasets import load_digits

    images, labels = load_digits(return_X_y=True)
    splits = (data.train, data.validation, data.test)
    ours = np.concatenate([np.column_stack([s.x.reshape(-1, 64), s.condition]) for s in splits])
    theirs = np.column_stack([images, labels])
    np.testing.assert_array_equal(ours[np.lexsort(ours.T)], theirs[np.lexsort(theirs.T)])


def test_the_split_never_changes(data):
    assert data.train.condition[:10].tolist() == [6, 6, 6, 2, 5, 6, 6, 2, 2, 1]
    assert data.test.condition[:10].tolist() == [0, 8, 8, 9, 8, 3, 7, 5, 0, 6]


def test_without_scikit_learn_it_says_what_to_install(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn.datasets", None)
    with pytest.raises(MissingDependencyError, match="scikit-learn is needed to load the data set digits") as caught:
        digits()
    assert caught.value.hint == "pip install 'genzoo[data]'"
