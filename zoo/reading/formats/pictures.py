"""Folders of pictures of any size and kind, read by Pillow: in memory if they fit, else as they are needed."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.data.lazy import Lazy
from zoo.errors import ConfigError, DataError, UnknownNameError
from zoo.files import reason_of
from zoo.reading.content import Samples
from zoo.reading.formats import folders
from zoo.render.images import on_white

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff", ".ppm", ".pgm"})
FITS = ("crop", "stretch", "pad")
#: pictures that take more bytes than this are decoded as they are needed
IN_MEMORY = 1 << 29
_GREY = {"1", "L", "LA", "I;16", "I;16B", "I;16L", "I", "F"}
_DEEP = {"I;16", "I;16B", "I;16L", "I"}
_WORKERS = 8
#: the EXIF tag of the orientation, of which 5 to 8 swap width and height
_ORIENTATION, _TRANSPOSED = 0x0112, 5


def recognises(folder: Path) -> bool:
    """Whether a folder holds pictures."""
    return folders.has(folder, SUFFIXES)


class Pictures(Lazy):
    """Pictures ``[n, channels, height, width]`` that are decoded as they are asked for, by several threads.

    Args:
        sources: files, or the content of files.
        shape: of one picture.
        deep: whether its shades have 16 bits.
        fit: what is done to pictures of another size, of :data:`FITS`; empty for nothing.
    """

    def __init__(self, sources: Sequence[Path | bytes], shape: tuple[int, int, int], *, deep: bool, fit: str) -> None:
        self.sources, self.event, self.deep, self.fit = list(sources), shape, deep, fit
        # torch has few operations for unsigned 16-bit numbers
        self.shape, self.dtype = (len(self.sources), *shape), np.dtype(np.int32 if deep else np.uint8)
        self.workers = min(_WORKERS, os.cpu_count() or 1)

    def rows(self, indices: NDArray[np.int64]) -> Array:
        """The pictures at these places. Pillow decodes outside of Python's lock, so threads are enough."""
        with ThreadPoolExecutor(self.workers) as pool:
            decoded = list(pool.map(lambda i: self._decoded(self.sources[i]), indices.tolist()))
        return np.stack(decoded) if decoded else np.empty((0, *self.event), self.dtype)

    def _decoded(self, source: Path | bytes) -> Array:
        with opened(source) as image:
            try:
                array = _pixels(image, self.event, self.deep, self.fit)
            except (OSError, ValueError, SyntaxError) as error:
                raise _unreadable(source, error) from error
        if array.shape != self.event:
            raise DataError(
                f"{_told(source)} is not of {self.event[2]}×{self.event[1]} pixels when it is turned upright"
            )
        return array.astype(self.dtype)


def read(
    folder: Path,
    *,
    resize: int | Sequence[int] = 0,
    fit: str = "crop",
    channels: int = 0,
    classes: bool = True,
) -> Samples:
    """Pictures of a folder; its subfolders are their classes.

    Args:
        folder: the folder.
        resize: side of squares, or height and width; 0 for pictures that all have one size.
        fit: how a picture of other proportions gets this size: ``"crop"`` cuts its middle out, ``"stretch"`` distorts
            it, ``"pad"`` adds black.
        channels: 1 or 3; 0 takes 1 where all are grey, else 3. Transparent ones are laid on white.
        classes: whether folders are classes.

    Raises:
        DataError: no pictures, one that cannot be read, or different sizes and no ``resize``.
    """
    listed = folders.listing(folder, SUFFIXES, classes=classes)
    return of_sources(
        listed.files,
        resize=resize,
        fit=fit,
        channels=channels,
        name=str(folder),
        classes=listed.classes,
        labels=listed.labels,
        splits=listed.splits,
    )


def of_sources(
    sources: Sequence[Path | bytes],
    *,
    resize: int | Sequence[int],
    fit: str,
    channels: int,
    name: str,
    **more: Any,
) -> Samples:
    """Pictures of files or of their content; the arguments are those of :func:`read`.

    Args:
        more: ``classes``, ``labels`` and ``splits``, as of :class:`~zoo.reading.formats.folders.Listing`.
    """
    if fit not in FITS:
        raise UnknownNameError("way to fit pictures", fit, FITS)
    if channels not in (0, 1, 3):
        raise ConfigError(f"pictures have 1 or 3 channels, not {channels}")
    looked_at = [_looked_at(source) for source in sources]
    sizes = Counter(size for size, _, _, _ in looked_at)
    modes = {mode for _, mode, _, _ in looked_at}
    if "F" in modes:
        raise DataError(f"{name} has pictures of floating-point shades, whose range is not known: save them as .npy")
    clear = sum(transparent for _, _, transparent, _ in looked_at)
    finer = sum(more for _, _, _, more in looked_at)
    if not resize and len(sizes) > 1:
        common = ", ".join(f"{w}×{h} ({count:,})" for (w, h), count in sizes.most_common(3))
        raise DataError(
            f"the pictures of {name} have {len(sizes)} different sizes: {common}{', ...' if len(sizes) > 3 else ''}",
            hint="Give them one size: --resize 32.",
        )
    height, width = _size(resize) if resize else next(iter(sizes))[::-1]
    channels = channels or (1 if modes <= _GREY and not clear else 3)
    deep = modes <= _DEEP and channels == 1
    pictures = Pictures(sources, (channels, height, width), deep=deep, fit=fit if resize else "")
    notes = [f"{clear:,} pictures have transparent parts, which are laid on white"] if clear else []
    if modes & _DEEP and not deep:
        notes.append("16-bit pictures among 8-bit ones are reduced to 8 bits")
    if finer:
        notes.append(f"{finer:,} pictures with 16 bits per channel are reduced to 8 bits")
    size = int(np.prod(pictures.shape)) * pictures.dtype.itemsize
    if size > IN_MEMORY:
        notes.append(f"the pictures would take {size >> 20:,} MB, and are read as they are needed")
    return Samples(
        np.asarray(pictures) if size <= IN_MEMORY else pictures,
        condition=more.get("classes"),
        labels=more.get("labels", ()),
        levels=65_536 if deep else 256,
        splits=more.get("splits"),
        notes=tuple(notes),
    )


