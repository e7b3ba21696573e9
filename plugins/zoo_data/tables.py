"""Tables of measurements that come with scikit-learn, for density estimation."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data import Dataset, Split
from zoo.errors import ConfigError, MissingDependencyError
from zoo.modality import Column, Table

_SPLIT_SEED = 0
#: share of the rows outside the test fold that serve for validation
_VALIDATION = 0.2


def wine(*, fold: int = 0, folds: int = 5, class_column: bool = False, stratified: bool = False) -> Dataset:
    """178 wines: 13 chemical measurements, and which of three cultivars. See :func:`_table` for the rest."""
    column = "cultivar" if class_column else ""
    return _table("wine", "load_wine", fold, folds, class_column=column, stratified=stratified)


def breast_cancer(*, fold: int = 0, folds: int = 5, class_column: bool = False, stratified: bool = False) -> Dataset:
    """569 biopsies: 30 measurements of cell nuclei, and the diagnosis. See :func:`_table` for the rest."""
    column = "diagnosis" if class_column else ""
    return _table("breast-cancer", "load_breast_cancer", fold, folds, class_column=column, stratified=stratified)


def diabetes(*, fold: int = 0, folds: int = 5) -> Dataset:
    """442 patients: age, sex, body mass index, blood pressure and six serum measurements, as they were written down.

    Which of the two sexes is which is not on record, so they are called 1 and 2, as in the file.
    """
    return _table("diabetes", "load_diabetes", fold, folds, categories={"sex": ("1", "2")}, scaled=False)


def _table(
    name: str,
    loader: str,
    fold: int,
    folds: int,
    *,
    class_column: str = "",
    stratified: bool = False,
    categories: Mapping[str, tuple[str, ...]] | None = None,
    **options: Any,
) -> Dataset:
    """Rows shuffled by a fixed seed, of which one fold is the test set and a fifth of the others the validation set.

    Values are float32 ``[n, d]`` in their own units. They were written down with so many decimals, and the probability
    of such a number is not a density; so each column has a grain, and models are trained and scored on its numbers plus
    uniform noise of that width, as pixels are.

    Args:
        name: of the data set.
        loader: in ``sklearn.datasets``.
        fold: which one is tested on, from 0 up.
        folds: how many.
        class_column: heading of a last column that holds the class, which is then no condition; empty for none.
        stratified: whether every class is spread evenly over the folds, and over training and validation: of few rows,
            each split has nearly the shares of the whole table only then.
        categories: of columns that hold categories, which are counted from 1 in the file, their names.
        options: of the loader.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
        ConfigError: there is no such fold.
    """
    if not (folds >= 2 and 0 <= fold < folds):
        raise ConfigError(
            f"data set {name} has no fold {fold} of {folds}",
            hint="Folds are counted from 0, and there must be 2 or more.",
        )
    table = _loaded(name, loader, options)
    values = np.asarray(table.data, np.float64)
    headings = [str(heading) for heading in table.feature_names]
    named = dict(categories or {})
    for heading in named:
        values[:, headings.index(heading)] -= 1.0
    classes = np.asarray(table.target, np.int32) if "target_names" in table else None
    train, validation, test = _folded(len(values), fold, folds, classes if stratified else None)
    labels = tuple(str(label) for label in table.target_names) if classes is not None else ()
    if class_column and classes is not None:
        values = np.column_stack([values, classes])
        headings, named, classes, labels = [*headings, class_column], {**named, class_column: labels}, None, ()
    grains = [1.0 if heading in named else grain(column) for heading, column in zip(headings, values.T, strict=True)]

    def split(chosen: NDArray[np.int64]) -> Split:
        return Split(values[chosen].astype(np.float32), None if classes is None else classes[chosen])

    return Dataset(
        name,
        split(train),
        split(validation),
        split(test),
        labels=labels,
        grain=np.array(grains, np.float32),
        modality=Table(
            tuple(
                Column.categories(heading, named[heading])
                if heading in named
                else Column(heading, grain=width, minimum=float(column.min()), maximum=float(column.max()))
                for heading, width, column in zip(headings, grains, values[train].T, strict=True)
            )
        ),
    )


def _loaded(name: str, loader: str, options: Mapping[str, object]) -> Any:
    """What scikit-learn has of a data set.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        from sklearn import datasets
    except ImportError as error:
        raise MissingDependencyError("scikit-learn", f"load the data set {name}", extra="data") from error
    load: Callable[..., Any] = getattr(datasets, loader)
    return load(**options)


def _folded(
    n: int, fold: int, folds: int, classes: NDArray[np.int32] | None = None
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Indices of training, validation and test rows, shuffled; every class by itself, if they are given."""
    random = np.random.default_rng(_SPLIT_SEED)
    rows = random.permutation(n)
    if classes is None:
        return _split(rows, fold, folds)
    parts = zip(*(_split(rows[classes[rows] == each], fold, folds) for each in np.unique(classes)), strict=True)
    train, validation, test = (random.permutation(np.concatenate(part)) for part in parts)
    return train, validation, test


def _split(
    rows: NDArray[np.int64], fold: int, folds: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """One fold of these rows to test on, and the others."""
    of_fold = np.arange(len(rows)) * folds // len(rows)
    test, others = rows[of_fold == fold], np.roll(rows[of_fold != fold], -fold)
    validation, train = np.split(others, [int(len(others) * _VALIDATION)])
    return train, validation, test


def grain(column: NDArray[np.float64]) -> float:
    """The power of ten at or below the middle one of the gaps between neighbouring values: their last decimal."""
    gap = float(np.median(np.diff(np.unique(column))))
    # the gap of 0.01 between 2.35 and 2.36 is a little less than that
    return float(10.0 ** np.floor(np.log10(gap) + 1e-6))
