"""Images as one tiled picture, with small ones enlarged."""

from __future__ import annotations

import io
import math

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array

_WANTED_TILE = 84  # in pixels: a 28 x 28 digit is enlarged threefold
_LARGEST_SIDE = 4000
_GAP = 2
_BACKGROUND = 224  # light grey, visible against white pages, black tiles and white tiles


def draw_images(
    images: Array,
    *,
    classes: Array | None = None,
    levels: int | None = None,
    value_range: tuple[float, float] | None = None,
    columns: int | None = None,
) -> bytes:
    """A PNG of all images, row by row.

    Args:
        images: ``[n, 1 or 3, height, width]``.
        classes: ``[n]``; if they alternate (0, 1, ..., k-1, 0, ...) equally often, each column holds one class.
        levels: number of values of discrete data: dequantised values in [v, v + 1) are shown as v.
        value_range: (black, white); None takes [0, levels - 1], or the images' own range.
        columns: None chooses automatically.

    Returns:
        the file's content.
    """
    from PIL import Image

    shades = to_bytes(images, levels=levels, value_range=value_range)
    n, _, height, width = shades.shape
    factor = max(1, round(_WANTED_TILE / max(height, width)))
    columns = columns or grid_columns(n, classes, height / width)
    rows = -(-n // columns)
    longest = max(rows * (height * factor + _GAP), columns * (width * factor + _GAP))
    if longest > _LARGEST_SIDE:
        factor = max(1, factor * _LARGEST_SIDE // longest)
    tiles = shades.repeat(factor, axis=2).repeat(factor, axis=3)
    picture = Image.fromarray(tile(tiles, columns).squeeze(-1) if shades.shape[1] == 1 else tile(tiles, columns))
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", optimize=True)
    return buffer.getvalue()


def to_bytes(
    images: Array, *, levels: int | None = None, value_range: tuple[float, float] | None = None
) -> NDArray[np.uint8]:
    """Data units to 0 ... 255."""
    values = np.asarray(images, np.float64)
    if levels is not None and value_range is None:
        # a sample may equal `levels`, the end of the clipped range
        values, value_range = np.floor(values), (0.0, max(levels - 1.0, 1.0))
    low, high = value_range or (float(values.min()), float(values.max()))
    unit = (values - low) / (high - low) if high > low else np.full_like(values, 0.5)
    return np.rint(unit.clip(0.0, 1.0) * 255.0).astype(np.uint8)


def grid_columns(n: int, classes: Array | None, aspect: float) -> int:
    """The number of columns for a roughly square picture, or for one with a class in every column.

    Args:
        n: number of tiles.
        classes: ``[n]`` or None.
        aspect: height of a tile over its width.
    """
    if classes is not None and n > 1:
        k = int(classes.max()) + 1
        if 1 < k <= 32 and n % k == 0 and np.array_equal(classes, np.arange(n) % k):
            return k
    ideal = math.sqrt(n * aspect)
    # prefer a complete grid, if one is roughly square
    exact = [c for c in range(1, n + 1) if n % c == 0 and ideal / 1.6 <= c <= ideal * 1.6]
    return (
        min(exact, key=lambda c: (round(abs(math.log(c / ideal)), 6), -c))
        if exact
        else min(max(1, math.ceil(ideal)), n)
    )


def tile(tiles: NDArray[np.uint8], columns: int) -> NDArray[np.uint8]:
    """``[n, channels, height, width]`` to one ``[rows, columns, channels]`` picture with small gaps."""
    n, channels, height, width = tiles.shape
    rows = -(-n // columns)
    shape = (rows * (height + _GAP) + _GAP, columns * (width + _GAP) + _GAP, channels)
    canvas = np.full(shape, _BACKGROUND, np.uint8)
    for i, image in enumerate(tiles):
        y, x = _GAP + (i // columns) * (height + _GAP), _GAP + (i % columns) * (width + _GAP)
        canvas[y : y + height, x : x + width] = image.transpose(1, 2, 0)
    return canvas
