"""Images as one tiled picture, with small ones enlarged."""

from __future__ import annotations

import io
import math
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.render.metadata import in_png, of_png

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

_WANTED_TILE = 84  # in pixels: a 28 x 28 digit is enlarged threefold
_LARGEST_SIDE = 4000
_GAP = 2
_BACKGROUND = 224  # light grey, visible against white pages, black tiles and white tiles


@dataclass(frozen=True)
class Layout:
    """Where images lie in a picture of all of them.

    Attributes:
        n: number of images.
        columns: of the picture, in images.
        factor: by which each is enlarged.
    """

    n: int
    columns: int
    factor: int

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Width and height of the picture in pixels, for images of this height and width."""
        rows = -(-self.n // self.columns)
        return _GAP + self.columns * (width * self.factor + _GAP), _GAP + rows * (height * self.factor + _GAP)

    def images(self, picture: NDArray[np.uint8], height: int, width: int) -> NDArray[np.uint8]:
        """The images ``[n, height, width, channels]`` in a picture ``[rows, columns, channels]`` of them."""
        high, wide = (side * self.factor for side in (height, width))
        corners = [divmod(i, self.columns) for i in range(self.n)]
        tiles = [
            picture[(y := _GAP + row * (high + _GAP)) : y + high, (x := _GAP + column * (wide + _GAP)) : x + wide]
            for row, column in corners
        ]
        return np.stack(tiles)[:, :: self.factor, :: self.factor]


def layout_of(images: Array, classes: Array | None = None, columns: int | None = None) -> Layout:
    """A layout of images ``[n, channels, height, width]``, small ones enlarged; arguments as of :func:`draw_images`."""
    n, _, height, width = images.shape
    factor = max(1, round(_WANTED_TILE / max(height, width)))
    columns = columns or grid_columns(n, classes, height / width)
    longest = max(Layout(n, columns, factor).size(height, width))
    if longest > _LARGEST_SIDE:
        factor = max(1, factor * _LARGEST_SIDE // longest)
    return Layout(n, columns, factor)


def draw_images(
    images: Array,
    *,
    classes: Array | None = None,
    levels: int | None = None,
    value_range: tuple[float, float] | None = None,
    columns: int | None = None,
) -> bytes:
    """A PNG of all images, row by row, which says how they lie in it, so that they can be read back.

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
    layout = layout_of(images, classes, columns)
    tiles = shades.repeat(layout.factor, axis=2).repeat(layout.factor, axis=3)
    tiled = tile(tiles, layout.columns)
    buffer = io.BytesIO()
    Image.fromarray(tiled.squeeze(-1) if shades.shape[1] == 1 else tiled).save(buffer, "PNG", optimize=True)
    return in_png(buffer.getvalue(), {"images": asdict(layout)})


def on_white(image: Picture) -> Picture:
    """A picture of Pillow's without transparency: what shows through is white, as of training data."""
    from PIL import Image

    if image.mode not in ("RGBA", "LA", "PA") and "transparency" not in image.info:
        return image
    coloured = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", coloured.size, "white"), coloured)


def layout_in(path: Path) -> Layout | None:
    """The layout that a picture states; None for other files."""
    stated = of_png(path).get("images")
    if not isinstance(stated, dict):
        return None
    sizes = {name: size for name in ("n", "columns", "factor") if type(size := stated.get(name)) is int}
    if len(sizes) < 3 or not all(0 < size < 1 << 20 for size in sizes.values()):
        return None
    return Layout(**sizes)


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
