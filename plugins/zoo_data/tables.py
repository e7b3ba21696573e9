"""Tables of measurements that come with scikit-learn, for density estimation."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data import Dataset, Split
from zoo.errors import ConfigError, MissingDependencyError

_SPLIT_SEED = 0
#: share of what is not tested on that choices are made by
_VALIDATION = 0.2


def wine(*, fold: int = 0, folds: int = 5) -> Dataset:
    """178 wines: 13 chemical measurements, and which of three cultivars. See :func:`_table` for the rest."""
    return _table("wine", "load_wine", fold, folds)


def breast_cancer(*, fold: int = 0, folds: int = 5) -> Dataset:
    """569 biopsies: 30 measurements of cell nuclei, and the diagnosis. See :func:`_table` for the rest."""
    return _table("breast-cancer", "load_breast_cancer", fold, folds)


def diabetes(*, fold: int = 0, folds: int = 5) -> Dataset:
    """442 patients: age, sex, body mass index, blood pressure and six serum measurements, as they were written down."""
    return _table("diabetes", "load_diabetes", fold, folds, scaled=False)


def _table(name: str, loader: str, fold: int, folds: int, **options: Any) -> Dataset:
    """Rows shuffled once and for all, of which one fold is the test set and a fifth of the others the validation set.

    Values are float32 ``[n, d]`` in their own units. They were written down with so many decimals, and the probability
    of such a number is no density; so each column has a grain, and models are trained and scored on its numbers plus
    uniform noise of that width, as pixels are.

    Args:
        name: of the data set.
        loader: in ``sklearn.datasets``.
        fold: which one is tested on, from 0 up.
        folds: how many.
        options: of the loader.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
        ConfigError: there is no such fold.
    """
    if not (folds >= 2 and 0 <= fold < folds):
        raise ConfigError(
            f"data set {name} has no fold {fold} of {folds}", hint="Folds are counted from 0; take 2 or more."
        )
    try:
        from sklearn import datasets
    except ImportError as error:
        raise MissingDependencyError("scikit-learn", f"load the data set {name}", extra="data") from error
    load: Callable[..., Any] = getattr(datasets, loader)
    table = load(**options)
    values = np.asarray(table.data, np.float64)
    rows = np.random.default_rng(_SPLIT_SEED).permutation(len(values))
    of_fold = np.arange(len(rows)) * folds // len(rows)
    test, others = rows[of_fold == fold], np.roll(rows[of_fold != fold], -fold)
    validation, train = np.split(others, [int(len(others) * _VALIDATION)])
    classes = np.asarray(table.target, np.int32) if "target_names" in table else None

    def split(chosen: NDArray[np.int64]) -> Split:
        return Split(values[chosen].astype(np.float32), None if classes is None else classes[chosen])

    return Dataset(
        name,
        split(train),
        split(validation),
        split(test),
        labels=tuple(str(label) for label in table.target_names) if classes is not None else (),
        grain=np.array([grain(column) for column in values.T], np.float32),
        extra={"columns": [str(column) for column in table.feature_names]},
    )


def grain(column: NDArray[np.float64]) -> float:
    """The power of ten at or below the middle one of the gaps between neighbouring values: their last decimal."""
    gap = float(np.median(np.diff(np.unique(column))))
    # the gap of 0.01 between 2.35 and 2.36 is a little less than that
    return float(10.0 ** np.floor(np.log10(gap) + 1e-6))
