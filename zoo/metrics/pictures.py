"""How far pictures that are drawn from other pictures, restyled or enlarged ones, are from the held-out truth."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array, Float64Array
from zoo.metrics.evaluation import Evaluation, Metrics
from zoo.parts import Part

#: standard deviation and width of the window of SSIM, in pixels, and its constants (Wang et al. 2004, section III.B)
_WINDOW_STD, _WINDOW, _K1, _K2 = 1.5, 11, 0.01, 0.03
Measure = Callable[[Float64Array, Float64Array], Float64Array]


def reconstruction(evaluation: Evaluation) -> Metrics:
    """``picture_error``, ``picture_psnr`` and ``picture_ssim`` of samples given the pictures of test samples.

    Each stands beside that of the given picture itself, enlarged by Pillow's bicubic filter where it is smaller, and
    beside that of the mean of as many samples of a test sample as were drawn, if several were: the mean has the least
    squared error, and is blurred where samples differ. Standard errors are over test samples.

    Empty unless events are pictures of known levels, and one part of the condition is a picture of as many channels.
    """
    part, drawn, levels = _source_picture(evaluation), None, evaluation.data.levels
    if part is not None and levels is not None:
        drawn = evaluation.drawn
    if part is None or levels is None or drawn is None:
        return {}
    test, high = evaluation.data.test, levels - 1.0
    rows = min(len(test), len(drawn.x))
    rounds = len(drawn.x) // rows
    truth = np.asarray(test.x[:rows], np.float64)
    x = np.asarray(drawn.x[: rounds * rows], np.float64).reshape(rounds, rows, *truth.shape[1:])
    # a level's samples lie between it and the next
    x = np.floor(x).clip(0.0, high)
    condition: Any = test.condition_at(slice(rows))
    shown = condition[part.name] if isinstance(condition, Mapping) else condition
    enlarged = (high * fitted(_shares(part, shown), truth.shape[-2:])).clip(0.0, high)
    measures: dict[str, tuple[Measure, dict[str, object], str]] = {
        "picture_error": (root_mean_square, {"unit": "levels"}, "the root mean square error of pixels"),
        "picture_psnr": (lambda a, b: psnr(a, b, high), {"unit": "dB"}, "the peak signal-to-noise ratio"),
        "picture_ssim": (lambda a, b: ssim(a, b, high), {}, "the structural similarity (at most 1)"),
    }
    metrics: Metrics = {}
    for name, (measure, unit, what) in measures.items():
        each = np.mean([measure(some, truth) for some in x], 0)
        several = {"of_the_mean": round(float(measure(x.mean(0), truth).mean()), 4), "rounds": rounds}
        metrics[name] = {
            "value": round(float(each.mean()), 4),
            **({"standard_error": round(float(each.std(ddof=1) / rows**0.5), 4)} if rows > 1 else {}),
            **unit,
            "of_the_given": round(float(measure(enlarged, truth).mean()), 4),
            **(several if rounds > 1 else {}),
            "of": f"{what} of a sample, given {part.name}, and of the held-out picture",
            "samples": rounds * rows,
        }
    return metrics


def root_mean_square(a: Float64Array, b: Float64Array) -> Float64Array:
    """Of the differences of pictures ``[n, channels, height, width]``: ``[n]``."""
    return np.asarray(np.sqrt(np.square(a - b).mean((1, 2, 3))))


def psnr(a: Float64Array, b: Float64Array, peak: float) -> Float64Array:
    """Peak signal-to-noise ratios in dB ``[n]`` of pictures ``[n, channels, height, width]``; 100 of equal ones."""
    return np.asarray(20.0 * np.log10(peak / np.maximum(root_mean_square(a, b), 1e-5 * peak)))


def ssim(a: Float64Array, b: Float64Array, peak: float) -> Float64Array:
    """Structural similarities ``[n]`` of pictures ``[n, channels, height, width]`` (Wang et al. 2004, eq. 13).

    The mean over channels and all places where a Gaussian window of 11 pixels fits, or one of the smaller side.
    """
    down, across = (_windows(side) for side in a.shape[2:])

    def local(x: Float64Array) -> Float64Array:
        return np.asarray(down @ x @ across.T)

    mean_a, mean_b = local(a), local(b)
    variance_a, variance_b = local(a * a) - mean_a**2, local(b * b) - mean_b**2
    covariance = local(a * b) - mean_a * mean_b
    c1, c2 = (_K1 * peak) ** 2, (_K2 * peak) ** 2
    luminance = (2 * mean_a * mean_b + c1) / (mean_a**2 + mean_b**2 + c1)
    return np.asarray((luminance * (2 * covariance + c2) / (variance_a + variance_b + c2)).mean((1, 2, 3)))


def fitted(pictures: Array, size: tuple[int, ...]) -> Float64Array:
    """Pictures ``[n, channels, height, width]`` of another size, by Pillow's bicubic filter."""
    from PIL import Image

    if pictures.shape[2:] == size:
        return np.asarray(pictures, np.float64)
    n, channels = pictures.shape[:2]
    planes = np.ascontiguousarray(pictures.reshape(n * channels, *pictures.shape[2:]), np.float32)
    resized = [
        np.asarray(Image.fromarray(plane).resize((size[1], size[0]), Image.Resampling.BICUBIC)) for plane in planes
    ]
    return np.stack(resized).reshape(n, channels, *size).astype(np.float64)


def _windows(side: int) -> Float64Array:
    """Gaussian windows at all their places along a side, ``[places, side]``."""
    width = min(_WINDOW, side)
    at = np.arange(side) - np.arange(side - width + 1)[:, None] - (width - 1) / 2
    weights = np.where(np.abs(at) < width / 2, np.exp(-((at / _WINDOW_STD) ** 2) / 2), 0.0)
    return np.asarray(weights / weights.sum(1, keepdims=True))


def _source_picture(evaluation: Evaluation) -> Part | None:
    """The picture that samples are drawn from, or None."""
    condition, event = evaluation.model.condition, tuple(evaluation.data.event_shape)
    pictures = [] if condition is None else [part for part in condition.parts if part.modality == "image"]
    if len(pictures) != 1 or len(event) != 3 or event[0] not in (1, 3) or pictures[0].shape[0] != event[0]:
        return None
    return pictures[0]


def _shares(part: Part, values: Array) -> NDArray[np.float64]:
    """Pictures of a part as shares of its range."""
    low, high = (0.0 if part.minimum is None else part.minimum), (255.0 if part.maximum is None else part.maximum)
    return np.asarray((np.asarray(values, np.float64) - low) / (high - low or 1.0))
