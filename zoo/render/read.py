"""Arrays read from files, in the formats of :mod:`zoo.render.formats`. Nothing is unpickled."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from zoo.arrays import Array
from zoo.errors import DataError, MissingDependencyError, PluginError
from zoo.lengths import Length
from zoo.modality import Modality
from zoo.registry.cards import Format
from zoo.render import delimited, lengths, modalities, readers
from zoo.render.delimited import Delimited
from zoo.render.files import PART, condition_in
from zoo.render.formats import FORMATS, format_of, known, load, origin

#: files that may be read as a table with headings
TABLES = (*delimited.SUFFIXES, ".parquet")

Arrays = dict[str, Array]


def read_samples(
    path: Path,
    event_shape: tuple[int, ...],
    modality: Modality | None = None,
    *,
    pictures: bool = False,
    length: Length | None = None,
) -> tuple[Array, Array | dict[str, Array] | None]:
    """Data ``[n, *event_shape]`` of a file, and its condition if the file has one: an array, or arrays of named parts.

    Rows of a CSV file are flattened events, without the columns named condition. Columns of a table are matched by
    their headings, and categories by their names. A .wav file contains recordings.

    Args:
        path: the file.
        event_shape: shape of one sample.
        modality: what its numbers mean.
        pictures: whether pictures are read, as shades 0 ... 255.
        length: how events of variable length say where they end. Data may then come without their masks, and with an
            array or a column ``length`` instead.

    Raises:
        UsageError: unknown extension.
        DataError: the file is missing, damaged, needs unpickling, or does not contain such data.
        PluginError: the reader of a plugin cannot be loaded, or returns something else.
    """
    described = format_of(path, lambda each: each.reader and (pictures or not each.picture))
    if described.modality and described.modality != getattr(modality, "kind", None):
        those = modalities.called(described.modality)
        raise DataError(f"{path} holds {those}, but this is not a model of {those}")
    if length is None:
        arrays = _read(described, path, event_shape, modality)
        return _main(path, arrays), condition_in(arrays)
    return lengths.read(
        path, described, lambda shape: _read(described, path, shape, modality), event_shape, modality, length
    )


def read_condition(path: Path) -> Array:
    """The array ``condition`` of a file, or its only array. Raises as :func:`read_samples` does."""
    suffix = path.suffix.lower()
    if suffix in delimited.SUFFIXES and suffix not in known():
        arrays = guarded(path, lambda: readers.csv(path))
    elif suffix == ".parquet" and path.is_file():
        from zoo.render import parquet

        arrays = guarded(path, lambda: parquet.numbers(path))
    else:
        arrays = read_arrays(path)
    if "condition" in arrays:
        condition: Array = arrays["condition"]
        return condition
    values: Array = _main(path, arrays)
    # a single column is a list of classes, or of numbers
    return values[:, 0] if suffix in TABLES and values.ndim == 2 and values.shape[1] == 1 else values


def table_in(path: Path, dates: Mapping[str, str] | None = None) -> Delimited | None:
    """The rows of a .csv, .tsv or .parquet file as texts; None for another file or a plugin's, or if there is none.

    Args:
        path: the file.
        dates: how dates are written that the file has as such, by headings.

    Raises:
        DataError: it cannot be read.
        MissingDependencyError: pyarrow is needed.
    """
    suffix = path.suffix.lower()
    if suffix not in TABLES or not path.is_file() or (suffix not in FORMATS and suffix in known()):
        return None
    if path.suffix.lower() in delimited.SUFFIXES:
        return delimited.read(path)
    from zoo.render import parquet

    return parquet.table(path, dates)


def lists_in(path: Path) -> dict[str, Array | list[Array]]:
    """The columns of a .parquet file whose cells are lists of numbers, by name; none of another file.

    Returns:
        an array ``[rows, ...]``, or an array for each row if their lengths differ.

    Raises:
        DataError: it cannot be read.
        MissingDependencyError: pyarrow is needed.
    """
    if path.suffix.lower() != ".parquet" or not path.is_file():
        return {}
    from zoo.render import parquet

    return parquet.lists(path)


def read_labelled(path: Path, labels: Sequence[str]) -> Array | None:
    """The columns ``[n, labels]`` of a file that :func:`table_in` reads, under these headings; None without them.

    Raises:
        DataError: the file cannot be read, or a cell of these columns is not a number.
    """
    table = table_in(path) if labels else None
    if table is None or not set(labels) <= set(table.header):
        return None
    cells = table.columns(labels)
    return np.stack([delimited.numbers(cells[label], f"{path}, column {label!r}") for label in labels], axis=1)


def read_arrays(path: Path) -> Arrays:
    """All arrays of a file by name, of whatever shape. Raises as :func:`read_samples` does."""
    described = format_of(path, lambda each: each.reader and not each.picture and not each.modality)
    return _read(described, path, None, None)


def _read(described: Format, path: Path, event_shape: tuple[int, ...] | None, modality: Modality | None) -> Arrays:
    """What a reader returns, checked, with its exceptions converted."""
    read = load(described, "reader")
    if not path.is_file():
        raise DataError(f"there is no file {path}")
    arrays = guarded(path, lambda: read(path, event_shape, modality))
    if not isinstance(arrays, Mapping) or not all(map(_is_array, arrays.values())):
        raise PluginError(f"the reader of .{described.name}{origin(described)} returned no arrays by name for {path}")
    return dict(arrays)


def _is_array(value: object) -> bool:
    """Whether it is an array, and not one of Python objects."""
    return isinstance(value, np.ndarray) and value.dtype.kind != "O"


def guarded(path: Path, read: Callable[[], Any]) -> Any:
    """What ``read`` returns, with what it raises as a :class:`~zoo.errors.DataError` of that file."""
    try:
        return read()
    except (DataError, PluginError, MissingDependencyError):
        raise
    # NumPy raises exceptions of many classes, including those of its tokenizer and of zlib
    except Exception as error:
        reason = "it holds Python objects" if "allow_pickle" in str(error) or "pickle" in str(error) else str(error)
        raise DataError(f"cannot read {path}: {reason or type(error).__name__}") from error


def _main(path: Path, arrays: Arrays) -> Array:
    if "samples" in arrays:
        return arrays["samples"]
    rest = [name for name in arrays if name not in ("condition", "about", "length") and not name.startswith(PART)]
    if len(rest) != 1:
        raise DataError(
            f"{path} holds {', '.join(rest) or 'nothing'}; a single array is expected", hint="Name it samples."
        )
    return arrays[rest[0]]
