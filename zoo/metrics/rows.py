"""Samples and real data as rows of standardised features, for distances between two sets of them."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.conditions import StoredCondition
from zoo.data import Dataset
from zoo.metrics.evaluation import Evaluation
from zoo.modality import Table, Text
from zoo.render.tables import values

Rows = NDArray[np.float64]

#: features of a sample, and samples, beyond which distances of rows say little or take long
WIDEST, MOST = 4096, 2000
#: training data that samples may be copies of, and numbers in all of them, at most
RECORDS, _NUMBERS = 20_000, 1 << 24
_ROWS = 256


@dataclass(frozen=True)
class Compared:
    """Three sets of rows ``[n, features]``, equally many unless they are records, standardised by the held-out ones.

    Attributes:
        drawn: samples of the model, with the conditions that they were drawn under.
        held_out: test data, with theirs.
        training: training data, with theirs: their distance from the held-out ones is what a perfect model has.
    """

    drawn: Rows
    held_out: Rows
    training: Rows


def compared(evaluation: Evaluation, *, records: bool = False) -> Compared | None:
    """The rows that distances are measured between; None where they do not apply.

    Real numbers are rounded to levels or a grain, so samples are too; otherwise any classifier would tell them by their
    decimals. Categories become indicators and circular columns a point of the circle. Classes and vectors that the
    data are conditioned on are features as well, so that a model that ignores its condition is found out.

    Args:
        evaluation: the model and its data.
        records: whether to take all that there are, up to :data:`RECORDS` training data, in any numbers and classes.
    """
    model, data = evaluation.model, evaluation.data
    fits = int(np.prod(model.event_shape)) <= WIDEST and not isinstance(data.modality, Text)
    if not fits or model.manifest.length is not None or evaluation.drawn is None:
        return None
    x, condition = evaluation.drawn.x, evaluation.drawn.condition
    count = min(len(x), len(data.test), len(data.train), MOST)
    mine, test, train = np.arange(count), np.arange(count), np.arange(count)
    described = model.condition
    plain = described is not None and described.plain
    if described is not None and described.kind == "classes":
        mine, test, train = _of_equal_classes(condition, data, count)
    elif described is not None:
        # samples have the conditions of the first test data, so that others are as independent of them as training data
        count = min(count, len(data.test) // 2)
        mine, test = np.arange(count), count + np.arange(count)
    if records:
        mine, test = (np.arange(min(size, MOST)) for size in (len(x), len(data.test)))
    if len(mine) < 2:
        return None
    shuffled = np.random.default_rng(evaluation.seed + 1).permutation(len(data.train))
    if described is None or described.kind != "classes":
        train = shuffled[:count]
    if records:
        train = shuffled[: min(RECORDS, _NUMBERS // max(int(np.prod(model.event_shape)), 1))]
    sets = [
        _features(data, np.asarray(x)[mine], _taken(condition, mine) if plain else None, as_real=True),
        _features(data, np.asarray(data.test.x[test]), data.test.condition_at(test) if plain else None),
        _features(data, np.asarray(data.train.x[train]), data.train.condition_at(train) if plain else None),
    ]
    mean, deviation = sets[1].mean(0), sets[1].std(0)
    drawn, held_out, training = ((each - mean) / np.where(deviation > 0, deviation, 1.0) for each in sets)
    return Compared(drawn, held_out, training)


def _of_equal_classes(condition: StoredCondition, data: Dataset, count: int) -> list[NDArray[np.int64]]:
    """Places of samples, test and training data such that the i-th ones are of the same class."""
    places: list[dict[int, list[int]]] = []
    for classes in (condition, data.test.condition, data.train.condition):
        assert isinstance(classes, np.ndarray)
        each: dict[int, list[int]] = defaultdict(list)
        for place, number in enumerate(classes.tolist()):
            each[int(number)].append(place)
        places.append(each)
    chosen: list[list[int]] = [[], [], []]
    share = max(1, count // max(1, len(places[0])))
    for number in sorted(places[0]):
        size = min(share, *(len(each.get(number, ())) for each in places))
        for mine, each in zip(chosen, places, strict=True):
            mine += each.get(number, [])[:size]
    return [np.array(each, np.int64) for each in chosen]


def _taken(condition: StoredCondition, places: NDArray[np.int64]) -> Array | None:
    return condition[places] if isinstance(condition, np.ndarray) else None


def as_written(data: Dataset, x: Array) -> NDArray[np.float64]:
    """Samples ``[n, *event]`` as the numbers that they stand for: rounded down to levels or the grain."""
    rows = np.asarray(x, np.float64)
    if isinstance(data.modality, Table):
        return values(rows, data.modality)
    if data.levels is not None:
        return np.asarray(np.floor(rows).clip(0, data.levels - 1))
    if data.grain is None:
        return rows
    grain = np.asarray(data.grain, np.float64)
    return np.where(grain > 0, np.floor(rows / np.where(grain > 0, grain, 1.0) + 1e-4) * grain, rows)


def _features(data: Dataset, x: Array, condition: object, *, as_real: bool = False) -> Rows:
    numbers = as_written(data, x) if as_real or isinstance(data.modality, Table) else np.asarray(x, np.float64)
    features = numbers.reshape(len(numbers), -1)
    features = _columns(data, features) if features.shape[1] and len(data.event_shape) == 1 else features
    if not isinstance(condition, np.ndarray):
        return features
    if condition.ndim == 1 and condition.dtype.kind in "iu":
        size = 1 + max(int(np.max(np.asarray(s.condition))) for s in (data.train, data.test) if s.condition is not None)
        return np.concatenate([features, np.eye(max(size, int(condition.max()) + 1))[condition]], 1)
    return np.concatenate([features, condition.reshape(len(condition), -1).astype(np.float64)], 1)


def _columns(data: Dataset, rows: Rows) -> Rows:
    """Columns of numbers as they are, circular ones as points of the circle, categories as indicators."""
    table = data.modality.columns if isinstance(data.modality, Table) else None
    stated = data.extra.get("circular")
    circular = stated if isinstance(stated, Mapping) else {}
    marks = {c.marks: rows[:, i] >= 1.0 for i, c in enumerate(table) if c.marks} if table else {}
    features: list[Rows] = []
    for i, column in enumerate(rows.T):
        if table and table[i].values:
            features.append(np.eye(len(table[i].values))[column.astype(np.int64)])
        elif str(i) in circular:
            low, high = circular[str(i)]
            angle = 2 * np.pi * (column - low) / (high - low)
            features.append(np.stack([np.cos(angle), np.sin(angle)], 1))
        else:
            missing = marks.get(table[i].name) if table else None
            # what fills missing cells means nothing
            filled = column if missing is None else np.where(missing, 0.0, column)
            features.append(filled[:, None])
    return np.concatenate(features, 1)


def nearest(a: Rows, b: Rows, count: int, *, same: bool = False) -> Rows:
    """Distances ``[n, count]`` of each row of one set to the nearest of another, from the nearest on.

    Args:
        a: ``[n, features]``.
        b: ``[m, features]``, ``m`` above ``count``.
        count: how many.
        same: whether both are one set, whose rows are no neighbours of themselves.
    """
    distances = np.empty((len(a), count))
    for start in range(0, len(a), _ROWS):
        squares = squared_distances(a[start : start + _ROWS], b)
        if same:
            squares[np.arange(len(squares)), start + np.arange(len(squares))] = np.inf
        distances[start : start + _ROWS] = np.sort(np.partition(squares, count - 1, axis=1)[:, :count], axis=1)
    return np.asarray(np.sqrt(distances))


def squared_distances(a: Rows, b: Rows) -> Rows:
    """Squared distances ``[n, m]`` of rows; those that are within the error of this computation are 0."""
    sizes = (a * a).sum(1)[:, None] + (b * b).sum(1)
    squares = sizes - 2 * a @ b.T
    return np.where(squares > 1e-12 * sizes, squares, 0.0)
