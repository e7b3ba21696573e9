"""Whether a conditional model is calibrated: simulation-based calibration, and the coverage of its regions."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.conditions import StoredCondition
from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.metrics.rows import as_written
from zoo.modality import Table, Text

#: test rows that are ranked, samples that each is ranked among, and columns, at most
_ROWS, _RANKED, _COLUMNS = 300, 99, 64


@dataclass(frozen=True)
class Ranks:
    """Ranks of the true values of test rows among samples of their posteriors.

    Attributes:
        names: of the columns.
        ranks: in (0, 1), ``[rows, columns]``.
        drawn: the samples ``[rows · 99, columns]``.
        condition: theirs.
    """

    names: tuple[str, ...]
    ranks: NDArray[np.float64]
    drawn: Array
    condition: StoredCondition


def calibration(evaluation: Evaluation) -> Metrics:
    """``sbc`` and ``expected_coverage`` of a model of vectors that is conditioned on vectors, classes or both.

    Ranks of the true values among samples of their posteriors are uniform if the posteriors are calibrated (Talts et
    al. 2018, arXiv:1804.06788, theorem 1). So are ranks of their densities, which are the levels of the highest-density
    regions that just contain them (Hermans et al. 2022, arXiv:2110.06581, algorithm 1); they are measured where
    densities take one call. Empty for other models.
    """
    ranked = ranks(evaluation)
    if ranked is None:
        return {}
    told = {"samples": len(ranked.ranks), "each_among": _RANKED}
    metrics: Metrics = {"sbc": {**_smallest(ranked), **told}}
    if evaluation.model.manifest.log_prob is not None and not evaluation.integrates:
        metrics["expected_coverage"] = {**_covered(evaluation, ranked), **told}
    return metrics


def ranks(evaluation: Evaluation) -> Ranks | None:
    """What :func:`calibration` looks at, drawn once; None for models that are not conditional ones of vectors."""
    if "ranks" not in evaluation.kept:
        evaluation.kept["ranks"] = _drawn(evaluation)
    ranked: Ranks | None = evaluation.kept["ranks"]
    return ranked


def _drawn(evaluation: Evaluation) -> Ranks | None:
    model, data = evaluation.model, evaluation.data
    fits = len(model.event_shape) == 1 and model.event_shape[0] <= _COLUMNS and not isinstance(data.modality, Text)
    draws = evaluation.samples > 0 and model.manifest.sample is not None
    if model.condition is None or not fits or model.manifest.length is not None or not draws:
        return None
    rows = min(len(data.test), _ROWS)
    condition = data.test.condition_at(np.repeat(np.arange(rows), _RANKED))
    drawn = model.sample(rows * _RANKED, condition=condition, seed=evaluation.seed + 2, progress=evaluation.progress)
    x = np.asarray(data.test.x[:rows])
    true = as_written(data, x) if isinstance(data.modality, Table) else np.asarray(x, np.float64)
    places = ranks_of(true, as_written(data, drawn).reshape(rows, _RANKED, -1), evaluation.seed)
    columns = data.modality.columns if isinstance(data.modality, Table) else ()
    names = [column.name for column in columns] or [f"x{i}" for i in range(true.shape[1])]
    return Ranks(tuple(names), places, drawn, condition)


def _smallest(ranked: Ranks) -> dict[str, object]:
    """The smallest p-value of all columns, that of each, and what it is."""
    names = ranked.names
    values = {name: round(uniform_p(ranked.ranks[:, i]), 4) for i, name in enumerate(names)}
    lowest = min(values, key=lambda name: values[name])
    return {
        "value": values[lowest],
        "column": lowest,
        "p_values": values,
        "of": "the smallest p-value of a column by a Kolmogorov-Smirnov test of its ranks; below "
        f"{0.01 / len(names):.2g} posteriors are not calibrated",
    }


def _covered(evaluation: Evaluation, ranked: Ranks) -> dict[str, object]:
    """How often regions of highest density contain the true values."""
    model, drawn, condition, rows = evaluation.model, ranked.drawn, ranked.condition, len(ranked.ranks)
    true = evaluation.density.value[:rows]
    if len(true) < rows:
        x, stated = evaluation.tested_at(rows)
        true = model.log_prob(x, condition=stated, seed=evaluation.seed)
    # samples are continuous numbers already
    among = model.log_prob(drawn, condition=condition, seed=evaluation.seed).reshape(rows, _RANKED, 1)
    levels = 1.0 - ranks_of(true[:, None], among, evaluation.seed)[:, 0]
    return {
        "value": round(float((levels <= 0.9).mean()), 4),
        "of_50_percent": round(float((levels <= 0.5).mean()), 4),
        "of_95_percent": round(float((levels <= 0.95).mean()), 4),
        "p_value": round(uniform_p(levels), 4),
        "of": "test data within the regions that hold 90% of their posteriors; p: of a Kolmogorov-Smirnov test of all "
        "regions",
    }


def ranks_of(true: NDArray[np.float64], among: NDArray[np.float64], seed: int) -> NDArray[np.float64]:
    """Ranks of true values among samples, in (0, 1) and exactly uniform if all have one distribution.

    Args:
        true: ``[n, d]``.
        among: ``[n, k, d]``.
        seed: of the order of equal values.

    Returns:
        ``[n, d]``: uniform within the share of samples that are below, and that are equal.
    """
    below = (among < true[:, None]).sum(1)
    equal = (among == true[:, None]).sum(1)
    within = np.random.default_rng(seed).random(true.shape)
    return np.asarray((below + within * (equal + 1)) / (among.shape[1] + 1))


def uniform_p(ranks: NDArray[np.float64]) -> float:
    """The p-value of a Kolmogorov-Smirnov test that numbers ``[n]`` are uniform in (0, 1)."""
    from scipy.stats import kstest

    return float(kstest(ranks, "uniform").pvalue)
