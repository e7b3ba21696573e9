"""Arrays read from files, those of :mod:`zoo.render.files` and others. Nothing is unpickled."""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DataError, WeightsError
from zoo.modality import Audio, Modality, Table, Text
from zoo.render import audio, tables, text
from zoo.render.files import check_suffix

Arrays = dict[str, NDArray[Any]]
Content = TypeVar("Content")

#: extension -> content
FORMATS = {
    ".csv": "one row per sample, with or without a header",
    ".npy": "one NumPy array",
    ".npz": "NumPy arrays; the one named samples, or the only one, is read",
    ".safetensors": "tensors; the one named samples, or the only one, is read",
    ".txt": "one text per line, for models of texts",
}


def read_samples(
    path: Path, event_shape: tuple[int, ...], modality: Modality | None = None
) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Data ``[n, *event_shape]`` of a file, and its condition if the file has one.

    Rows of a CSV file are flattened events, without the columns named condition. Columns of a table are matched by
    their headings, and categories by their names. A .wav file contains recordings.

    Raises:
        UsageError: unknown extension.
        DataError: the file is missing, damaged, needs unpickling, or does not contain such data.
    """
    if isinstance(modality, Table) and path.suffix.lower() == ".csv":
        return _table(path, modality)
    if path.suffix.lower() == ".wav":
        if not isinstance(modality, Audio):
            raise DataError(f"{path} is a recording, but this is not a model of recordings")
        return audio.read(path, modality, event_shape[-1]), None
    if path.suffix.lower() == ".txt":
        return _text(path, event_shape, modality), None
    arrays = read_arrays(path)
    x = _main(path, arrays)
    if path.suffix.lower() == ".csv":
        dims = int(np.prod(event_shape))
        if x.shape[1] != dims:
            raise DataError(f"{path} has {x.shape[1]} columns of data; an event of shape {event_shape} takes {dims}")
        x = x.reshape(-1, *event_shape)
    return x, arrays.get("condition")


def read_image(path: Path, event_shape: tuple[int, ...]) -> NDArray[np.uint8]:
    """One image ``[1, *event_shape]``, 0 ... 255, of a PNG of exactly that size; RGB becomes grey and back.

    Raises:
        DataError: the file is missing or damaged, or of another size, or the events are not images.
    """
    from PIL import Image

    if len(event_shape) != 3 or event_shape[0] not in (1, 3):
        raise DataError(f"{path} is an image, but events of shape {event_shape} are not")
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    channels, height, width = event_shape
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            size = opened.size
            if size == (width, height):  # larger images are not decoded
                pixels = np.array(opened.convert("L" if channels == 1 else "RGB"), np.uint8)
    except Exception as error:  # Pillow raises exceptions of many classes
        raise DataError(f"cannot read {path}: {error}") from error
    if size != (width, height):
        raise DataError(f"{path} is {size[0]} x {size[1]} pixels, expected {width} x {height}")
    return pixels.reshape(1, height, width, channels).transpose(0, 3, 1, 2)


def read_condition(path: Path) -> NDArray[Any]:
    """The array ``condition`` of a file, or its only array. Raises as :func:`read_samples` does."""
    arrays = read_arrays(path)
    condition = arrays["condition"] if "condition" in arrays else _main(path, arrays)
    # a single column is a list of classes
    is_column = path.suffix.lower() == ".csv" and condition.ndim == 2 and condition.shape[1] == 1
    return condition[:, 0] if is_column else condition


def read_arrays(path: Path) -> Arrays:
    """All arrays of a file by name. Raises as :func:`read_samples` does."""
    check_suffix(path, {suffix: what for suffix, what in FORMATS.items() if suffix in _READERS})
    return _guarded(path, _READERS[path.suffix.lower()])


def _guarded(path: Path, read: Callable[[Path], Content]) -> Content:
    """The result of a reader, with its exceptions converted to DataError."""
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    try:
        return read(path)
    except DataError:
        raise
    # NumPy raises exceptions of many classes, including those of its tokenizer and of zlib
    except Exception as error:
        reason = "it holds Python objects" if "allow_pickle" in str(error) or "pickle" in str(error) else str(error)
        raise DataError(f"cannot read {path}: {reason}") from error


def _main(path: Path, arrays: Arrays) -> NDArray[Any]:
    if "samples" in arrays:
        return arrays["samples"]
    rest = [name for name in arrays if name not in ("condition", "about")]
    if len(rest) != 1:
        raise DataError(
            f"{path} holds {', '.join(rest) or 'nothing'}; a single array is expected", hint="Name it samples."
        )
    return arrays[rest[0]]


def _npy(path: Path) -> Arrays:
    with path.open("rb") as file:  # given a path, NumPy would leave the file open if the content is damaged
        array = np.load(file, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path} is not a .npy file; its content looks like .npz")
    return {"samples": array}


def _npz(path: Path) -> Arrays:
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is not a .npz file")
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def _safetensors(path: Path) -> Arrays:
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, WeightsError) as error:
        raise DataError(f"{path} is not a safetensors file that can be read: {error}") from error


def _table(path: Path, modality: Table) -> tuple[NDArray[Any], NDArray[Any] | None]:
    """Rows of a table, and their condition, from a CSV file with headings."""
    header, rows = _guarded(path, _rows)
    columns = {name: [row[i] for row in rows] for i, name in enumerate(header)}
    conditions = [_column(t, f"{path}, column {name}") for name, t in columns.items() if name.startswith("condition")]
    condition = None if not conditions else conditions[0] if len(conditions) == 1 else np.stack(conditions, axis=1)
    return tables.numbers(columns, modality, str(path)), condition


def _text(path: Path, event_shape: tuple[int, ...], modality: Modality | None) -> NDArray[Any]:
    """Texts as whole numbers ``[n, length]``, -1 for unknown characters."""
    if not isinstance(modality, Text):
        raise DataError(f"{path} contains texts, but this is not a model of texts")
    lines = _guarded(path, lambda file: file.read_text("utf-8").splitlines())
    if not lines:
        raise DataError(f"{path} is empty")
    return text.numbers(lines, modality, event_shape[0], str(path))


def _rows(path: Path) -> tuple[list[str], list[list[str]]]:
    """Headings (x0, x1, ... if there are none) and rows of equal length."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = [row for row in csv.reader(file) if row]
    if not rows:
        raise DataError(f"{path} is empty")
    width = len(rows[0])
    header = rows.pop(0) if not all(map(_is_number, rows[0])) else [f"x{i}" for i in range(width)]
    for number, row in enumerate(rows, start=1):
        if len(row) != width:
            raise DataError(f"{path}: row {number} has {len(row)} columns, the first line has {width}")
    return header, rows


def _csv(path: Path) -> Arrays:
    header, rows = _rows(path)
    columns: dict[bool, list[NDArray[Any]]] = {False: [], True: []}
    for i, name in enumerate(header):
        columns[name.startswith("condition")].append(_column([row[i] for row in rows], f"{path}, column {name}"))
    arrays = {"samples": np.stack(columns[False], axis=1)} if columns[False] else {}
    if conditions := columns[True]:
        arrays["condition"] = conditions[0] if len(conditions) == 1 else np.stack(conditions, axis=1)
    return arrays


def _column(texts: list[str], where: str) -> NDArray[Any]:
    """Integers, floats, or, for labels of classes, texts."""
    if all(text.strip().lstrip("+-").isdecimal() for text in texts):
        return np.array([int(text) for text in texts])
    if all(map(_is_number, texts)):
        return np.array([float(text) for text in texts])
    if where.rpartition(" ")[2] == "condition":
        return np.array(texts)
    wrong = next(text for text in texts if not _is_number(text))
    raise DataError(f"{where}: {wrong!r} is not a number")


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


_READERS: dict[str, Callable[[Path], Arrays]] = {
    ".csv": _csv,
    ".npy": _npy,
    ".npz": _npz,
    ".safetensors": _safetensors,
}
