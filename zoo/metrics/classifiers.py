"""Small classifiers of real data, one for each kind of data."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from typing import ClassVar

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.data import Dataset
from zoo.errors import DataError
from zoo.modality import Audio
from zoo.overriding import override


class Classifier(nn.Module, ABC):
    """Two convolutions and two dense layers, after LeCun et al. 1998, with dropout, over a picture of the data.

    Args:
        picture_shape: (channels, height, width).
        classes: how many.

    Attributes:
        STEPS: sufficient optimizer steps.
    """

    STEPS: ClassVar[int]

    def __init__(self, picture_shape: tuple[int, ...], classes: int) -> None:
        super().__init__()
        channels, height, width = picture_shape
        self.conv1 = nn.Conv2d(channels, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 64, 5, padding=2)
        self.dense1 = nn.Linear(64 * (height // 4) * (width // 4), 256)
        self.dense2 = nn.Linear(256, classes)

    @abstractmethod
    def picture(self, x: Tensor) -> Tensor:
        """Data ``[n, *event]`` as an image ``[n, c, h, w]`` of about unit scale."""

    def features(self, x: Tensor) -> Tensor:
        """Data ``[n, *event]`` to the input of the last layer, ``[n, 256]``."""
        h = F.max_pool2d(F.relu(self.conv1(self.picture(x))), 2)
        h = F.max_pool2d(F.relu(self.conv2(h)), 2)
        return F.relu(self.dense1(h.flatten(1)))

    def forward(self, x: Tensor) -> Tensor:
        """Data ``[n, *event]`` to logits ``[n, classes]``."""
        logits: Tensor = self.dense2(F.dropout(self.features(x), 0.5, self.training))
        return logits


class ImageClassifier(Classifier):
    """The classifier of images, which are their own pictures.

    Args:
        event_shape: (channels, height, width).
        classes: how many.
        levels: data are 0 … levels.
    """

    STEPS = 1200  # three epochs of MNIST

    def __init__(self, event_shape: tuple[int, ...], classes: int, levels: int) -> None:
        super().__init__(event_shape, classes)
        self.levels = levels

    @override
    def picture(self, x: Tensor) -> Tensor:
        return x / self.levels


class AudioClassifier(Classifier):
    """The classifier of recordings, whose picture is the spectrogram, in decibels on the mel scale.

    In training, recordings are shifted by up to a twentieth of their length.

    Args:
        length: samples of a recording.
        sample_rate: samples per second.
        classes: how many.
    """

    STEPS = 300
    BANDS, WINDOW_SECONDS, HOP_SECONDS = 40, 0.032, 0.01

    def __init__(self, length: int, sample_rate: int, classes: int) -> None:
        window, hop = (max(round(s * sample_rate), 4) for s in (self.WINDOW_SECONDS, self.HOP_SECONDS))
        super().__init__((1, self.BANDS, 1 + length // hop), classes)
        self.window, self.hop = window, hop
        self.register_buffer("bands", mel_bands(self.BANDS, window // 2 + 1, sample_rate), persistent=False)
        self.bands: Tensor

    @override
    def picture(self, x: Tensor) -> Tensor:
        """Recordings ``[n, 1, length]`` to ``[n, 1, bands, frames]``, in units of 20 dB."""
        x = x[:, 0]
        if self.training:
            most = x.shape[1] // 20
            x = torch.roll(x, int(torch.randint(-most, most + 1, ())), dims=1)
        window = torch.hann_window(self.window, device=x.device, dtype=x.dtype)
        spectrum = torch.stft(
            x, self.window, self.hop, window=window, center=True, pad_mode="constant", return_complex=True
        )
        # the floor hides everything 80 dB below full scale, where recordings differ only in noise
        power = self.bands @ (spectrum.abs().square() / window.sum().square()) + 1e-8
        return ((power.log10() + 6) / 2)[:, None]


def mel_bands(bands: int, frequencies: int, sample_rate: int) -> Tensor:
    """Triangular filters that overlap by half, ``[bands, frequencies]``, evenly spaced on the mel scale from 60 Hz.

    The mel of O'Shaughnessy 1987 is 1127·ln(1 + f/700).
    """
    top = sample_rate / 2
    ends = [1127 * math.log1p(f / 700) for f in (60.0, top)]
    edges = 700 * torch.expm1(torch.linspace(ends[0], ends[1], bands + 2) / 1127)
    f = torch.linspace(0, top, frequencies)[None]
    low, middle, high = (edges[i : i + bands, None] for i in range(3))
    return torch.minimum((f - low) / (middle - low), (high - f) / (high - middle)).clamp(min=0)


def has_classifier(data: Dataset) -> bool:
    """Whether there is a classifier for this data set: labelled images with levels, or labelled recordings."""
    images = data.levels is not None and len(data.event_shape) == 3
    return (
        (images or isinstance(data.modality, Audio))
        and isinstance(data.train.condition, np.ndarray)
        and data.train.condition.ndim == 1
        and data.train.condition.dtype.kind in "iu"
    )


def classifier_for(data: Dataset) -> Classifier:
    """An untrained classifier.

    Raises:
        DataError: the data are neither labelled images with levels nor labelled recordings.
    """
    if not has_classifier(data):
        raise DataError(f"data set {data.name} has no labelled images or recordings to train a classifier on")
    assert isinstance(data.train.condition, np.ndarray)
    classes = int(data.train.condition.max()) + 1
    if isinstance(data.modality, Audio):
        return AudioClassifier(data.event_shape[-1], data.modality.sample_rate, classes)
    assert data.levels is not None
    return ImageClassifier(data.event_shape, classes, data.levels)
