"""One part of a condition from a file of its own: a picture, a recording, lines of text, JSON, rows or arrays."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from zoo.arrays import Array
from zoo.conditions import Part
from zoo.errors import ConditionError
from zoo.files import reason_of
from zoo.render.read import TABLES

_LARGEST_JSON = 64 << 20


def read_part(part: Part, path: Path) -> ArrayLike:
    """A part from a file: pixels of a picture are spread over the part's range, lines of text are texts each."""
    from zoo.render import audio
    from zoo.render.formats import is_picture
    from zoo.render.read import read_condition, read_samples

    if path.suffix.lower() == ".txt" and part.modality == "tokens":
        return _lines(path)
    if path.suffix.lower() == ".wav" and part.modality == "audio":
        recording = audio.recording(path)
        return recording if len(part.shape) == 1 else recording[None]
    if is_picture(path):
        if part.modality != "image":
            raise ConditionError(f"{path} is an image, and part {part.name} is {part.modality}")
        low, high = (0.0 if part.minimum is None else part.minimum), (255.0 if part.maximum is None else part.maximum)
        shape = tuple(int(size) for size in part.shape)
        shades, _ = read_samples(path, shape, pictures=True)
        pixels: Array = low + (high - low) / 255.0 * (shades if len(shades) > 1 else shades[0]).astype(np.float64)
        return pixels.astype(np.float32)
    if path.suffix.lower() == ".json":
        value: ArrayLike = read_json(path)
        return value
    values = read_condition(path)
    if path.suffix.lower() not in TABLES:
        return values
    cells: ArrayLike = as_texts(values) if part.modality == "classes" and part.labels else in_rows(part, values)
    return cells


def as_texts(values: Any) -> Any:
    """Whole numbers as the labels that they may be."""
    return values.astype(str) if isinstance(values, np.ndarray) and values.dtype.kind in "iu" else values


def in_rows(part: Part, values: Any) -> Any:
    """The cells of one column as rows, for a part of one number."""
    return values[:, None] if part.shape == (1,) and isinstance(values, np.ndarray) and values.ndim == 1 else values


def _lines(path: Path) -> list[str]:
    """The lines of a text."""
    try:
        return path.read_text("utf-8").splitlines()
    except (OSError, ValueError) as error:
        raise ConditionError(f"cannot read {path}: {reason_of(error)}") from error


def read_json(path: Path) -> Any:
    """The value of a JSON file, which is checked where a part reads it."""
    try:
        if path.stat().st_size > _LARGEST_JSON:
            raise ConditionError(f"{path} is too large for a condition in JSON")
        return json.loads(path.read_text("utf-8"))
    except (OSError, ValueError, RecursionError) as error:
        raise ConditionError(f"cannot read {path}: {reason_of(error)}") from error
