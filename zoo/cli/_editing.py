"""Inputs of ``zoo run`` besides a seed: data, masks, noise, and interpolated noise."""

from __future__ import annotations

import itertools
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from zoo import noise
from zoo.arrays import Array
from zoo.errors import DataError, UsageError
from zoo.modality import Modality
from zoo.samplers.slerp import slerp

if TYPE_CHECKING:
    from zoo.conditions import StoredCondition
    from zoo.lengths import Length
    from zoo.runtime import BundledModel


def read_data(
    path: Path, event_shape: tuple[int, ...], modality: Modality | None = None, length: Length | None = None
) -> tuple[Array, StoredCondition]:
    """Data ``[n, *event]`` (one event becomes n = 1) and its condition, if any; a picture is left as shades."""
    from zoo.render.read import read_samples

    x, condition = read_samples(path, event_shape, modality, pictures=True, length=length)
    return (x[None] if x.shape == event_shape else x), condition


def data_of(x: Array, path: Path, model: BundledModel) -> Array:
    """Data in the model's units: the shades of a picture are scaled from 0 ... 255 to the range of the data."""
    from zoo.render.formats import is_picture

    if not is_picture(path):
        return x
    unit = x / 255.0
    if model.levels is not None:
        return np.rint(unit * (model.levels - 1)).astype(np.int64)
    bounds = model.manifest.main.data_range
    if bounds is None:
        raise DataError(f"{model.name} does not state the range of its data, so {path} cannot be scaled to it")
    return np.asarray(bounds[0] + unit * (bounds[1] - bounds[0]), np.float32)


def read_mask(path: Path, event_shape: tuple[int, ...]) -> Array:
    """A mask, 1 where to sample; white in a picture."""
    from zoo.render.formats import is_picture

    x, _ = read_data(path, event_shape)
    return x / np.float32(255) if is_picture(path) else x


def gaps(x: Array) -> tuple[Array, Array | None]:
    """Texts without their gaps, which are -1, and a mask that is 1 there, or None if there are no gaps."""
    missing = x < 0
    return np.where(missing, 0, x), missing.astype(np.float32) if missing.any() else None


def between(ends: Array, pictures: int) -> Array:
    """Noises ``[rows * pictures, *noise]``: each row goes from one of the ``rows + 1`` ends to the next."""
    if len(ends) < 2:
        raise UsageError("--interpolate needs at least two samples")
    ways = [slerp(a, b, u) for a, b in itertools.pairwise(ends) for u in np.linspace(0.0, 1.0, pictures)]
    return np.stack(ways)


def noises(model: BundledModel, seed: int, n: int, temperature: float | None = None) -> Array:
    """The noise of the first ``n`` samples of a seed, at a temperature or the model's own."""
    scale = model.manifest.sampling.temperature if temperature is None else temperature
    return noise.tempered({"z": noise.normal(seed, n, model.noise_shape)}, scale)["z"]
