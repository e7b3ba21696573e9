"""Data of ``zoo run`` from a file, or from a folder of shards, with the condition beside them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.arrays import Array
from zoo.cli._conditions import condition_beside
from zoo.conditions import ConditionLike, StoredCondition
from zoo.errors import DataError

if TYPE_CHECKING:
    from zoo.models.sources import Facts


def data_and_condition(
    facts: Facts, path: Path, read: Callable[[Path], tuple[Array, StoredCondition]], *, beside: bool = True
) -> tuple[Array, ConditionLike]:
    """The data ``[n, *event]`` of a file, or of all shards of a folder in the order of their rows, and their condition.

    Args:
        facts: about the model.
        path: of the file or the folder.
        read: reads a file: its data, and the condition that is stored beside them.
        beside: whether the condition is wanted.

    Raises:
        DataError: a file cannot be read, or a folder is none of shards, incomplete or damaged.
        ConditionError: the condition does not fit the model's.
    """
    from zoo.render.formats import is_picture
    from zoo.render.shards import samples_in

    if not path.is_dir():
        return _of_file(facts, path, read, beside)
    xs, conditions = [], []
    for file, shard in samples_in(path):
        if is_picture(file):
            raise DataError(f"{path} holds pictures, which are drawn and not data", hint="--format npy writes data.")
        x, condition = _of_file(facts, file, read, beside)
        if len(x) != shard.rows:
            raise DataError(f"{path} is damaged: {file.name} has {len(x):,} rows, and should have {shard.rows:,}")
        xs.append(x)
        conditions.append(condition)
    return np.concatenate(xs), _joined(conditions, [len(x) for x in xs])


def _of_file(
    facts: Facts, path: Path, read: Callable[[Path], tuple[Array, StoredCondition]], beside: bool
) -> tuple[Array, ConditionLike]:
    x, stored = read(path)
    return x, condition_beside(facts, path, stored, len(x) if x.ndim else 0) if beside else None


def _joined(values: Sequence[Any], counts: Sequence[int]) -> Any:
    """Conditions of so many data each as one; a value that each states once for all of its data stays one."""
    first = values[0]
    if any(each is None for each in values):
        return None
    if isinstance(first, Mapping):
        return {name: _joined([each[name] for each in values], counts) for name in first}
    if any(np.ndim(each) == 0 or len(each) != n for each, n in zip(values, counts, strict=True)):
        return first
    if all(isinstance(each, np.ndarray) and each.shape[1:] == first.shape[1:] for each in values):
        return np.concatenate(values)
    return [row for each in values for row in each]
