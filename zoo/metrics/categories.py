"""Whether the categories of sampled rows belong to their other columns."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DataError
from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.modality import Table
from zoo.render.tables import values

Rows = NDArray[np.float64]

_TREES = 200


def category_agreement(evaluation: Evaluation) -> Metrics:
    """``category_agreement``: how often a classifier of real rows gives the category of a sampled one.

    A random forest that was trained on real rows, those for validation among them, predicts a category from the other
    columns: the one that the data set names in ``extra["target"]``, else the last. Beside it the share of held-out
    rows, which perfect samples have.

    Empty for other data, for conditional models, and where what the data set names is no category.

    Raises:
        DataError: the data set names a column that it does not have.
    """
    data, table = evaluation.data, evaluation.data.modality
    if not isinstance(table, Table) or evaluation.model.condition is not None or len(table.columns) < 2:
        return {}
    column = target(table, data.extra.get("target"))
    if evaluation.drawn is None or column is None:
        return {}
    drawn, train, validation, test = (
        values(x, table) for x in (evaluation.drawn.x, *(split.x for split in (data.train, data.validation, data.test)))
    )
    real, name = np.concatenate([train, validation]), table.columns[column].name
    agreement = scored(real, drawn, column, evaluation.seed)
    return {
        "category_agreement": {
            "value": round(agreement, 4),
            "standard_error": round(float(np.sqrt(agreement * (1 - agreement) / len(drawn))), 4),
            "of_held_out_rows": round(scored(real, test, column, evaluation.seed), 4),
            "of": f"samples whose {name} is what a random forest trained on real rows says of their other columns",
            "column": name,
            "samples": len(drawn),
            "held_out_rows": len(test),
        }
    }


def target(table: Table, named: object = None) -> int | None:
    """The place of the category that is predicted: that of this name, else the last one; None if it is none.

    Raises:
        DataError: there is no column of this name.
    """
    names = [column.name for column in table.columns]
    if named is not None and named not in names:
        raise DataError(f"the target {named!r} is none of the columns {', '.join(names)}")
    categories = [place for place, column in enumerate(table.columns) if column.values]
    if named is not None:
        categories = [place for place in categories if names[place] == named]
    return categories[-1] if categories else None


def scored(train: Rows, test: Rows, column: int, seed: int) -> float:
    """The accuracy on ``test`` of a forest that learnt from ``train`` to predict a column of categories.

    Args:
        train: ``[n, columns]``.
        test: ``[m, columns]``.
        column: its place.
        seed: of the forest.
    """
    from sklearn.ensemble import RandomForestClassifier

    forest = RandomForestClassifier(_TREES, random_state=seed)
    forest.fit(np.delete(train, column, 1), train[:, column])
    return float(forest.score(np.delete(test, column, 1), test[:, column]))
