"""The classifier learns to tell classes apart, and is honest about samples that show the wrong one."""

import numpy as np
import pytest

pytest.importorskip("torch")

from zoo.data import Dataset, Split
from zoo.errors import DataError
from zoo.metrics.agreement import classify_samples, train_classifier
from zoo.modality import Audio


def bars(n, seed):
    """8×8 images of a vertical (class 0) or horizontal (class 1) bar, with noise."""
    rng = np.random.default_rng(seed)
    x, label = rng.integers(0, 4, (n, 1, 8, 8)), rng.integers(0, 2, n).astype(np.int32)
    for i, (position, kind) in enumerate(zip(rng.integers(1, 7, n), label, strict=True)):
        x[i, 0, :, position] += 10 * (kind == 0)
        x[i, 0, position, :] += 10 * (kind == 1)
    return Split(x.astype(np.uint8), label)


def test_the_judge_agrees_with_true_classes_and_not_with_false_ones():
    data = Dataset("bars", bars(4000, 0), bars(100, 1), bars(500, 2), levels=16)
    classifier = train_classifier(data, epochs=2)
    fresh = bars(300, 3)
    verdict = classify_samples(classifier, data, fresh.x + np.float32(0.5), fresh.condition)
    assert verdict.test_accuracy > 0.98
    assert verdict.agreement > 0.98
    assert verdict.samples == 300
    assert classify_samples(classifier, data, fresh.x.astype(np.float32), 1 - fresh.condition).agreement < 0.02


def tones(n, seed):
    """Recordings of a tone that rises (class 0) or falls (class 1), anywhere between 500 and 2,000 Hz, with noise."""
    rng = np.random.default_rng(seed)
    label = rng.integers(0, 2, n).astype(np.int32)
    low, t = rng.uniform(500, 1000, (n, 1)), np.linspace(0, 1, 1024)[None]
    bend = np.where(label[:, None] == 0, t, 2 - t) * low
    x = 0.2 * np.sin(2 * np.pi * np.cumsum(bend, axis=1) / 8000) + 0.02 * rng.normal(size=(n, 1024))
    return Split(x[:, None].astype(np.float32), label)


def test_a_judge_listens():
    data = Dataset("tones", tones(1500, 0), tones(10, 1), tones(200, 2), modality=Audio(8000))
    classifier = train_classifier(data, epochs=3)
    fresh = tones(200, 3)
    verdict = classify_samples(classifier, data, fresh.x, fresh.condition)
    assert verdict.test_accuracy > 0.95
    assert verdict.agreement > 0.95
    assert classify_samples(classifier, data, fresh.x, 1 - fresh.condition).agreement < 0.05


def test_a_judge_learns_from_few_data_too():
    data = Dataset("bars", bars(60, 0), bars(10, 1), bars(100, 2), levels=16)
    assert (
        classify_samples(train_classifier(data, epochs=60), data, bars(5, 3).x, bars(5, 3).condition).test_accuracy
        > 0.8
    )


def test_data_without_labels_cannot_be_judged():
    split = Split(np.zeros((4, 2), np.float32))
    with pytest.raises(DataError, match="no labelled images or recordings"):
        train_classifier(Dataset("points", split, split, split))
