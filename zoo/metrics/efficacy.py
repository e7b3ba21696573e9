"""Machine-learning efficacy: what is learned from sampled rows of a table, judged on real ones."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.metrics.options import at_least
from zoo.metrics.rows import Rows, as_written
from zoo.modality import Table

#: columns that are predicted, and rows that are learned from, at most
_TARGETS, _ROWS = 8, 2000


def efficacy(evaluation: Evaluation, *, boosting: int = 50) -> Metrics:
    """``efficacy``: how well each column is predicted from the others after learning from samples (TSTR).

    "Train on synthetic, test on real" (Esteban et al. 2017, arXiv:1706.02633, section 4): gradient-boosted trees learn
    each column from the others, from samples and from as many training rows, and predict it in held-out rows. Scores
    are R² for numbers, at least 0, and for categories 1 - errors/errors of the most frequent one, likewise.
    Numbers that the samples are conditioned on are predictors too. Empty for other data, and for conditions on classes
    or named parts, which the samples have in other shares than the data.

    Args:
        evaluation: the model and its data.
        boosting: steps of boosting.

    Raises:
        UsageError: no steps.
    """
    at_least(1, boosting=boosting)
    data, drawn, condition = evaluation.data, evaluation.drawn, evaluation.model.condition
    plain = condition is None or (condition.plain and condition.kind == "vector")
    if not isinstance(data.modality, Table) or drawn is None or not plain:
        return {}
    columns = data.modality.columns
    count = min(len(drawn.x), len(data.train), _ROWS)
    places = np.random.default_rng(evaluation.seed + 1).permutation(len(data.train))[:count]
    sets = {
        "samples": _table(evaluation, drawn.x[:count], None if condition is None else drawn.condition[:count]),  # type: ignore[index]
        "training": _table(evaluation, data.train.x[places], data.train.condition_at(places)),
        "held out": _table(evaluation, data.test.x, data.test.condition_at(slice(None))),
    }
    others = sets["held out"].shape[1]
    targets = [i for i, column in enumerate(columns) if _learnable(sets["held out"][:, i], bool(column.values))]
    if others < 2 or not targets or count < 50 or len(data.test) < 20:
        return {}
    settings = {"max_iter": boosting, "random_state": evaluation.seed % 2**32}
    scores: dict[str, tuple[float, float]] = {}
    for i in targets[:_TARGETS]:
        kept = [j for j in range(others) if j != i]
        marks = _categories(columns, kept)
        scores[columns[i].name] = tuple(  # type: ignore[assignment]
            round(_score(sets[name], sets["held out"], i, kept, marks, bool(columns[i].values), settings), 4)
            for name in ("samples", "training")
        )
    mine, real = (float(np.mean([pair[k] for pair in scores.values()])) for k in (0, 1))
    return {
        "efficacy": {
            "value": round(mine, 4),
            "of_training_data": round(real, 4),
            "columns": {name: pair[0] for name, pair in scores.items()},
            "columns_of_training_data": {name: pair[1] for name, pair in scores.items()},
            "of": "the mean score, at most 1 and 0 for a guess, of gradient-boosted trees that learn a column from the "
            "others, from samples, and predict it in held-out rows",
            "samples": count,
        }
    }


def _table(evaluation: Evaluation, x: Any, condition: Any) -> Rows:
    """Rows as they are written, with the numbers that they are conditioned on behind them."""
    rows = as_written(evaluation.data, np.asarray(x))
    if evaluation.model.condition is None or condition is None:
        return rows
    return np.concatenate([rows, np.asarray(condition, np.float64).reshape(len(rows), -1)], 1)


def _learnable(column: NDArray[np.float64], is_category: bool) -> bool:
    """Whether there is something to predict: a category that is not always the same, or numbers that differ."""
    return len(np.unique(column)) > 1 and (is_category or float(column.std()) > 0)


def _categories(columns: Any, kept: list[int]) -> list[int]:
    """Places among the predictors of columns of categories that trees can split by set, of at most 255."""
    return [place for place, j in enumerate(kept) if j < len(columns) and 2 < len(columns[j].values) <= 255]


def _score(
    learned: Rows,
    real: Rows,
    target: int,
    kept: list[int],
    marks: list[int],
    is_category: bool,
    settings: Mapping[str, Any],
) -> float:
    from sklearn.ensemble import HistGradientBoostingClassifier, HistGradientBoostingRegressor

    y, wanted = learned[:, target], real[:, target]
    settings = {**settings, "categorical_features": marks or None}
    if not is_category:
        predicted = HistGradientBoostingRegressor(**settings).fit(learned[:, kept], y).predict(real[:, kept])
        return max(0.0, 1.0 - float(((predicted - wanted) ** 2).mean() / wanted.var()))
    guess = float((wanted == np.bincount(wanted.astype(np.int64)).argmax()).mean())
    if len(np.unique(y)) < 2:
        return 0.0
    right = float(
        (HistGradientBoostingClassifier(**settings).fit(learned[:, kept], y).predict(real[:, kept]) == wanted).mean()
    )
    return max(0.0, 1.0 - (1.0 - right) / (1.0 - guess))
