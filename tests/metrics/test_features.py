"""Fréchet and kernel distance of pictures and recordings in stated features."""

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("torch")

from zoo.data import Dataset, Split
from zoo.errors import PluginError
from zoo.metrics.distance import kernel_distance
from zoo.metrics.evaluation import Evaluation
from zoo.metrics.features import feature_metrics, mel_features
from zoo.modality import Audio


class Model:
    condition, levels = None, None

    def __init__(self, x):
        self.x, self.event_shape = x, x.shape[1:]
        self.manifest = SimpleNamespace(sample=object(), log_prob=None, density="none", length=None)

    def sample(self, n, *, seed, condition, progress):
        return self.x[:n].astype(np.float32)


def evaluation(drawn, real, **options):
    names = ("levels", "modality")
    data = {name: options.pop(name) for name in names if name in options}
    half = len(real) // 2
    splits = Split(real[:half]), Split(real[:half]), Split(real[half:])
    return Evaluation(model=Model(drawn), data=Dataset("d", *splits, **data), samples=len(drawn), **options)


def pictures(n, stripe, seed):
    """Grey pictures with stripes that are so many pixels wide, and noise."""
    random = np.random.default_rng(seed)
    x = 128 + 80 * np.sign(np.sin(np.pi * (np.arange(16) + random.integers(16, size=(n, 1))) / stripe))
    shades = x[:, None, None] + random.normal(0, 20, (n, 1, 16, 16))
    return shades.clip(0, 255).astype(np.uint8)


def test_the_kernel_distance_is_that_of_its_definition():
    random = np.random.default_rng(0)
    a, b = random.normal(size=(6, 3)), random.normal(size=(5, 3)) + 1

    def mean(x, y, own):
        return np.mean([(p @ q / 3 + 1) ** 3 for i, p in enumerate(x) for j, q in enumerate(y) if not own or i != j])

    assert kernel_distance(a, b) == pytest.approx(mean(a, a, True) + mean(b, b, True) - 2 * mean(a, b, False))


def test_pictures_without_labels_are_compared_in_features_that_see_their_texture():
    real = pictures(400, 2, 0)
    right = feature_metrics(evaluation(pictures(200, 2, 1), real, levels=256))
    # stripes of another width, of the same shades
    wrong = feature_metrics(evaluation(pictures(200, 4, 1), real, levels=256))
    assert set(right) == {
        *("frechet_distance", "kernel_distance"),
        *("precision", "recall", "prdc_density", "prdc_coverage"),
    }
    assert "random weights" in right["frechet_distance"]["of"]
    for name in ("frechet_distance", "kernel_distance"):
        assert wrong[name]["of_training_data"] == right[name]["of_training_data"]
        assert wrong[name]["value"] > 10 * abs(right[name]["value"])
    assert wrong["precision"]["value"] < 0.1 < 0.7 < right["precision"]["value"]
    again = feature_metrics(evaluation(pictures(200, 2, 1), real, levels=256))
    assert again == right


def test_recordings_are_compared_by_their_bands():
    random = np.random.default_rng(0)
    time = np.arange(1600) / 8000

    def tones(hertz, n=60):
        return (0.3 * np.sin(2 * np.pi * hertz * time + random.uniform(0, 6, (n, 1, 1)))
                + 0.01 * random.normal(size=(n, 1, 1600))).astype(np.float32)  # fmt: skip

    real = tones(440, 120)
    right, wrong = (feature_metrics(evaluation(tones(f), real, modality=Audio(8000))) for f in (440, 880))
    assert "mel bands in dB" in right["frechet_distance"]["of"]
    assert wrong["frechet_distance"]["value"] > 10 * right["frechet_distance"]["value"]
    loudest = mel_features(real[:1], 8000)[0, :40].argmax()
    assert mel_features(tones(880, 1), 8000)[0, :40].argmax() > loudest


def test_features_of_code_are_those_that_it_makes():
    real = pictures(40, 2, 0)
    means = ("mine:means", lambda x: x.mean((2, 3)))
    told = feature_metrics(evaluation(real[:20] + np.uint8(7), real, levels=256, features=means))
    assert told["frechet_distance"]["of"].endswith("the features of mine:means")
    for bad in (lambda x: x, lambda x: x.mean((2, 3)) * np.nan):
        with pytest.raises(PluginError, match="mine:bad: 20 samples have features of shape"):
            feature_metrics(evaluation(real[:20], real, levels=256, features=("mine:bad", bad)))
    assert feature_metrics(evaluation(np.zeros((9, 2)), np.zeros((18, 2)))) == {}
