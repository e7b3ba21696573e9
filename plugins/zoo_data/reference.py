"""Posterior samples beside those that ``sbibm`` comes with (Lueckmann et al. 2021, arXiv:2101.04653)."""

from __future__ import annotations

import bz2
import io
from importlib.util import find_spec
from pathlib import Path

import numpy as np

from zoo.arrays import Float64Array
from zoo.conditions import Condition, ConditionLike
from zoo.errors import DataError
from zoo.files import reason_of
from zoo.metrics.evaluation import Evaluation, Metrics

#: our name -> the folder of a task
TASKS = {"two-moons": "two_moons", "slcp": "slcp"}
#: the benchmark's medians over the ten observations for neural posterior estimation (NPE) in one round, by the number
#: of simulations: column C2ST of benchmarking_sbi/results/main_paper.csv in github.com/sbi-benchmark/results
_PUBLISHED = {
    "two-moons": {"1000": 0.715, "10000": 0.608, "100000": 0.542},
    "slcp": {"1000": 0.973, "10000": 0.907, "100000": 0.819},
}
_OBSERVATIONS, _FOLDS, _SEED, _RESAMPLED = 10, 5, 1, 10_000


def reference_posteriors(evaluation: Evaluation) -> Metrics:
    """``reference_c2st``: how well a classifier tells a model's posteriors from the benchmark's.

    Each of the ten observations has 10,000 samples of its posterior; as many of the model's are compared with them as
    the evaluation is for, and as many of them. With fewer than 10,000 the classifier learns less, and figures are
    lower than the published ones would be. Empty for other data sets, and for a model that does not sample.
    """
    task, count = TASKS.get(evaluation.data.name, ""), evaluation.samples
    condition = evaluation.model.condition
    if not task or condition is None or evaluation.model.manifest.sample is None or count < _FOLDS:
        return {}
    accuracies = []
    for number in range(1, _OBSERVATIONS + 1):
        observation, reference = observed(task, number)
        reference = reference[:count]
        drawn = evaluation.model.sample(
            len(reference),
            condition=as_part(condition, observation),
            seed=evaluation.seed + 10 + number,
            progress=evaluation.progress,
        )
        accuracies.append(accuracy(reference, np.asarray(drawn, np.float64)))
    resampled = np.random.default_rng(evaluation.seed).choice(accuracies, (_RESAMPLED, _OBSERVATIONS))
    return {
        "reference_c2st": {
            "value": round(float(np.median(accuracies)), 3),
            "standard_error": round(float(np.median(resampled, 1).std()), 3),
            "of_observations": [round(each, 3) for each in accuracies],
            "published_npe_by_simulations": _PUBLISHED[evaluation.data.name],
            "of": "the median over sbibm's ten observations, and its error by resampling them, of the accuracy of its "
            "classifier that tells posterior samples from reference ones; 0.5 is a guess",
            "samples": len(reference),
        }
    }


def observed(task: str, number: int) -> tuple[Float64Array, Float64Array]:
    """An observation ``[k]`` of the benchmark, and samples of its posterior ``[10000, d]``.

    The files are read without importing sbibm, which needs a dozen other packages.

    Args:
        task: the folder of the task, ``"two_moons"``.
        number: of the observation, from 1 to 10.

    Raises:
        DataError: sbibm is not installed, or its files are not those of the benchmark.
    """
    spec = find_spec("sbibm")
    if spec is None or not spec.submodule_search_locations:
        raise DataError("reference posteriors come with sbibm", hint="pip install --no-deps sbibm")
    folder = Path(spec.submodule_search_locations[0], "tasks", task, "files", f"num_observation_{number}")
    samples = folder / "reference_posterior_samples.csv.bz2"
    try:
        observation = _numbers((folder / "observation.csv").read_bytes())
        return observation[0], _numbers(bz2.decompress(samples.read_bytes()))
    except (OSError, EOFError, ValueError, IndexError) as error:
        raise DataError(f"{samples} is not a reference posterior of sbibm: {reason_of(error)}") from error


def accuracy(reference: Float64Array, drawn: Float64Array) -> float:
    """The benchmark's C2ST, ``sbibm.metrics.c2st``: the same network, folds and seed, so that figures can be compared.

    :func:`zoo.metrics.two_sample.accuracy` stops training early and trains on 1,000 rows, and would be lower.

    Args:
        reference: ``[n, d]``, which both are standardised by.
        drawn: ``[m, d]``.

    Returns:
        the mean accuracy over the folds.
    """
    from sklearn.model_selection import KFold, cross_val_score
    from sklearn.neural_network import MLPClassifier

    mean, deviation = reference.mean(0), reference.std(0, ddof=1)
    rows = np.concatenate([(each - mean) / deviation for each in (reference, drawn)])
    units = 10 * rows.shape[1]
    network = MLPClassifier((units, units), max_iter=10_000, random_state=_SEED)
    folds = KFold(_FOLDS, shuffle=True, random_state=_SEED)
    which = np.repeat([0.0, 1.0], [len(reference), len(drawn)])
    return float(cross_val_score(network, rows, which, cv=folds, scoring="accuracy").mean())


def as_part(condition: Condition, observation: Float64Array) -> ConditionLike:
    """An observation ``[k]`` as the value of the only part of a condition, for ``sample``."""
    (part,) = condition.parts
    value = observation.reshape([int(size) for size in part.shape])
    return value if condition.plain else {part.name: value}


def _numbers(content: bytes) -> Float64Array:
    """The rows of a .csv file below its headings."""
    return np.loadtxt(io.BytesIO(content), delimiter=",", skiprows=1, ndmin=2)
