"""Folders of shards, as ``zoo run --engine`` writes them: all their files as one, whose digests are checked."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np

from zoo.arrays import Array
from zoo.errors import DataError
from zoo.reading import objects
from zoo.reading.content import Rows, Samples
from zoo.reading.formats import columnar, delimited, texts
from zoo.render import delimited as written
from zoo.render import readers
from zoo.render.delimited import Delimited
from zoo.render.read import guarded
from zoo.render.shards import recognises, samples_in

__all__ = ["read", "recognises"]


def read(folder: Path) -> Rows | Samples:
    """The samples of a folder, in the order of their rows; in memory, all of them.

    Raises:
        DataError: it is incomplete, damaged, or not of samples, or its files are pictures or recordings.
        MissingDependencyError: they are Parquet, and pyarrow is not installed.
    """
    files = samples_in(folder)
    paths, suffix = [path for path, _ in files], files[0][0].suffix.lower()
    if suffix not in _READERS or any(path.suffix.lower() != suffix for path in paths):
        known = ", ".join(each.removeprefix(".") for each in _READERS)
        raise DataError(
            f"{folder} has files that end with {suffix}, which are not read as one",
            hint=f"`zoo run --engine --format` writes {known}, which are.",
        )
    content: Rows | Samples = _READERS[suffix](paths)
    stated = sum(shard.rows for _, shard in files)
    if len(content) != stated:
        raise DataError(f"{folder} has {len(content):,} rows, and its manifest states {stated:,}")
    return content


def _parquet(paths: list[Path]) -> Rows:
    package = columnar.pyarrow(paths[0])
    tables = [columnar.parquet_table(path) for path in paths]
    return objects.of_frame(guarded(paths[0].parent, lambda: package.concat_tables(tables)))


def _delimited(paths: list[Path]) -> Rows:
    tables = [written.read(path) for path in paths]
    first = tables[0]
    for path, table in zip(paths, tables, strict=True):
        if (table.header, table.delimiter) != (first.header, first.delimiter):
            raise DataError(f"{path} has other columns than {paths[0].name}")
    rows = [row for table in tables for row in table.rows]
    return delimited.of_table(Delimited(first.header, rows, first.headed, first.delimiter))


def _lines(paths: list[Path]) -> Samples:
    return texts.of_lines([line for path in paths for line in texts.lines_of(path)], paths[0].parent)


def _one(paths: list[Path]) -> Rows | Samples:
    arrays = [guarded(path, partial(readers.npy, path)) for path in paths]
    return objects.of_array(_joined([each["samples"] for each in arrays], paths))


def _named(read_file: Callable[[Path], Mapping[str, Array]], paths: list[Path]) -> Rows | Samples:
    files = [dict(guarded(path, partial(read_file, path))) for path in paths]
    for path, arrays in zip(paths, files, strict=True):
        if arrays.keys() != files[0].keys():
            raise DataError(f"{path} has other arrays than {paths[0].name}")
    return objects.of_arrays({name: _joined([each[name] for each in files], paths) for name in files[0]})


def _joined(arrays: list[Array], paths: list[Path]) -> Array:
    """Arrays of rows as one; of something else, such as what is said of a file, the first."""
    if not all(each.ndim for each in arrays):
        return arrays[0]
    if len({each.shape[1:] for each in arrays}) > 1:
        raise DataError(f"the files of {paths[0].parent} have samples of different shapes")
    return np.concatenate(arrays)


_READERS: dict[str, Callable[[list[Path]], Any]] = {
    ".safetensors": partial(_named, readers.safetensors),
    ".parquet": _parquet,
    ".npy": _one,
    ".npz": partial(_named, readers.npz),
    ".csv": _delimited,
    ".tsv": _delimited,
    ".txt": _lines,
}
