"""The loss by rounding in terms of a model's card: class agreement and bits per dimension."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from zoo.data import Dataset
from zoo.errors import ConfigError, ZooError
from zoo.registry import installed
from zoo.registry.cards import ModelCard
from zoo.runtime import BundledModel

_SAMPLES = 200
_SCORED = 1000
_SEED = 1


def measure(card: ModelCard, bundle: BundledModel) -> tuple[dict[str, float], str | None]:
    """The card's metrics, measured again with the bundle.

    ``class_agreement``
        share of 200 samples whose class is recognised by a classifier trained on the card's
        data, see :mod:`zoo.metrics.agreement`.
    ``test_bits_per_dim``
        of a model that scores in one call, on the first 1,000 test samples.

    Args:
        card: names the metrics and the data.
        bundle: the bundle to measure.

    Returns:
        the metrics, and what is to be said of them: why they could not be measured, or on which data; or None.

    Raises:
        RuntimeFailure: ONNX Runtime fails.
    """
    pending = {"class_agreement", "test_bits_per_dim"} & card.metrics.keys()
    if bundle.manifest.log_prob is None or bundle.manifest.log_prob.estimates:
        pending.discard("test_bits_per_dim")  # an ODE for each sample would take hours
    bits = card.metrics.get("test_bits_per_dim")
    if isinstance(bits, Mapping) and bits.get("noise") == "learned":
        pending.discard("test_bits_per_dim")  # the dequantising network stays in PyTorch
    if not pending:
        return {}, None
    try:
        data, told = _data(card)
    except ZooError as error:
        return {}, f"{', '.join(sorted(pending))} not measured: {error}"
    metrics = {}
    if "class_agreement" in pending:
        metrics["class_agreement"] = _agreement(bundle, data)
    if "test_bits_per_dim" in pending:
        x, condition = data.test.x[:_SCORED], data.test.condition_at(slice(_SCORED))
        nats = bundle.log_prob(x, condition=condition, seed=_SEED)
        metrics["test_bits_per_dim"] = round(float(-nats.mean()) / (math.prod(bundle.event_shape) * math.log(2)), 4)
    return metrics, told


def compared(card: ModelCard, metrics: Mapping[str, float]) -> str:
    """One line with the new figures and those of the card."""
    parts = []
    for name, value in metrics.items():
        metric = card.metrics[name]
        before = metric.get("value") if isinstance(metric, Mapping) else metric
        parts.append(f"{name.replace('_', ' ')} {value:g} (the card says {before:g})")
    return ", ".join(parts)


def _data(card: ModelCard) -> tuple[Dataset, str | None]:
    """The data that the model was trained on, with its options, and a sentence where these are not known.

    Raises:
        ConfigError: the card does not state the data.
        ZooError: the data cannot be loaded.
    """
    from zoo.training.data import data_of_model, trained_on

    registry, trained = installed(), trained_on(card)
    if trained is None:
        raise ConfigError("the card does not state the data set")
    told = f"the card does not state the options of {trained.name}: its defaults are taken"
    data = data_of_model(trained, trained.options or {}, registry)
    return data, told if trained.options is None else None


def _agreement(bundle: BundledModel, data: Dataset) -> float:
    from zoo.metrics.agreement import classify_samples, train_classifier

    classes = (np.arange(_SAMPLES) % len(data.labels)).astype(np.int32)
    samples = bundle.sample(_SAMPLES, condition=classes, seed=_SEED)
    return classify_samples(train_classifier(data), data, samples, classes).agreement
