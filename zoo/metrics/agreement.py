"""Class agreement: whether samples show the requested class, judged by a small classifier trained on the real data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, replace

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from zoo.data import Dataset, Split
from zoo.metrics.classifiers import Classifier, classifier_for, has_classifier
from zoo.metrics.distance import frechet_distance
from zoo.metrics.evaluation import Evaluation, Metrics

_BATCH = 128


@dataclass(frozen=True)
class Verdict:
    """The share of samples recognised as their class, and the classifier's accuracy on real data."""

    agreement: float
    samples: int
    test_accuracy: float


def train_classifier(data: Dataset, *, epochs: int | None = None, seed: int = 0) -> Classifier:
    """Train a classifier on the training split by cross-entropy with AdamW and a one-cycle learning rate.

    Args:
        data: labelled images or recordings.
        epochs: passes over the data; None for as many as give :attr:`Classifier.STEPS` steps.
        seed: of its initial weights and of the order.

    Raises:
        DataError: the data are neither labelled images with levels nor labelled recordings.
    """
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        classifier = classifier_for(data)
        size = min(_BATCH, len(data.train))
        each = len(data.train) // size  # steps of an epoch
        if epochs is None:
            epochs = math.ceil(classifier.STEPS / each)
        steps = epochs * each
        optimizer = torch.optim.AdamW(classifier.parameters(), weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
        for step in range(steps):
            epoch, position = divmod(step, each)
            order = np.random.default_rng([seed, epoch]).permutation(len(data.train))
            x, label = _batch(data.train, order[position * size : (position + 1) * size])
            optimizer.zero_grad()
            F.cross_entropy(classifier(x), label).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return classifier.eval()


@torch.no_grad()
def accuracy(classifier: Classifier, split: Split) -> float:
    """Share of a split that the classifier labels correctly."""
    right = 0
    for start in range(0, len(split), 1000):
        x, label = _batch(split, np.arange(start, min(start + 1000, len(split))))
        right += int((classifier(x).argmax(1) == label).sum())
    return right / len(split)


def classify_samples(
    classifier: Classifier, data: Dataset, samples: NDArray[np.float32], classes: NDArray[np.int32]
) -> Verdict:
    """Agreement of samples with their requested classes.

    Args:
        classifier: trained on ``data``.
        data: the data set, whose test split measures the classifier itself.
        samples: ``[n, *event]`` in data units; see :func:`as_real`.
        classes: ``[n]``.
    """
    split = Split(as_real(data, samples), classes)
    return Verdict(accuracy(classifier, split), len(samples), accuracy(classifier, data.test))


def as_real(data: Dataset, samples: NDArray[np.float32]) -> NDArray[np.float32]:
    """Samples floored to the levels of the data, like real pixels; continuous ones unchanged."""
    return samples if data.levels is None else np.floor(samples).clip(0, data.levels - 1)


@torch.no_grad()
def features(classifier: Classifier, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """The classifier's features of data ``[n, *event]``, ``[n, 256]``."""
    parts = [
        classifier.features(torch.from_numpy(x[i : i + 1000].astype(np.float32))).double().numpy()
        for i in range(0, len(x), 1000)
    ]
    return np.concatenate(parts)


def classifier_of(evaluation: Evaluation) -> Classifier:
    """A classifier of the real data, trained once for all metrics."""
    if "classifier" not in evaluation.kept:
        evaluation.kept["classifier"] = train_classifier(evaluation.data)
    classifier: Classifier = evaluation.kept["classifier"]
    return classifier


def classifier_metrics(evaluation: Evaluation, *, classifier: Classifier | None = None) -> Metrics:
    """``class_agreement`` of a class-conditional model, and ``frechet_distance``, both by a classifier of real data.

    The distance is in the classifier's features, so it is not FID; that of as many real training samples is given for
    comparison. Of named parts that are classes, each gets a classifier of its own and ``NAME_agreement``, which tells
    the class with the least; then there is no distance. Empty for data other than labelled images and recordings.

    Args:
        evaluation: the model and its data.
        classifier: trained on the data; None trains one.
    """
    model, data = evaluation.model, evaluation.data
    if isinstance(data.train.condition, Mapping):
        return _of_parts(evaluation)
    if not has_classifier(data) or not data.labels or data.test.condition is None or evaluation.drawn is None:
        return {}
    classifier = classifier_of(evaluation) if classifier is None else classifier
    drawn, samples = evaluation.drawn.x, evaluation.samples
    metrics: Metrics = {}
    classes = evaluation.drawn.condition
    if model.condition is not None and model.condition.kind == "classes" and isinstance(classes, np.ndarray):
        verdict = classify_samples(classifier, data, drawn, classes)
        metrics["class_agreement"] = {
            "value": round(verdict.agreement, 4),
            "of": "samples with the default sampler that a classifier trained on real data assigns to their class",
            "samples": verdict.samples,
            "judge_test_accuracy": round(verdict.test_accuracy, 4),
        }
    real = features(classifier, data.test.x)
    rows = np.random.default_rng(evaluation.seed + 1).permutation(len(data.train))[:samples]
    metrics["frechet_distance"] = {
        "value": round(frechet_distance(features(classifier, as_real(data, drawn)), real), 3),
        "of_training_data": round(frechet_distance(features(classifier, data.train.x[rows]), real), 3),
        "of": "samples and the test set, in the features of a classifier trained on real data; not comparable with FID",
        "samples": samples,
    }
    return metrics


def _of_parts(evaluation: Evaluation) -> Metrics:
    """The agreement of samples with each part of the condition that is a class."""
    described, data, metrics = evaluation.model.condition, evaluation.data, Metrics()
    for part in () if described is None else described.parts:
        if part.modality != "classes" or evaluation.drawn is None:
            continue
        train, validation, test = (_with_part(each, part.name) for each in (data.train, data.validation, data.test))
        alone = replace(data, train=train, validation=validation, test=test)
        wanted = evaluation.drawn.condition
        if not has_classifier(alone) or not isinstance(wanted, Mapping):
            continue
        classifier, classes = train_classifier(alone), np.asarray(wanted[part.name], np.int32)
        verdict = classify_samples(classifier, alone, evaluation.drawn.x, classes)
        right = {
            (part.labels[c] if part.labels else str(c)): accuracy(
                classifier, Split(as_real(data, evaluation.drawn.x[classes == c]), classes[classes == c])
            )
            for c in np.unique(classes).tolist()
        }
        worst = min(right, key=lambda label: right[label])
        metrics[f"{part.name}_agreement"] = {
            "value": round(verdict.agreement, 4),
            "of": f"samples with the default sampler that a classifier trained on real data assigns to their "
            f"{part.name}; the least for {worst}: {right[worst]:.2f}",
            "samples": verdict.samples,
            "judge_test_accuracy": round(verdict.test_accuracy, 4),
        }
    return metrics


def _with_part(split: Split, name: str) -> Split:
    """A split that is conditioned on one part alone."""
    assert isinstance(split.condition, Mapping)
    return Split(split.x, np.asarray(split.condition[name]))


def _batch(split: Split, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    assert isinstance(split.condition, np.ndarray)
    x = torch.from_numpy(split.x[indices].astype(np.float32))
    return x, torch.from_numpy(split.condition[indices].astype(np.int64))
