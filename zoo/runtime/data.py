"""Data to score: checked, and dequantised if discrete."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zoo import noise
from zoo.arrays import Array
from zoo.errors import DataError
from zoo.noise import Stream


def is_discrete(x: Array, levels: int | None) -> bool:
    """Whether data are to be dequantised: integers, for a model of discrete data."""
    return levels is not None and x.dtype.kind in "iu"


def events(
    x: ArrayLike, event_shape: tuple[int, ...], levels: int | None, *, seed: int = 0, first: int = 0
) -> NDArray[np.float32]:
    """Data as float32 ``[n, *event]``, the input of graphs.

    Integers for a model of discrete data get uniform noise in [0, 1) (Theis et al. 2016, section 3.1), specified by
    ``seed`` on :attr:`zoo.noise.Stream.DEQUANTIZE`. Floating-point data is left unchanged.

    Args:
        x: integer or floating-point ``[n, *event]``.
        event_shape: shape of one sample.
        levels: number of values of discrete data, or None.
        seed: key of the dequantisation.
        first: number of the first datum.

    Raises:
        DataError: wrong dtype or shape, no data, values that are not finite, or integers outside [0, levels).
    """
    try:
        x = np.asarray(x)
    except (ValueError, TypeError) as error:
        raise DataError(f"the data is not an array: {error}") from error
    if x.dtype.kind not in "iuf":
        raise DataError(f"the data is of type {x.dtype}; integers or floating-point numbers are needed")
    if x.shape[1:] != event_shape or x.ndim != 1 + len(event_shape):
        expected = ", ".join(("n", *map(str, event_shape)))
        raise DataError(f"the data has shape {x.shape}, expected ({expected})")
    if len(x) == 0:
        raise DataError("there is no data: its first dimension is 0")
    discrete = is_discrete(x, levels)
    if discrete and levels is not None:
        _refuse(x, (x < 0) | (x >= levels), f"outside 0 to {levels - 1}, the values of this model's data,")
    with np.errstate(over="ignore"):
        values: NDArray[np.float32] = x.astype(np.float32)
    _refuse(x, ~np.isfinite(values), "not finite in float32")
    if not discrete:
        return values
    u = noise.uniform(seed, len(x), event_shape, first=first, stream=Stream.DEQUANTIZE)
    # float32 may round 255 + 0.9999999 up to 256, which belongs to the next bin
    dequantised: NDArray[np.float32] = np.minimum(values + u, np.nextafter(values + 1, np.float32(0)))
    return dequantised


def centred(x: ArrayLike, levels: int | None) -> Array:
    """Data to edit: integers of a model of discrete data become the middle of their bins.

    Raises:
        DataError: not an array of numbers.
    """
    try:
        values: Array = np.asarray(x)
    except (ValueError, TypeError) as error:
        raise DataError(f"the data is not an array: {error}") from error
    return np.asarray(values + np.float32(0.5)) if is_discrete(values, levels) else values


def _refuse(x: Array, wrong: NDArray[np.bool_], what: str) -> None:
    if count := int(np.count_nonzero(wrong)):
        first = tuple(int(i) for i in np.argwhere(wrong)[0])
        where = ", ".join(map(str, first))
        raise DataError(f"{count} of {x.size} values are {what} the first at [{where}]: {x[first]}")
