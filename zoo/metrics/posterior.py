"""Whether posteriors are right: simulation-based calibration, coverage of regions, TARP, and predictive checks."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.conditions import StoredCondition
from zoo.errors import PluginError
from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.metrics.options import at_least
from zoo.metrics.rows import as_written
from zoo.modality import Table, Text
from zoo.registry.discovery import last_line

#: columns that are ranked, at most
_COLUMNS = 64
#: test rows that are ranked, at most, and samples that each is ranked among, unless options say
_POSTERIORS, _AMONG = 300, 99


@dataclass(frozen=True)
class Ranks:
    """Ranks of the true values of test rows among samples of their posteriors.

    Attributes:
        names: of the columns.
        ranks: in (0, 1), ``[rows, columns]``.
        drawn: the samples ``[rows · among, columns]``.
        condition: theirs.
        true: the true values ``[rows, columns]``, as they are written.
        circular: begin and end of the period of columns, by their places.
    """

    names: tuple[str, ...]
    ranks: NDArray[np.float64]
    drawn: Array
    condition: StoredCondition
    true: NDArray[np.float64]
    circular: Mapping[int, tuple[float, float]] = field(default_factory=dict)

    @property
    def among(self) -> int:
        """How many samples each row is ranked among."""
        return len(self.drawn) // len(self.ranks)


def calibration(evaluation: Evaluation, *, posteriors: int = _POSTERIORS, among: int = _AMONG) -> Metrics:
    """``sbc`` and ``expected_coverage`` of a model of vectors that is conditioned on vectors, classes or both.

    Ranks of the true values among samples of their posteriors are uniform if the posteriors are calibrated (Talts et
    al. 2018, arXiv:1804.06788, theorem 1). So are ranks of their densities, which are the levels of the highest-density
    regions that just contain them (Hermans et al. 2022, arXiv:2110.06581, algorithm 1); they are measured where
    densities take one call. Empty for other models.

    Args:
        evaluation: the model and its data.
        posteriors: how many test rows are ranked, at most.
        among: how many samples of its posterior each is ranked among.

    Raises:
        UsageError: none of either.
    """
    ranked = ranks(evaluation, posteriors=posteriors, among=among)
    if ranked is None:
        return {}
    told = {"samples": len(ranked.ranks), "each_among": ranked.among}
    metrics: Metrics = {"sbc": {**_smallest(ranked), **told}}
    if evaluation.model.manifest.log_prob is not None and not evaluation.integrates:
        metrics["expected_coverage"] = {**_covered(evaluation, ranked), **told}
    return metrics


def ranks(evaluation: Evaluation, *, posteriors: int = _POSTERIORS, among: int = _AMONG) -> Ranks | None:
    """What :func:`calibration` looks at, drawn once; None for models that are not conditional ones of vectors."""
    at_least(1, posteriors=posteriors, among=among)
    key = f"ranks of {posteriors} among {among}"
    if key not in evaluation.kept:
        evaluation.kept[key] = _drawn(evaluation, posteriors, among)
    ranked: Ranks | None = evaluation.kept[key]
    return ranked


def _drawn(evaluation: Evaluation, posteriors: int, among: int) -> Ranks | None:
    model, data = evaluation.model, evaluation.data
    fits = len(model.event_shape) == 1 and model.event_shape[0] <= _COLUMNS and not isinstance(data.modality, Text)
    draws = evaluation.samples > 0 and model.manifest.sample is not None
    if model.condition is None or not fits or model.manifest.length is not None or not draws:
        return None
    rows = min(len(data.test), posteriors)
    condition = data.test.condition_at(np.repeat(np.arange(rows), among))
    drawn = model.sample(rows * among, condition=condition, seed=evaluation.seed + 2, progress=evaluation.progress)
    x = np.asarray(data.test.x[:rows])
    true = as_written(data, x) if isinstance(data.modality, Table) else np.asarray(x, np.float64)
    places = ranks_of(true, as_written(data, drawn).reshape(rows, among, -1), evaluation.seed)
    columns = data.modality.columns if isinstance(data.modality, Table) else ()
    names = [column.name for column in columns] or [f"x{i}" for i in range(true.shape[1])]
    stated = data.extra.get("circular")
    circular = {int(i): tuple(ends) for i, ends in stated.items()} if isinstance(stated, Mapping) else {}
    return Ranks(tuple(names), places, drawn, condition, true, circular)


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
    among = model.log_prob(drawn, condition=condition, seed=evaluation.seed).reshape(rows, ranked.among, 1)
    levels = 1.0 - ranks_of(true[:, None], among, evaluation.seed)[:, 0]
    return {
        "value": round(float((levels <= 0.9).mean()), 4),
        "of_50_percent": round(float((levels <= 0.5).mean()), 4),
        "of_95_percent": round(float((levels <= 0.95).mean()), 4),
        "p_value": round(uniform_p(levels), 4),
        "of": "test data within the regions that hold 90% of their posteriors; p: of a Kolmogorov-Smirnov test of all "
        "regions",
    }


def tarp(evaluation: Evaluation, *, posteriors: int = _POSTERIORS, among: int = _AMONG) -> Metrics:
    """``tarp`` of a model of vectors that is conditioned on vectors, classes or both.

    The share of samples of a posterior that are nearer to a random point than the true value is uniform if, and with
    all points only if, the posterior is right (Lemos et al. 2023, arXiv:2302.03026, theorem 3). It sees errors in
    what columns have to do with each other, to which :func:`calibration` of single columns is blind. Columns are scaled
    by the deviation of the true values, and circular ones are points of a circle. Empty for other models.
    Arguments are those of :func:`calibration`.
    """
    ranked = ranks(evaluation, posteriors=posteriors, among=among)
    if ranked is None:
        return {}
    shares = tarp_shares(evaluation, ranked)
    places = np.sort(shares)
    expected = (np.arange(len(places)) + 0.5) / len(places)
    return {
        "tarp": {
            "value": round(uniform_p(shares), 4),
            "largest_gap": round(float(np.abs(places - expected).max()), 4),
            "of": "the p-value of a Kolmogorov-Smirnov test that regions around random points hold as many true values "
            "as they should; below 0.01 posteriors are not accurate",
            "samples": len(shares),
            "each_among": ranked.among,
        }
    }


def tarp_shares(evaluation: Evaluation, ranked: Ranks) -> NDArray[np.float64]:
    """Of each test row the share of its posterior that is nearer to a random point than the true value, in (0, 1)."""
    random = np.random.default_rng([evaluation.seed, 3])
    true, drawn = ranked.true, as_written(evaluation.data, ranked.drawn)
    low, high = true.min(0), true.max(0)
    points = random.uniform(low, high, true.shape)
    scale = true.std(0)
    each = [_around(rows, ranked.circular, scale) for rows in (true, drawn, points)]
    far = ((each[0] - each[2]) ** 2).sum(1)
    among = ((each[1].reshape(len(true), ranked.among, -1) - each[2][:, None]) ** 2).sum(2)
    return ranks_of(far[:, None], among[:, :, None], evaluation.seed)[:, 0]


def _around(
    rows: NDArray[np.float64], circular: Mapping[int, tuple[float, float]], scale: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Columns of about unit scale, circular ones as points of the circle with radius 1."""
    columns = []
    for i, column in enumerate(rows.T):
        if i in circular:
            low, high = circular[i]
            angle = 2 * np.pi * (column - low) / (high - low)
            columns += [np.cos(angle), np.sin(angle)]
        else:
            columns.append(column / (scale[i] or 1.0))
    return np.stack(columns, 1)


