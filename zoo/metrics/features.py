"""Pictures and recordings compared in features: the Fréchet and kernel distance, and their nearest neighbours."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.arrays import Array, Float64Array
from zoo.data import Dataset
from zoo.errors import PluginError
from zoo.metrics.agreement import as_real, classifier_of, features
from zoo.metrics.classifiers import has_classifier, mel_bands
from zoo.metrics.distance import frechet_distance, kernel_distance
from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.metrics.neighbours import prdc
from zoo.metrics.options import at_least
from zoo.modality import Audio

#: samples of each set whose neighbours are looked for, at most, and samples at a time
_MOST, _BATCH = 2000, 250
_CHANNELS = (32, 64, 96)

#: samples ``[n, *event]`` in data units to features ``[n, k]``
Extractor = Callable[[Array], Float64Array]


@dataclass(frozen=True)
class Features:
    """What pictures or recordings are compared by.

    Attributes:
        of: what the features are, in a few words.
        extract: samples to their features.
        judged: whether they are those of the classifier that the metric ``classifier`` uses too.
    """

    of: str
    extract: Extractor
    judged: bool = False


def feature_metrics(evaluation: Evaluation, *, neighbour: int = 5) -> Metrics:
    """``frechet_distance``, ``kernel_distance`` and those of :func:`~zoo.metrics.neighbours.prdc` in stated features.

    The features are those of ``zoo eval --features``, else of a classifier of the real data where they have labels,
    else of a network with random weights, or the mel bands of recordings. Known as FID and KID for features of
    Inception; in others the values are not comparable with these. Empty for data that are neither pictures nor
    recordings. Where the features are the classifier's, the metric ``classifier`` has the Fréchet distance.

    Args:
        evaluation: the model and its data.
        neighbour: number of the neighbour whose distance is the reach of a sample.

    Raises:
        UsageError: no neighbour.
        PluginError: features that are no finite numbers ``[n, k]``.
    """
    at_least(1, neighbour=neighbour)
    data = evaluation.data
    pictures = len(data.event_shape) == 3 and data.event_shape[0] in (1, 3) and min(data.event_shape[1:]) >= 4
    if not (pictures or isinstance(data.modality, Audio)) or evaluation.drawn is None:
        return {}
    if evaluation.model.manifest.length is not None:
        return {}
    chosen = features_of(evaluation)
    count = min(len(evaluation.drawn.x), len(data.test), len(data.train), _MOST)
    rows = np.random.default_rng(evaluation.seed + 1).permutation(len(data.train))[:count]
    sets = (as_real(data, evaluation.drawn.x[:count]), data.test.x[:count], data.train.x[rows])
    drawn, held_out, training = (_extracted(chosen, each) for each in sets)
    distances = {
        "kernel_distance": (kernel_distance, "the squared maximum mean discrepancy with a cubic kernel, unbiased"),
        "frechet_distance": (frechet_distance, "of the normals with the means and covariances of both"),
    }
    if chosen.judged:
        del distances["frechet_distance"]
    metrics: Metrics = {
        name: {
            "value": round(measure(drawn, held_out), 5),
            "of_training_data": round(measure(training, held_out), 5),
            "of": f"{what}; of samples and held-out data, in {chosen.of}",
            "samples": count,
        }
        for name, (measure, what) in distances.items()
    }
    return metrics | prdc(drawn, held_out, training, chosen.of, neighbour)


def features_of(evaluation: Evaluation) -> Features:
    """The features that the data are compared in, see :func:`feature_metrics`."""
    data = evaluation.data
    if evaluation.features is not None:
        return Features(f"the features of {evaluation.features[0]}", evaluation.features[1])
    if has_classifier(data) and data.labels and data.test.condition is not None:
        classifier = classifier_of(evaluation)
        return Features("the features of a classifier of the real data", lambda x: features(classifier, x), True)
    if isinstance(data.modality, Audio):
        rate = data.modality.sample_rate
        return Features("means and deviations of 40 mel bands in dB", lambda x: mel_features(x, rate))
    low, high = (0.0, float(data.levels)) if data.levels else _range(data)
    network = RandomNetwork(data.event_shape[0])
    return Features(
        "the features of a convolutional network with random weights", lambda x: network.features(x, low, high)
    )


def _range(data: Dataset) -> tuple[float, float]:
    some = np.asarray(data.train.x[:1000], np.float64)
    return float(some.min()), max(float(some.max()), float(some.min()) + 1e-12)


def _extracted(chosen: Features, x: Array) -> Float64Array:
    """Features of samples, checked, some at a time."""
    parts = []
    for start in range(0, len(x), _BATCH):
        batch = np.asarray(x[start : start + _BATCH], np.float32)
        rows = np.asarray(chosen.extract(batch), np.float64)
        if rows.ndim != 2 or len(rows) != len(batch) or not np.isfinite(rows).all():
            raise PluginError(
                f"{chosen.of}: {len(batch)} samples have features of shape {list(rows.shape)}, where finite numbers "
                f"[{len(batch)}, k] are wanted"
            )
        parts.append(rows)
    return np.concatenate(parts)


class RandomNetwork(nn.Module):
    """Three convolutions with fixed random weights; features are mean and deviation of each of their channels.

    Random features tell sets of pictures of any kind apart, where those of a network for photographs may be blind
    (Naeem et al. 2020, arXiv:2002.09797, section 4.3).

    Args:
        channels: of the pictures, 1 or 3.
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        with torch.random.fork_rng():
            torch.manual_seed(0)
            sizes = (channels, *_CHANNELS)
            layers = [nn.Conv2d(a, b, 3, padding=1) for a, b in itertools.pairwise(sizes)]
        for layer in layers:
            nn.init.orthogonal_(layer.weight, 2.0**0.5, generator=torch.Generator().manual_seed(0))
        self.layers = nn.ModuleList(layers)

    @torch.no_grad()
    def features(self, x: Array, low: float, high: float) -> Float64Array:
        """Pictures ``[n, channels, height, width]`` from ``low`` to ``high`` as features ``[n, 384]``."""
        h: Tensor = torch.from_numpy(2.0 * (np.asarray(x, np.float32) - low) / (high - low) - 1.0)
        parts = []
        for layer in self.layers:
            h = F.relu(layer(h))
            parts += [h.mean((2, 3)), h.std((2, 3), correction=0)]
            h = F.avg_pool2d(h, 2) if min(h.shape[2:]) >= 2 else h
        return torch.cat(parts, 1).double().numpy()


def mel_features(x: Array, rate: int) -> Float64Array:
    """Mean and deviation in time of 40 mel bands in dB, ``[n, 80]``, of recordings ``[n, channels, length]``."""
    sound = torch.from_numpy(np.asarray(x, np.float32)).mean(1)
    size = max(round(0.032 * rate), 4)
    window = torch.hann_window(size)
    spectrum = torch.stft(
        sound, size, max(round(0.01 * rate), 1), window=window, center=True, pad_mode="constant", return_complex=True
    )
    power = mel_bands(40, size // 2 + 1, rate) @ (spectrum.abs().square() / window.sum().square())
    decibels = 10.0 * (power + 1e-8).log10()
    return torch.cat([decibels.mean(2), decibels.std(2, correction=0)], 1).double().numpy()
