"""The readers of the built-in formats: arrays by name, ``samples`` and ``condition``. Nothing is unpickled."""

from __future__ import annotations

import math
import re
import zipfile
from pathlib import Path

import numpy as np

from zoo.arrays import Array
from zoo.errors import DataError, WeightsError
from zoo.modality import Audio, Modality, Table, Text
from zoo.render import audio, delimited, tables, text
from zoo.render.conditional import is_conditional
from zoo.render.delimited import Delimited
from zoo.render.files import PART

Arrays = dict[str, Array]
Shape = tuple[int, ...] | None


def npy(path: Path, event_shape: Shape = None, modality: Modality | None = None) -> Arrays:
    """One array."""
    with path.open("rb") as file:  # given a path, NumPy would leave the file open if the content is damaged
        array = np.load(file, allow_pickle=False)
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path} is not a .npy file; its content looks like .npz")
    return {"samples": array}


def npz(path: Path, event_shape: Shape = None, modality: Modality | None = None) -> Arrays:
    """Arrays by name."""
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is not a .npz file")
    with path.open("rb") as opened, np.load(opened, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}


def safetensors(path: Path, event_shape: Shape = None, modality: Modality | None = None) -> Arrays:
    """Tensors by name."""
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    try:
        return dict(load_file(path))
    except (SafetensorError, WeightsError) as error:
        raise DataError(f"{path} is not a safetensors file that can be read: {error}") from error


def _table(path: Path, modality: Table) -> Arrays:
    """Rows of a table, and their condition, by their headings."""
    file = delimited.read(path)
    columns = file.columns([c.name for c in modality.columns if not c.values and not c.date])
    own = {column.name for column in modality.columns}
    conditional = {name: cells for name, cells in columns.items() if is_conditional(name) and name not in own}
    parts = {name: cells for name, cells in conditional.items() if name.startswith(PART)}
    conditions = {name: _column(cells, path, name) for name, cells in conditional.items() if name not in parts}
    arrays: Arrays = {"samples": tables.numbers(columns, modality, str(path)), **parts_of(path, parts)}
    return arrays if not conditions else {**arrays, "condition": _joined(conditions)}


def parts_of(path: Path, columns: dict[str, list[str]]) -> Arrays:
    """Parts of a condition by their headings: ``condition/<part>``, or ``condition/<part>/<i>`` for each number.

    Of a part of several axes ``<i>`` is ``0_1`` for element [0, 1]. Numbers have their places by their headings,
    whatever the order of the columns.
    """
    names: dict[str, dict[str, Array]] = {}
    for name, texts in columns.items():
        part, _, place = name.removeprefix(PART).partition("/")
        names.setdefault(PART + part, {})[place] = _column(texts, path, name)
    return {name: each[""] if list(each) == [""] else _placed(each) for name, each in names.items()}


def _placed(columns: dict[str, Array]) -> Array:
    """Columns by their places in an array ``[n, ...]``; one after another if that is not what their names say."""
    if all(re.fullmatch(r"\d+(_\d+)*", place) for place in columns):
        places = {tuple(map(int, place.split("_"))): column for place, column in columns.items()}
        if len({len(place) for place in places}) == 1:
            shape = tuple(max(axis) + 1 for axis in zip(*places, strict=True))
            if len(places) == len(columns) == math.prod(shape):
                stacked = np.stack([places[place] for place in np.ndindex(shape)], axis=1)
                return stacked.reshape(-1, *shape)
    return np.stack(list(columns.values()), axis=1)


def _joined(columns: dict[str, Array]) -> Array:
    """Classes ``[n]`` of the column ``condition``; vectors ``[n, d]`` of condition0, ..., of which there may be one."""
    if list(columns) == ["condition"]:
        return columns["condition"]
    return np.stack(list(columns.values()), axis=1)


