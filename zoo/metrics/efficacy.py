"""Whether sampled rows of a table are as useful as real ones: a learner is trained on them and tested on real rows.

Machine-learning efficacy, as in Xu et al. 2019, "Modeling tabular data using conditional GAN", arXiv:1907.00503,
section 5.2.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DataError
from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.modality import Table
from zoo.render.tables import values

Rows = NDArray[np.float64]

_TREES = 200


def table_efficacy(evaluation: Evaluation) -> Metrics:
    """``efficacy`` of samples of a table, and ``category_agreement`` where what is predicted is a category.

    A random forest predicts one column from the others: the one that the data set names in ``extra["target"]``, else
    the last of categories, else the last. ``efficacy`` is its accuracy, or R² of numbers, on held-out rows after
    training on samples; beside it that after training on as many real rows, or all if they are fewer.
    ``category_agreement`` is the share of samples whose category a forest trained on all other real rows, those for
    validation among them, predicts; beside it the share of held-out rows.

    Empty for other data, for conditional models, and for a table of one column.

    Raises:
        DataError: the data set names a column that it does not have.
    """
    data, table = evaluation.data, evaluation.data.modality
    if not isinstance(table, Table) or evaluation.model.condition is not None or len(table.columns) < 2:
        return {}
    if evaluation.drawn is None:
        return {}
    column = target(table, data.extra.get("target"))
    drawn, train, validation, test = (
        values(x, table) for x in (evaluation.drawn.x, *(split.x for split in (data.train, data.validation, data.test)))
    )
    whole = bool(table.columns[column].values)
    few = train[np.random.default_rng(evaluation.seed).permutation(len(train))[: len(drawn)]]
    told = {"column": table.columns[column].name, "samples": len(drawn), "held_out_rows": len(test)}
    score = "accuracy" if whole else "R²"
    metrics: Metrics = {
        "efficacy": {
            "value": round(scored(drawn, test, column, whole, evaluation.seed), 4),
            "of_training_data": round(scored(few, test, column, whole, evaluation.seed), 4),
            "of": f"the {score} on held-out rows of a random forest that predicts {told['column']} and was trained on "
            f"samples; of_training_data: on {len(few):,} real rows",
            **told,
        }
    }
    if whole:
        real = np.concatenate([train, validation])
        agreement = scored(real, drawn, column, whole, evaluation.seed)
        metrics["category_agreement"] = {
            "value": round(agreement, 4),
            "standard_error": round(float(np.sqrt(agreement * (1 - agreement) / len(drawn))), 4),
            "of_held_out_rows": round(scored(real, test, column, whole, evaluation.seed), 4),
            "of": f"samples whose {told['column']} is what a random forest trained on real rows says of their other "
            "columns",
            **told,
        }
    return metrics


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


def scored(train: Rows, test: Rows, column: int, whole: bool, seed: int) -> float:
    """Accuracy, or R² of numbers, on ``test`` of a forest that learnt from ``train`` to predict a column.

    Args:
        train: ``[n, columns]``.
        test: ``[m, columns]``.
        column: its place.
        whole: whether it holds categories.
        seed: of the forest.
    """
    from sklearn.ensemble import RandomForestClassifier, RandomForestRegressor

    forest: Any = (RandomForestClassifier if whole else RandomForestRegressor)(_TREES, random_state=seed)
    forest.fit(np.delete(train, column, 1), train[:, column])
    return float(forest.score(np.delete(test, column, 1), test[:, column]))
