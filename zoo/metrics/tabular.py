"""The distance of sampled rows of a table from real ones: by column, and in their correlations."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.modality import Table
from zoo.render.tables import values

Rows = NDArray[np.float64]
#: parts of a column of numbers, and columns, in pairs
_BINS, _WIDEST = 8, 32


def table_metrics(evaluation: Evaluation) -> Metrics:
    """``column_distance``, ``correlation_difference`` and ``pair_distance`` of samples and held-out rows.

    Each stands beside that of training rows. Empty for other data, and for models that are conditioned on classes or
    named parts, which samples have in other shares than the data.
    """
    data, samples = evaluation.data, evaluation.samples
    modality = data.modality
    condition = evaluation.model.condition
    alike = condition is None or (condition.plain and condition.kind == "vector")
    if not isinstance(modality, Table) or not alike or evaluation.drawn is None:
        return {}
    # as many rows as samples, since distances shrink with their number
    rows = np.random.default_rng(evaluation.seed + 1).permutation(len(data.train))[:samples]
    real, training = values(np.asarray(data.test.x), modality), values(np.asarray(data.train.x[rows]), modality)
    drawn = values(evaluation.drawn.x, modality)
    told = {"samples": samples, "held_out_rows": len(real)}
    return {
        "column_distance": {
            "value": round(column_distance(drawn, real, modality), 4),
            "of_training_data": round(column_distance(training, real, modality), 4),
            "of": "the largest difference of the distribution functions of a column, averaged over columns; for "
            "categories half the sum of the differences of their shares",
            **told,
        },
        "correlation_difference": {
            "value": round(correlation_difference(drawn, real), 4),
            "of_training_data": round(correlation_difference(training, real), 4),
            "of": "the mean absolute difference of the rank correlations of two columns",
            **told,
        },
        "pair_distance": {
            "value": round(pair_distance(drawn, real, modality), 4),
            "of_training_data": round(pair_distance(training, real, modality), 4),
            "of": f"half the sum of the differences of the shares of pairs of values, numbers in {_BINS} parts, as a "
            "mean over pairs of columns",
            **told,
        },
    }


def column_distance(a: Rows, b: Rows, table: Table) -> float:
    """Kolmogorov-Smirnov distances of columns of numbers, total variation distances of categories; their mean."""
    return float(
        np.mean(
            [
                _total_variation(x, y, len(column.values)) if column.values else _kolmogorov_smirnov(x, y)
                for x, y, column in zip(a.T, b.T, table.columns, strict=True)
            ]
        )
    )


def correlation_difference(a: Rows, b: Rows) -> float:
    """Mean absolute difference of Spearman's correlations over pairs of columns; 0 for a single column."""
    pairs = np.triu_indices(a.shape[1], 1)
    if not len(pairs[0]):
        return 0.0
    return float(np.abs(_correlations(a)[pairs] - _correlations(b)[pairs]).mean())


def pair_distance(a: Rows, b: Rows, table: Table) -> float:
    """Total variation distance of two columns together, averaged over pairs; 0 for a single column.

    Numbers are sorted into parts that hold equally many rows of ``b``. Of more than 32 columns the first are taken.
    """
    cells = [_binned(x, y, len(column.values)) for x, y, column in zip(a.T, b.T, table.columns, strict=True)][:_WIDEST]
    pairs = [(i, j) for j in range(len(cells)) for i in range(j)]
    distances = [
        _total_variation(p[0] * size + q[0], p[1] * size + q[1], count * size)
        for (*p, count), (*q, size) in ((cells[i], cells[j]) for i, j in pairs)
    ]
    return float(np.mean(distances)) if distances else 0.0


def _binned(
    x: NDArray[np.float64], y: NDArray[np.float64], count: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], int]:
    """Two columns as whole numbers below a count: categories as they are, numbers by the parts that they are in."""
    if count:
        return x.astype(np.int64), y.astype(np.int64), count
    ends = np.unique(np.quantile(y, np.linspace(0, 1, _BINS + 1)[1:-1]))
    return np.searchsorted(ends, x), np.searchsorted(ends, y), len(ends) + 1


def _kolmogorov_smirnov(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    at = np.union1d(x, y)
    below = [np.searchsorted(np.sort(values), at, side="right") / len(values) for values in (x, y)]
    return float(np.abs(below[0] - below[1]).max())


def _total_variation(x: NDArray[Any], y: NDArray[Any], count: int) -> float:
    shares = [np.bincount(values.astype(np.int64), minlength=count) / len(values) for values in (x, y)]
    return float(np.abs(shares[0] - shares[1]).sum() / 2)


def _correlations(rows: Rows) -> NDArray[np.float64]:
    ranks = np.stack([_mean_ranks(column) for column in rows.T])
    spread = ranks.std(1)
    ranks = (ranks - ranks.mean(1, keepdims=True)) / np.where(spread > 0, spread, 1.0)[:, None]
    return np.asarray(ranks @ ranks.T / rows.shape[0])


def _mean_ranks(x: NDArray[np.float64]) -> NDArray[np.float64]:
    """Ranks from 0, with mean ranks for ties."""
    _, which, counts = np.unique(x, return_inverse=True, return_counts=True)
    ends = np.cumsum(counts)
    return np.asarray((ends - (counts + 1) / 2)[which.reshape(-1)])
