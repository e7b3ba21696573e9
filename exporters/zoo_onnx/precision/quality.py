"""What rounding costs in the terms of a model's card: classes that are recognised, bits per dimension."""

from __future__ import annotations

import math
from collections.abc import Mapping

import numpy as np

from zoo.data import Dataset
from zoo.errors import ZooError
from zoo.registry import installed
from zoo.registry.cards import ModelCard
from zoo.runtime import BundledModel

_SAMPLES = 200
_SCORED = 1000
_SEED = 1


def measure(card: ModelCard, bundle: BundledModel) -> tuple[dict[str, float], str | None]:
    """The card's metrics again, by the bundle.

    ``class_agreement``
        share of 200 samples whose class a classifier sees that is trained on the card's data, as
        :mod:`zoo.metrics.agreement` has it.
    ``test_bits_per_dim``
        of a model that scores in one call, on the first 1,000 test samples.

    Args:
        card: says which metrics there are, and which data.
        bundle: what is measured.

    Returns:
        the metrics, and why some of them could not be measured, or None.

    Raises:
        RuntimeFailure: ONNX Runtime fails.
    """
    wanted = {"class_agreement", "test_bits_per_dim"} & card.metrics.keys()
    if bundle.manifest.log_prob is None or bundle.manifest.log_prob.estimates:
        wanted.discard("test_bits_per_dim")  # an ODE for each sample: hours
    bits = card.metrics.get("test_bits_per_dim")
    if isinstance(bits, Mapping) and bits.get("noise") == "learned":
        wanted.discard("test_bits_per_dim")  # the network that makes the noise stays in PyTorch
    if not wanted:
        return {}, None
    try:
        data = _data(card)
    except ZooError as error:
        return {}, f"{', '.join(sorted(wanted))} not measured: {error}"
    found = {}
    if "class_agreement" in wanted:
        found["class_agreement"] = _agreement(bundle, data)
    if "test_bits_per_dim" in wanted:
        x, condition = data.test.x[:_SCORED], data.test.condition
        nats = bundle.log_prob(x, condition=None if condition is None else condition[:_SCORED], seed=_SEED)
        found["test_bits_per_dim"] = round(float(-nats.mean()) / (math.prod(bundle.event_shape) * math.log(2)), 4)
    return found, None


def compared(card: ModelCard, found: Mapping[str, float]) -> str:
    """One line that has the card's figures beside the new ones."""
    said = []
    for name, value in found.items():
        metric = card.metrics[name]
        before = metric.get("value") if isinstance(metric, Mapping) else metric
        said.append(f"{name.replace('_', ' ')} {value:g} (the card says {before:g})")
    return ", ".join(said)


def _data(card: ModelCard) -> Dataset:
    from zoo.training.run import load_data

    registry = installed()
    return load_data(registry.dataset(str(card.data.get("name", ""))), {}, registry)


def _agreement(bundle: BundledModel, data: Dataset) -> float:
    from zoo.metrics.agreement import classify_samples, train_classifier

    classes = (np.arange(_SAMPLES) % len(data.labels)).astype(np.int32)
    samples = bundle.sample(_SAMPLES, condition=classes, seed=_SEED)
    return classify_samples(train_classifier(data), data, samples, classes).agreement
