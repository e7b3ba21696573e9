"""Whether the category of a sampled row is in keeping with its other columns, as a learner of real rows sees it."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DataError
from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.metrics.options import at_least
from zoo.modality import Table
from zoo.render.tables import values

Rows = NDArray[np.float64]


def category_agreement(evaluation: Evaluation, *, trees: int = 200) -> Metrics:
    """``category_agreement``: the share of samples whose category a random forest of real rows predicts.

    The column is the one that the data set names in ``extra["target"]``, else the last of categories. The forest learns
    it from the other columns of the rows for training and validation; beside the share of samples is that of held-out
    rows. Empty for other data, for conditional models, and for tables where that column holds no categories.

    Args:
        evaluation: the model and its data.
        trees: of the forest.

    Raises:
        DataError: the data set names a column that it does not have.
        UsageError: no trees.
    """
    at_least(1, trees=trees)
    data, table, drawn = evaluation.data, evaluation.data.modality, evaluation.drawn
    if not isinstance(table, Table) or evaluation.model.condition is not None or len(table.columns) < 2:
        return {}
    column = target(table, data.extra.get("target"))
    if drawn is None or not table.columns[column].values:
        return {}
    samples, train, validation, test = (
        values(x, table) for x in (drawn.x, *(split.x for split in (data.train, data.validation, data.test)))
    )
    real, name = np.concatenate([train, validation]), table.columns[column].name
    agreement = accuracy(real, samples, column, evaluation.seed, trees)
    return {
        "category_agreement": {
            "value": round(agreement, 4),
            "standard_error": round(float(np.sqrt(agreement * (1 - agreement) / len(samples))), 4),
            "of_held_out_rows": round(accuracy(real, test, column, evaluation.seed, trees), 4),
            "of": f"samples whose {name} is what a random forest trained on real rows says of their other columns",
            "column": name,
            "samples": len(samples),
            "held_out_rows": len(test),
        }
    }


def target(table: Table, named: object = None) -> int:
    """The place of the column that is predicted: the one of this name, else the last of categories, else the last.

    Raises:
        DataError: there is no column of this name.
    """
    names = [column.name for column in table.columns]
    if named is not None:
        if named not in names:
            raise DataError(f"the target {named!r} is none of the columns {', '.join(names)}")
        return names.index(str(named))
    categories = [place for place, column in enumerate(table.columns) if column.values]
    return categories[-1] if categories else len(names) - 1


def accuracy(train: Rows, test: Rows, column: int, seed: int, trees: int) -> float:
    """Share of the rows ``test`` whose category a forest that learnt from ``train`` predicts.

    Args:
        train: ``[n, columns]``.
        test: ``[m, columns]``.
        column: the place of the category.
        seed: of the forest.
        trees: of the forest.
    """
    from sklearn.ensemble import RandomForestClassifier

    forest: Any = RandomForestClassifier(trees, random_state=seed % 2**32)
    forest.fit(np.delete(train, column, 1), train[:, column])
    return float(forest.score(np.delete(test, column, 1), test[:, column]))