@dataclass(frozen=True)
class Predictions:
    """What a simulator makes of samples of posteriors, beside what was observed.

    Attributes:
        names: of the numbers of an observation.
        observed: ``[rows, numbers]``.
        simulated: ``[rows, among, numbers]``.
    """

    names: tuple[str, ...]
    observed: NDArray[np.float64]
    simulated: NDArray[np.float64]


def predictive(evaluation: Evaluation, *, posteriors: int = _POSTERIORS, among: int = _AMONG) -> Metrics:
    """``posterior_predictive``: whether a simulator makes of posteriors what was observed (Gelman et al. 1996).

    Ranks of what was observed among simulations from its posterior are of course not uniform, since the posterior has
    seen it; they crowd in the middle. They say how often an observation is beyond nearly all simulations, which is a
    sign of a posterior that does not fit its observation. Empty without a simulator, or for conditions other than
    vectors. Arguments as of :func:`calibration`.
    """
    predicted = predictions(evaluation, posteriors=posteriors, among=among)
    if predicted is None:
        return {}
    places = ranks_of(predicted.observed, predicted.simulated, evaluation.seed)
    beyond = ((places < 0.025) | (places > 0.975)).mean(0)
    worst = int(beyond.argmax())
    return {
        "posterior_predictive": {
            "value": round(float(beyond.mean()), 4),
            "worst": predicted.names[worst],
            "of_worst": round(float(beyond[worst]), 4),
            "of": "observed numbers beyond 95% of simulations from their posterior; at most 0.05 is expected",
            "samples": len(predicted.observed),
            "each_among": predicted.simulated.shape[1],
        }
    }


def predictions(evaluation: Evaluation, *, posteriors: int = _POSTERIORS, among: int = _AMONG) -> Predictions | None:
    """What :func:`predictive` looks at, simulated once; None where it does not apply.

    Raises:
        PluginError: the simulator fails, or returns something else than an observation for each sample.
    """
    if evaluation.simulator is None:
        return None
    key = f"predictions of {posteriors} among {among}"
    if key not in evaluation.kept:
        evaluation.kept[key] = _simulated(evaluation, posteriors, among)
    predicted: Predictions | None = evaluation.kept[key]
    return predicted


def _simulated(evaluation: Evaluation, posteriors: int, among: int) -> Predictions | None:
    ranked, described = ranks(evaluation, posteriors=posteriors, among=among), evaluation.model.condition
    if ranked is None or described is None or not (described.plain and described.kind == "vector"):
        return None
    assert evaluation.simulator is not None
    name, simulate = evaluation.simulator
    samples = as_written(evaluation.data, ranked.drawn)
    try:
        predicted = np.asarray(simulate(samples), np.float64)
    except Exception as error:
        raise PluginError(f"{name} fails: {last_line(error)}") from error
    if predicted.shape != (len(samples), described.size) or not np.isfinite(predicted).all():
        raise PluginError(
            f"{name} makes an array of shape {list(predicted.shape)} of {len(samples)} samples, where finite numbers "
            f"[{len(samples)}, {described.size}] are wanted: an observation for each"
        )
    rows = len(ranked.ranks)
    observed = np.asarray(ranked.condition, np.float64).reshape(rows, ranked.among, -1)[:, 0]
    names = described.labels or tuple(f"{i}" for i in range(described.size))
    return Predictions(names, observed, predicted.reshape(rows, ranked.among, -1))


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