def csv(path: Path, event_shape: Shape = None, modality: Modality | None = None) -> Arrays:
    """Flattened events in rows, without the columns named condition; the columns of a table by their headings."""
    if isinstance(modality, Table):
        return _table(path, modality)
    file = delimited.read(path, verbatim=isinstance(modality, Text))
    if isinstance(modality, Text) and event_shape is not None and "text" in file.header:
        return _texts(path, file, event_shape, modality)
    columns: dict[bool, dict[str, Array]] = {False: {}, True: {}}
    cells = file.columns(file.header)
    parts = {name: column for name, column in cells.items() if name.startswith(PART)}
    for name in file.header:
        if name not in parts:
            columns[is_conditional(name)][name] = _column(cells[name], path, name)
    arrays = {"samples": np.stack(list(columns[False].values()), axis=1)} if columns[False] else {}
    if columns[True]:
        arrays["condition"] = _joined(columns[True])
    arrays |= parts_of(path, parts)
    if event_shape is not None and "samples" in arrays:
        x, dims = arrays["samples"], math.prod(event_shape)
        if x.shape[1] != dims:
            raise DataError(f"{path} has {x.shape[1]} columns of data; an event of shape {event_shape} takes {dims}")
        arrays["samples"] = x.reshape(-1, *event_shape)
    return arrays


def _texts(path: Path, file: Delimited, event_shape: tuple[int, ...], modality: Text) -> Arrays:
    """Texts in the column ``text``, and their condition."""
    columns = file.columns()
    arrays: Arrays = {"samples": text.numbers(columns["text"], modality, event_shape[0], str(path))}
    names = [name for name in file.header if is_conditional(name)]
    if plain := {name: _column(columns[name], path, name) for name in names if not name.startswith(PART)}:
        arrays["condition"] = _joined(plain)
    return arrays | parts_of(path, {name: columns[name] for name in names if name.startswith(PART)})


def txt(path: Path, event_shape: tuple[int, ...], modality: Text) -> Arrays:
    """Texts as whole numbers ``[n, length]``, -1 for unknown characters."""
    lines = path.read_text("utf-8").splitlines()
    if not lines:
        raise DataError(f"{path} is empty")
    return {"samples": text.numbers(lines, modality, event_shape[0], str(path))}


def wav(path: Path, event_shape: tuple[int, ...], modality: Audio) -> Arrays:
    """Recordings ``[n, 1, length]``."""
    return {"samples": audio.read(path, modality, event_shape[-1])}


def png(path: Path, event_shape: tuple[int, ...], modality: Modality | None = None) -> Arrays:
    """Images ``[n, *event_shape]``, 0 ... 255: those of a picture that genzoo drew, or one of exactly that size.

    RGB becomes grey and back. What is transparent is white, as in training data.

    Raises:
        DataError: the file is missing or damaged, or of another size, or the events are not images.
    """
    from PIL import Image

    from zoo.render.images import layout_in, on_white

    if len(event_shape) != 3 or event_shape[0] not in (1, 3):
        raise DataError(f"{path} is an image, but events of shape {event_shape} are not")
    channels, height, width = event_shape
    layout = layout_in(path)
    wanted = (width, height) if layout is None else layout.size(height, width)
    try:
        with Image.open(path, formats=["PNG"]) as opened:
            size = opened.size
            if size == wanted:  # larger images are not decoded
                pixels = np.array(on_white(opened).convert("L" if channels == 1 else "RGB"), np.uint8)
    except Exception as error:  # Pillow raises exceptions of many classes
        raise DataError(f"cannot read {path}: {error}") from error
    if size != wanted:
        raise DataError(
            f"{path} is {size[0]} x {size[1]} pixels, expected {width} x {height}",
            hint="A picture of several, or an enlarged one, is read only as genzoo wrote it, with its metadata.",
        )
    pixels = pixels.reshape(size[1], size[0], channels)
    images = pixels[None] if layout is None else layout.images(pixels, height, width)
    return {"samples": np.ascontiguousarray(images.transpose(0, 3, 1, 2))}


def _column(cells: list[str], path: Path, heading: str) -> Array:
    """Integers, floats, or, for labels of classes, texts."""
    if all(cell.strip().lstrip("+-").isdecimal() for cell in cells):
        return np.array([int(cell) for cell in cells])
    if (heading == "condition" or heading.startswith(PART)) and not all(map(delimited.is_number, cells)):
        return np.array(cells)
    return delimited.numbers(cells, f"{path}, column {heading}")
