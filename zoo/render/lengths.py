"""Events of variable length in files: with their masks, or without and with a column or an array ``length``."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np

from zoo.arrays import Array
from zoo.errors import DataError
from zoo.lengths import Length
from zoo.modality import Audio, Modality, Text
from zoo.registry.cards import Format
from zoo.render import audio, delimited
from zoo.render.files import PART, condition_in


def read(
    path: Path,
    described: Format,
    arrays_of: Callable[[tuple[int, ...] | None], Mapping[str, Array]],
    event_shape: tuple[int, ...],
    modality: Modality | None,
    length: Length,
) -> tuple[Array, Array | dict[str, Array] | None]:
    """Events ``[n, *event_shape]`` of a file, and its condition.

    Args:
        path: the file.
        described: its format.
        arrays_of: reads it, given the shape of its events; None for rows of numbers.
        event_shape: of an event with its mask.
        modality: what its numbers mean.
        length: the rule by which events end.

    Raises:
        DataError: events of another shape, or a length that is not that of its event.
    """
    content = length.content_shape(event_shape)
    if described.name == "wav":
        assert isinstance(modality, Audio)
        x, sizes = audio.read_lengths(path, modality, content[-1])
        return length.joined(x, sizes, str(path)), None
    texts = isinstance(modality, Text) and described.name == "csv" and "text" in delimited.read(path).header
    if described.name == "csv" and not texts:
        arrays = _columns(path, dict(arrays_of(None)), event_shape, content)
    else:
        arrays = dict(arrays_of(event_shape))
    x = _only(path, arrays)
    stated = arrays.get("length")
    if x.shape in (event_shape, content):
        x = x[None]
        stated = None if stated is None else np.atleast_1d(stated)
    if x.shape[1:] == content != event_shape:
        if stated is None:
            size = content[length.axis]
            raise DataError(
                f"{path} has events of shape {list(content)} without saying where they end",
                hint=f"Add their lengths, 0 to {size}, as an array length, or the mask as number {length.mask}.",
            )
        x = length.joined(x, stated, str(path))
    elif stated is not None and x.shape[1:] == event_shape and not np.array_equal(length.lengths(x), stated):
        raise DataError(f"{path} states lengths of events that are not those of its samples")
    return x, condition_in(arrays)


def _columns(
    path: Path, arrays: dict[str, Array], event_shape: tuple[int, ...], content: tuple[int, ...]
) -> dict[str, Array]:
    """The columns of a table of numbers as events, and the last of them as lengths where there is one more."""
    rows = arrays.get("samples")
    if rows is None:
        return arrays
    for shape in dict.fromkeys((event_shape, content)):
        size = math.prod(shape)
        if rows.shape[1] == size:
            return {**arrays, "samples": rows.reshape(-1, *shape)}
        # an event without its mask has fewer columns than one with it, unless it is of one position
        if rows.shape[1] == size + 1:
            return {**arrays, "samples": rows[:, :-1].reshape(-1, *shape), "length": rows[:, -1]}
    raise DataError(f"{path} has {rows.shape[1]} columns of data; an event takes {math.prod(event_shape)}")


def _only(path: Path, arrays: Mapping[str, Array]) -> Array:
    rest = [name for name in arrays if name not in ("condition", "about", "length") and not name.startswith(PART)]
    if "samples" not in arrays and len(rest) != 1:
        raise DataError(f"{path} holds {', '.join(rest) or 'nothing'}; a single array is expected")
    return arrays["samples"] if "samples" in arrays else arrays[rest[0]]
