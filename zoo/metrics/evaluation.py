"""What is measured of a bundle on held-out data: likelihood, its bound, class agreement and distance.

Each metric is a table with its ``value`` and what one must know to read it, as a card holds it.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.data import Dataset
from zoo.metrics.agreement import as_real, features, judge_samples, train_judge
from zoo.metrics.distance import frechet_distance
from zoo.metrics.judges import Judge, can_be_judged
from zoo.runtime import BundledModel

Metrics = dict[str, Any]
#: called with (done, in all)
Progress = Callable[[int, int], None] | None


def likelihood(
    model: BundledModel,
    data: Dataset,
    *,
    scored: int | None = None,
    seed: int = 0,
    progress: Progress = None,
    **options: Any,
) -> Metrics:
    """``test_nll``, and ``test_bits_per_dim`` of discrete data, with the errors of a diffusion's ODE.

    Args:
        model: the bundle.
        data: whose test split is scored.
        scored: how many of it, the first; None for all.
        seed: of the dequantisation, and of a diffusion's probes.
        progress: called with (calls done, calls in all).
        options: ``steps`` and ``probes`` of a diffusion's ODE.
    """
    x, condition = _tested(model, data, scored, seed)
    program = model.manifest.log_prob
    if program is None or not program.estimates:
        density = model.log_prob(x, condition=condition, seed=seed, progress=progress)
        return _in_units(model, data, -density, "test", {})
    found = model.log_prob_with_errors(x, condition=condition, seed=seed, progress=progress, **options)
    said: dict[str, Any] = {"numerical_error": float(found.numerical_error.mean())}
    if not np.isnan(found.standard_error).any():
        said["probes_standard_error"] = float(np.sqrt((found.standard_error**2).sum()) / len(x))
    return _in_units(model, data, -found.value, "test", {"by": "the probability-flow ODE", **said})


def bound(
    model: BundledModel,
    data: Dataset,
    *,
    scored: int | None = None,
    seed: int = 0,
    steps: int = 1000,
    terms: int = 100,
    progress: Progress = None,
) -> Metrics:
    """``test_bound_nll``, and in bits/dim: what a diffusion's negative log-likelihood is at most, see :mod:`zoo.bound`.

    Arguments are those of :func:`likelihood` and of :meth:`~zoo.runtime.BundledModel.log_prob_bound`. Models without a
    chain have none.
    """
    if model.manifest.log_prob is None or not model.manifest.log_prob.estimates:
        return {}
    x, condition = _tested(model, data, scored, seed)
    loss = -model.log_prob_bound(x, condition=condition, seed=seed, steps=steps, terms=terms, progress=progress)
    return _in_units(model, data, loss, "test_bound", {"by": f"the variational bound of {steps} steps, {terms} terms"})


def judged(
    model: BundledModel,
    data: Dataset,
    *,
    samples: int = 1000,
    seed: int = 1,
    judge: Judge | None = None,
    progress: Progress = None,
) -> Metrics:
    """``class_agreement`` of a model of classes, and ``frechet_distance``, both by a judge trained on the real data.

    The distance is in the judge's features, so it is no FID, and stands beside that of as many real training images.

    Args:
        model: the bundle.
        data: labelled images or recordings; others have no such metrics.
        samples: how many are drawn.
        seed: of the samples.
        judge: trained on ``data``; None trains one.
        progress: called with (calls done, calls in all) while sampling.
    """
    if not can_be_judged(data) or not data.labels or data.test.condition is None:
        return {}
    judge = train_judge(data) if judge is None else judge
    classes = (np.arange(samples) % len(data.labels)).astype(np.int32)
    conditional = model.condition is not None and model.condition.kind == "classes"
    drawn = model.sample(samples, seed=seed, condition=classes if conditional else None, progress=progress)
    metrics: Metrics = {}
    verdict = judge_samples(judge, data, drawn, classes)
    if conditional:
        metrics["class_agreement"] = {
            "value": round(verdict.agreement, 4),
            "of": "samples with the default sampler whose class a judge trained on real data sees",
            "samples": verdict.samples,
            "judge_test_accuracy": round(verdict.test_accuracy, 4),
        }
    real = features(judge, data.test.x)
    rows = np.random.default_rng(seed).permutation(len(data.train))[:samples]
    metrics["frechet_distance"] = {
        "value": round(frechet_distance(features(judge, as_real(data, drawn)), real), 3),
        "of_training_data": round(frechet_distance(features(judge, data.train.x[rows]), real), 3),
        "of": "samples and the test set, in the features of a judge trained on real data: no FID",
        "samples": samples,
    }
    return metrics


def _tested(
    model: BundledModel, data: Dataset, scored: int | None, seed: int
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """The first test samples, with noise as wide as their grain, and their conditions."""
    split = data.test
    x: NDArray[Any] = split.x[:scored]
    if data.grain is not None and not data.levels:
        # whole numbers get theirs from the runtime
        x = (x + np.random.default_rng(seed).random(x.shape) * data.grain).astype(np.float32)
    condition = None if model.condition is None or split.condition is None else split.condition[:scored]
    return x, condition


def _in_units(
    model: BundledModel, data: Dataset, loss: NDArray[np.float64], name: str, said: Mapping[str, Any]
) -> Metrics:
    """A negative log-likelihood for each sample as metrics."""
    given = {} if model.condition is None else {"of": f"the density given the {model.condition.kind} of each sample"}

    def metric(scale: float, unit: str) -> dict[str, Any]:
        told = {key: round(value * scale, 4) if isinstance(value, float) else value for key, value in said.items()}
        error = float(loss.std()) * scale / math.sqrt(len(loss))
        return {
            "value": round(float(loss.mean()) * scale, 4),
            "standard_error": round(error, 4),
            "unit": unit,
            "samples": len(loss),
            **told,
            **given,
        }

    metrics = {f"{name}_nll": metric(1.0, "nats")}
    if data.levels:
        metrics[f"{name}_bits_per_dim"] = metric(1.0 / (math.prod(model.event_shape) * math.log(2)), "bits/dim")
    if data.entropy is not None and model.condition is None and name == "test":
        metrics["test_gap"] = {
            "value": round(float(loss.mean()) - data.entropy, 4),
            "unit": "nats",
            "of": f"test_nll minus the entropy of the data, {data.entropy:.4f}",
        }
    return metrics