def opened(source: Path | bytes) -> Picture:
    """A picture, of which only the head is read so far.

    Raises:
        DataError: it is not a picture.
    """
    import io

    from PIL import Image

    try:
        return Image.open(source if isinstance(source, Path) else io.BytesIO(source))
    except Exception as error:  # Pillow raises exceptions of many classes
        raise DataError(f"cannot read {_told(source)}: {error}") from error


def _told(source: Path | bytes) -> str:
    return str(source) if isinstance(source, Path) else "a picture"


def _looked_at(source: Path | bytes) -> tuple[tuple[int, int], str, bool, bool]:
    """Width and height, mode, whether it may be transparent, and whether Pillow leaves out half of its bits."""
    with opened(source) as image:
        try:
            # the only place where Pillow says how the numbers of a file are packed, until it has loaded them
            packed = [str(tile[3]) for tile in getattr(image, "tile", ())]
            transparent = image.mode in ("RGBA", "LA", "PA") or "transparency" in image.info
            grey = image.mode == "P" and image.palette is not None and _grey_palette(image)
            turned = image.getexif().get(_ORIENTATION, 1) >= _TRANSPOSED  # which Pillow loads a .png for
        except (OSError, ValueError, SyntaxError) as error:
            raise _unreadable(source, error) from error
        finer = image.mode not in _DEEP and any(";16" in each for each in packed)
        return image.size[::-1] if turned else image.size, "L" if grey else image.mode, transparent, finer


def _unreadable(source: Path | bytes, error: Exception) -> DataError:
    return DataError(f"cannot read {_told(source)}: {reason_of(error)}")


def _grey_palette(image: Picture) -> bool:
    colours = image.getpalette("RGB") or []
    return all(len(set(colours[i : i + 3])) == 1 for i in range(0, len(colours), 3))


def _size(resize: int | Sequence[int]) -> tuple[int, int]:
    both = (resize, resize) if isinstance(resize, int) else tuple(resize)
    if len(both) != 2 or not all(isinstance(side, int) and 1 <= side <= 8192 for side in both):
        raise ConfigError(f"resize is a side, or height and width, from 1 to 8192, not {resize!r}")
    return both[0], both[1]


def _pixels(image: Picture, event: tuple[int, int, int], deep: bool, fit: str) -> Array:
    """``[channels, height, width]`` of a picture, upright, of the wanted size if ``fit`` says how."""
    from PIL import ImageOps

    channels, height, width = event
    upright = ImageOps.exif_transpose(image)
    if upright.mode in _DEEP:
        _check_shades(upright)
    if deep:
        plane = _fitted(upright.convert("F"), (width, height), fit)
        shades: Array = np.rint(np.asarray(plane)).clip(0, 65_535)[None]
        return shades
    if upright.mode in _DEEP:
        grey = np.asarray(upright.convert("F")) / 257.0
        from PIL import Image

        upright = Image.fromarray(grey.clip(0, 255).astype(np.uint8))
    upright = on_white(upright).convert("L" if channels == 1 else "RGB")
    array = np.asarray(_fitted(upright, (width, height), fit))
    return array[None] if channels == 1 else array.transpose(2, 0, 1)


def _check_shades(image: Picture) -> None:
    """Refuse shades of 32 bits beyond those of 16."""
    low, high = (float(value) for value in image.convert("F").getextrema())  # type: ignore[arg-type]
    if low < 0 or high > 65_535:
        raise ValueError(f"its shades go from {low:g} to {high:g}, beyond 16 bits: save it as .npy")


def _fitted(image: Picture, size: tuple[int, int], fit: str) -> Picture:
    """A picture of this width and height."""
    from PIL import Image, ImageOps

    if not fit or image.size == size:
        return image
    filtered = Image.Resampling.LANCZOS if image.mode != "F" else Image.Resampling.BOX
    if fit == "stretch":
        return image.resize(size, filtered)
    return (ImageOps.fit if fit == "crop" else ImageOps.pad)(image, size, filtered)
