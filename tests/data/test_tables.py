"""scikit-learn's tables: folds, grains, and what cannot be."""

import sys

import numpy as np
import pytest

from zoo.errors import ConfigError, MissingDependencyError
from zoo_data import tables

LOADERS = {"load_wine": tables.wine, "load_breast_cancer": tables.breast_cancer, "load_diabetes": tables.diabetes}


CASES = [(loader, {}) for loader in LOADERS] + [(loader, {"stratified": True}) for loader in list(LOADERS)[:2]]


@pytest.mark.parametrize(("loader", "options"), CASES)
def test_every_row_is_tested_on_once_and_never_trained_on_meanwhile(loader, options):
    datasets = pytest.importorskip("sklearn.datasets")
    whole = getattr(datasets, loader)(**({"scaled": False} if loader == "load_diabetes" else {}))
    expected = np.sort(whole.data.astype(np.float32), 0)
    if loader == "load_diabetes":
        expected[:, 1] -= 1  # the sexes, 1 and 2 in the file
    tested = []
    for fold in range(5):
        data = LOADERS[loader](fold=fold, **options)
        rows = np.concatenate([split.x for split in (data.train, data.validation, data.test)])
        np.testing.assert_array_equal(np.sort(rows, 0), expected)
        assert len(data.test) == pytest.approx(len(rows) / 5, abs=2 if options else 1)
        assert len(data.validation) == pytest.approx(0.2 * 0.8 * len(rows), abs=3 if options else 2)
        tested.append(data.test.x)
        assert [column.name for column in data.modality.columns] == list(whole.feature_names)
    np.testing.assert_array_equal(np.sort(np.concatenate(tested), 0), expected)


def test_categories_are_counted_from_zero_and_have_names():
    pytest.importorskip("sklearn")
    data = tables.diabetes()
    (sex,) = (i for i, column in enumerate(data.modality.columns) if column.values)
    assert data.modality.columns[sex].name == "sex"
    assert set(data.train.x[:, sex]) == {0.0, 1.0}
    assert data.grain[sex] == 1.0


def test_a_class_can_be_a_column():
    pytest.importorskip("sklearn")
    plain, data = tables.wine(), tables.wine(class_column=True)
    assert data.event_shape == (14,)
    assert data.train.condition is None
    np.testing.assert_array_equal(data.test.x[:, :13], plain.test.x)
    np.testing.assert_array_equal(data.test.x[:, 13], plain.test.condition)
    assert data.modality.columns[13].name == "cultivar"
    assert data.modality.columns[13].values == plain.labels


def test_strata_have_the_shares_of_the_whole_table():
    pytest.importorskip("sklearn")
    for fold in range(5):
        data = tables.wine(fold=fold, class_column=True, stratified=True)
        splits = [split.x[:, 13].astype(int) for split in (data.train, data.validation, data.test)]
        whole = np.bincount(np.concatenate(splits)) / 178
        for split in splits:
            np.testing.assert_allclose(np.bincount(split, minlength=3) / len(split), whole, atol=1.5 / len(split))
        # the first rows are of all classes
        assert set(splits[2][:12]) == {0, 1, 2}


def test_ranges_are_those_of_training_rows():
    pytest.importorskip("sklearn")
    data = tables.breast_cancer()
    for column, values in zip(data.modality.columns, data.train.x.T, strict=True):
        assert column.minimum == pytest.approx(values.min())
        assert column.maximum == pytest.approx(values.max())


def test_classes_come_with_their_rows():
    datasets = pytest.importorskip("sklearn.datasets")
    values, target = datasets.load_wine(return_X_y=True)
    data = tables.wine(fold=3)
    assert data.labels == ("class_0", "class_1", "class_2")
    by_row = {tuple(row.astype(np.float32)): label for row, label in zip(values, target, strict=True)}
    for split in (data.train, data.validation, data.test):
        assert [by_row[tuple(row)] for row in split.x] == split.condition.tolist()


@pytest.mark.parametrize(
    ("values", "expected"),
    [([3.0, 4.0, 7.0, 9.0, 11.0], 1.0), ([0.12, 0.13, 0.15, 0.16], 0.01), ([10.0, 40.0, 60.0, 90.0], 10.0)],
)
def test_a_grain_is_the_last_decimal(values, expected):
    assert tables.grain(np.array(values)) == pytest.approx(expected)


@pytest.mark.parametrize(("fold", "folds"), [(5, 5), (-1, 5), (0, 1)])
def test_a_fold_that_is_not_there_is_refused(fold, folds):
    with pytest.raises(ConfigError, match=f"no fold {fold} of {folds}"):
        tables.wine(fold=fold, folds=folds)


def test_without_scikit_learn_the_extra_is_named(monkeypatch):
    monkeypatch.setitem(sys.modules, "sklearn", None)
    with pytest.raises(MissingDependencyError, match="wine") as caught:
        tables.wine()
    assert "data" in str(caught.value.hint)
