"""Does a sample show the class that was asked for? A small classifier, trained on the real data, is the judge."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor, nn

from zoo.data import Dataset, Split
from zoo.errors import DataError

_BATCH, _STEPS = 128, 1200


class Judge(nn.Module):
    """Two convolutions and two dense layers, after LeCun et al. 1998, with dropout.

    Args:
        event_shape: (channels, height, width), sides divisible by 4.
        classes: how many.
        levels: data are 0 … levels.
    """

    def __init__(self, event_shape: tuple[int, ...], classes: int, levels: int) -> None:
        super().__init__()
        channels, height, width = event_shape
        self.levels = levels
        self.conv1 = nn.Conv2d(channels, 32, 5, padding=2)
        self.conv2 = nn.Conv2d(32, 64, 5, padding=2)
        self.dense1 = nn.Linear(64 * (height // 4) * (width // 4), 256)
        self.dense2 = nn.Linear(256, classes)

    def forward(self, x: Tensor) -> Tensor:
        """Data ``[n, c, h, w]`` to logits ``[n, classes]``."""
        logits: Tensor = self.dense2(F.dropout(self.features(x), 0.5, self.training))
        return logits

    def features(self, x: Tensor) -> Tensor:
        """Data ``[n, c, h, w]`` to what the last layer sees ``[n, 256]``."""
        h = F.max_pool2d(F.relu(self.conv1(x / self.levels)), 2)
        h = F.max_pool2d(F.relu(self.conv2(h)), 2)
        return F.relu(self.dense1(h.flatten(1)))


@dataclass(frozen=True)
class Verdict:
    """How often the judge sees the class that was asked for, and how often it is right on real data."""

    agreement: float
    samples: int
    test_accuracy: float


def train_judge(data: Dataset, *, epochs: int | None = None, seed: int = 0) -> Judge:
    """Train a judge on the training split by cross-entropy with AdamW and a one-cycle learning rate.

    Args:
        data: labelled images.
        epochs: how often it sees each; None for as often as makes 1,200 steps, three times for MNIST.
        seed: of its first weights and of the order.

    Raises:
        DataError: the data are not labelled images with levels.
    """
    if data.levels is None or len(data.event_shape) != 3 or data.train.condition is None:
        raise DataError(f"data set {data.name} has no labelled images to train a judge on")
    if epochs is None:
        epochs = math.ceil(_STEPS / max(len(data.train) // _BATCH, 1))
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        judge = Judge(data.event_shape, int(data.train.condition.max()) + 1, data.levels)
        steps = epochs * (len(data.train) // _BATCH)
        optimizer = torch.optim.AdamW(judge.parameters(), weight_decay=1e-2)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 2e-3, total_steps=steps)
        for step in range(steps):
            epoch, position = divmod(step, len(data.train) // _BATCH)
            order = np.random.default_rng([seed, epoch]).permutation(len(data.train))
            x, label = _batch(data.train, order[position * _BATCH : (position + 1) * _BATCH])
            optimizer.zero_grad()
            F.cross_entropy(judge(x), label).backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return judge.eval()


@torch.no_grad()
def accuracy(judge: Judge, split: Split) -> float:
    """Share of a split that the judge labels right."""
    right = 0
    for start in range(0, len(split), 1000):
        x, label = _batch(split, np.arange(start, min(start + 1000, len(split))))
        right += int((judge(x).argmax(1) == label).sum())
    return right / len(split)


def judge_samples(judge: Judge, data: Dataset, samples: NDArray[np.float32], classes: NDArray[np.int32]) -> Verdict:
    """Agreement of samples with the classes they were asked to show.

    Args:
        judge: trained on ``data``.
        data: whose test split the judge is itself measured on.
        samples: ``[n, *event]`` in data units; floored to the levels of the data, as real pixels are.
        classes: ``[n]``.
    """
    levels = data.levels or 256
    split = Split(np.floor(samples).clip(0, levels - 1), classes)
    return Verdict(accuracy(judge, split), len(samples), accuracy(judge, data.test))


@torch.no_grad()
def features(judge: Judge, x: NDArray[np.float32]) -> NDArray[np.float64]:
    """The judge's features of images ``[n, c, h, w]``, ``[n, 256]``."""
    parts = [
        judge.features(torch.from_numpy(x[i : i + 1000].astype(np.float32))).double().numpy()
        for i in range(0, len(x), 1000)
    ]
    return np.concatenate(parts)


def _batch(split: Split, indices: NDArray[np.int64]) -> tuple[Tensor, Tensor]:
    assert split.condition is not None
    x = torch.from_numpy(split.x[indices].astype(np.float32))
    return x, torch.from_numpy(split.condition[indices].astype(np.int64))
