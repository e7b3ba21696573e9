"""Folders of Hugging Face ``datasets``: Arrow files as ``save_to_disk`` writes them, or parquet as the Hub keeps them.

Read by pyarrow, without the package ``datasets``. A folder with a column of pictures holds pictures,
with the classes of its only column of classes; any other holds a table.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from zoo.arrays import Array
from zoo.errors import DataError
from zoo.files import reason_of
from zoo.reading import objects
from zoo.reading.content import SPLIT_WORDS, Cells, Rows, Samples
from zoo.reading.formats import columnar, pictures

_INFO, _STATE, _DICT = "dataset_info.json", "state.json", "dataset_dict.json"
_SHARD = re.compile(r"([A-Za-z]+)[-_.\d].*")


def recognises(folder: Path) -> bool:
    """Whether a folder is one that ``datasets`` writes, or holds shards of parquet by split."""
    if any((folder / name).is_file() for name in (_STATE, _DICT)):
        return True
    return bool(_shards(folder))


def read(folder: Path, *, resize: int | Sequence[int] = 0, fit: str = "crop", channels: int = 0) -> Rows | Samples:
    """The table, or the pictures, of a folder. Arguments as of :func:`zoo.reading.formats.pictures.read`.

    Raises:
        DataError: damaged, or splits with different columns.
        MissingDependencyError: pyarrow is not installed.
    """
    tables, features = _tables(folder)
    arrow = columnar.pyarrow(folder)
    try:
        joined = arrow.concat_tables([table for _, table in tables])
    except arrow.ArrowException as error:
        raise DataError(f"the splits of {folder} have different columns: {error}") from error
    splits = np.concatenate([np.full(table.num_rows, name) for name, table in tables])
    known = None if set(splits) == {""} else np.where(splits == "", "train", splits)
    joined, known, notes = _usable(folder, joined, known, features)
    shown = [name for name, each in features.items() if isinstance(each, Mapping) and each.get("_type") == "Image"]
    shown = shown or [f.name for f in joined.schema if str(f.type) == "struct<bytes: binary, path: string>"]
    if shown:
        samples = _pictures(folder, joined, features, shown[0], known, resize=resize, fit=fit, channels=channels)
        return replace(samples, notes=(*notes, *samples.notes))
    rows = objects.of_frame(joined)
    columns = {name: _named(name, cells, features.get(name)) for name, cells in rows.columns.items()}
    return Rows(columns, known, notes=tuple(notes))


def _usable(
    folder: Path, table: Any, splits: Array | None, features: Mapping[str, Any]
) -> tuple[Any, Array | None, list[str]]:
    """The rows of splits that are known, which have classes where pictures do, and notes on the others."""
    notes, kept = [], np.ones(table.num_rows, bool)
    if splits is not None:
        words = np.array([SPLIT_WORDS.get(str(name).lower(), "") for name in splits])
        for name in dict.fromkeys(splits[words == ""].tolist()):
            count = int((splits == name).sum())
            notes.append(f"{count:,} rows of the split {name!r} are left out: it is not one of train, validation, test")
        kept, splits = words != "", words
    pictured = any(isinstance(each, Mapping) and each.get("_type") == "Image" for each in features.values())
    classes = [name for name, each in features.items() if isinstance(each, Mapping) and _names(each)]
    if pictured and len(classes) == 1:
        values = np.array([-1 if v is None else v for v in table.column(classes[0]).to_pylist()], np.int64)
        if unlabelled := int((kept & (values < 0)).sum()):
            notes.append(f"{unlabelled:,} rows without a class in column {classes[0]!r} are left out")
        kept &= values >= 0
    if not kept.any():
        raise DataError(f"{folder} has no rows left: {'; '.join(notes)}")
    return table.filter(kept), None if splits is None else splits[kept], notes


def _pictures(
    folder: Path, table: Any, features: Mapping[str, Any], column: str, splits: Any, **options: Any
) -> Samples:
    sources = [_source(folder, value, column) for value in table.column(column).to_pylist()]
    classes = [name for name, each in features.items() if isinstance(each, Mapping) and _names(each)]
    more: dict[str, Any] = {"splits": splits}
    if len(classes) == 1:
        more |= {
            "classes": np.array(table.column(classes[0]).to_pylist(), np.int32),
            "labels": tuple(map(str, _names(features[classes[0]]))),
        }
    return pictures.of_sources(sources, name=str(folder), **options, **more)


def _source(folder: Path, value: Any, column: str) -> Path | bytes:
    content, path = (value or {}).get("bytes"), (value or {}).get("path")
    if content is not None:
        return bytes(content)
    if path is None:
        raise DataError(f"{folder} has a row without a picture in column {column!r}")
    return folder / str(path)


def _names(feature: Mapping[str, Any]) -> Sequence[str]:
    return feature.get("names") or [] if feature.get("_type") == "ClassLabel" else []


def _named(heading: str, cells: Cells, feature: Any) -> Cells:
    """Classes replaced by their names, if the feature has names; -1 stands for none."""
    names = _names(feature) if isinstance(feature, Mapping) else []
    if not names:
        return cells
    values = cells.values.astype(np.int64)
    missing = cells.missing | (values == -1)
    if ((values < 0) | (values >= len(names)))[~missing].any():
        raise DataError(f"column {heading!r} has classes outside its {len(names)} names")
    return Cells(np.array(names)[np.where(missing, 0, values)], missing)


def _tables(folder: Path) -> tuple[list[tuple[str, Any]], dict[str, Any]]:
    """Tables with the names of their splits, empty where there are none, and the description of their columns."""
    if (folder / _DICT).is_file():
        names = _json(folder / _DICT).get("splits") or []
        parts = [(str(name), _saved(folder / str(name))) for name in names]
        described = _json(folder / str(names[0]) / _INFO).get("features") if names else {}
        if not parts:
            raise DataError(f"{folder / _DICT} names no splits")
    elif (folder / _STATE).is_file():
        parts, described = [("", _saved(folder))], _json(folder / _INFO).get("features")
    else:
        parts = [(split, columnar.parquet_table(path)) for path, split in _shards(folder)]
        described = {}
    return parts, dict(described or {})


def _saved(folder: Path) -> Any:
    """The table of one folder of Arrow files."""
    files = [folder / each["filename"] for each in _json(folder / _STATE).get("_data_files", [])]
    if not files:
        raise DataError(f"{folder / _STATE} names no files")
    arrow = columnar.pyarrow(folder)
    return arrow.concat_tables([columnar.arrow_table(path) for path in files])


def _shards(folder: Path) -> list[tuple[Path, str]]:
    """Parquet files in the folder or its folder ``data``, each with the split that its name begins with."""
    places = [*folder.glob("*.parquet"), *folder.glob("data/*.parquet")]
    named = [(path, match[1].lower() if (match := _SHARD.fullmatch(path.name)) else "") for path in sorted(places)]
    if not any(split in SPLIT_WORDS for _, split in named):
        return [(path, "") for path, _ in named]
    return [(path, split or path.stem) for path, split in named]


def _json(path: Path) -> dict[str, Any]:
    try:
        values = json.loads(path.read_text("utf-8"))
    except (OSError, ValueError) as error:
        raise DataError(f"cannot read {path}: {reason_of(error)}") from error
    if not isinstance(values, dict):
        raise DataError(f"{path} does not hold a JSON object")
    return values
