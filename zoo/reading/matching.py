"""Data of a file as a trained model takes them: its columns, categories, dates, classes, alphabet and grain.

Whatever :mod:`zoo.reading.building` infers from a file was inferred from the training data. Here it is given, and a
file that does not fit is refused, so that no number of it means something else than in training.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo import dates, records
from zoo.arrays import Array
from zoo.conditions import Condition
from zoo.data import Dataset, Split
from zoo.errors import DataError
from zoo.modality import Audio, Column, Modality, Table, Text, columns_from
from zoo.reading import building, finding, objects
from zoo.reading.columns import written
from zoo.reading.content import Cells, Rows, Samples
from zoo.reading.options import SPLITS, Options

if TYPE_CHECKING:
    from zoo.registry import Registry

#: by how much of a step a number may miss it, since decimals are not exact in binary
_TOLERANCE = 1e-3
#: values of pictures of 8 and 16 bits, whose shades mean different things
_SHADES = (256, 65_536)


@dataclass(frozen=True)
class Wanted:
    """What a model says of its data.

    Attributes:
        model: its name, for messages.
        event_shape: of one sample.
        levels: number of values of discrete data, or None.
        modality: the meaning of a sample's numbers.
        condition: what samples are conditioned on, or None.
        options: of the data in training.
        columns: of an event, where they are no table because the training data had no headings; or empty.
        condition_columns: the columns that form the condition, or empty.
        grain: the width that all numbers were rounded to, of data without columns; or None.
    """

    model: str
    event_shape: tuple[int, ...]
    levels: int | None = None
    modality: Modality | None = None
    condition: Condition | None = None
    options: Mapping[str, object] = field(default_factory=dict)
    columns: tuple[Column, ...] = ()
    condition_columns: tuple[Column, ...] = ()
    grain: float | None = None

    @property
    def event(self) -> tuple[Column, ...]:
        """The columns of an event; empty for data without columns."""
        return self.modality.columns if isinstance(self.modality, Table) else self.columns

    @property
    def labels(self) -> tuple[str, ...]:
        """Names of the classes."""
        return self.condition.labels if self.condition is not None and self.condition.kind == "classes" else ()

    def described(self) -> dict[str, object]:
        """What a card states of these columns, for the ``extra`` of a data set."""
        described: dict[str, object] = {} if self.grain is None else {"grain": self.grain}
        for name, columns in (("given", self.condition_columns), ("columns", self.columns)):
            if columns:
                described[name] = [records.write(column) for column in columns]
        return described if self.condition is None else {**described, "condition": self.condition.describe()}

    @classmethod
    def stated(cls, model: str, data: Mapping[str, object], **facts: Any) -> Wanted:
        """By what a card or a manifest states.

        Args:
            model: its name.
            data: its ``data``.
            facts: ``event_shape``, ``levels``, ``modality`` and ``condition``.

        Raises:
            ConfigError: columns or options that are none.
        """
        options, grain = data.get("options"), data.get("grain")
        options = dict(options) if isinstance(options, Mapping) else {}
        conditions = columns_from(data.get("given"), model)
        condition: Condition | None = facts.get("condition")
        if not conditions and condition is not None and condition.labels:  # cards did not always state them
            names = options.get("given")
            if condition.kind == "vector":
                conditions = tuple(Column(label) for label in condition.labels)
            elif isinstance(names, (list, tuple)) and len(names) == 1:
                conditions = (Column.categories(str(names[0]), condition.labels),)
        columns = columns_from(data.get("columns"), model)
        number = float(grain) if isinstance(grain, (int, float)) and not isinstance(grain, bool) else None
        return cls(model, options=options, columns=columns, condition_columns=conditions, grain=number, **facts)


@dataclass(frozen=True)
class Matched:
    """Data of a file, all of one split.

    Attributes:
        split: the samples and their conditions.
        grain: widths that their numbers are rounded to ``[*event]``, or None.
        extra: domains of their columns, as of :class:`zoo.data.Dataset`.
        rows: their numbers in the file, in order.
        notes: what a user should know of how they were read, one sentence each.
    """

    split: Split
    grain: NDArray[np.float32] | None
    extra: Mapping[str, object] = field(default_factory=dict)
    rows: NDArray[np.int64] = field(default_factory=lambda: np.zeros(0, np.int64))
    notes: tuple[str, ...] = ()


def read(path: str, wanted: Wanted, stated: Mapping[str, object], registry: Registry) -> Matched:
    """Read a file, a folder, or what a function returns, as data of a model.

    Args:
        path: of the file or folder, or ``module:function``.
        wanted: what the model says of its data.
        stated: options of this file, which take precedence over those of the training.
        registry: where readers are looked up.

    Raises:
        DataError: a column that is missing or of another kind, a category, class or character that the training data
            did not have, numbers between the steps of a column or outside its bounds, missing cells, or no rows.
        ConfigError: options that the reader does not have.
    """
    opened = finding.opened(path, _settings(path, wanted, stated, registry), registry)
    content = opened.content
    if isinstance(content, Dataset):
        return Matched(content.test, content.grain, content.extra)
    return _matched(content, _test_rows(content, opened.options, path), wanted, opened.options, path)


def training_data(path: str, wanted: Wanted, stated: Mapping[str, object], registry: Registry) -> building.Built:
    """The same with the splits that the options or the file state, to train a model on that was trained on other data.

    Arguments and errors are those of :func:`read`.
    """
    opened = finding.opened(path, _settings(path, wanted, stated, registry), registry)
    content, options = opened.content, opened.options
    if isinstance(content, Dataset):
        return building.Built(content, ())
    matched = _matched(content, np.arange(len(content)), wanted, options, path)
    cells = content.columns.get(options.split) if isinstance(content, Rows) else None
    kept = np.zeros(len(content), bool)
    kept[matched.rows] = True
    splits = building.splits_of(content.splits, options, cells, len(content))
    parts = building.places_of(splits, kept, options)
    train, validation, test = (_part(matched.split, np.searchsorted(matched.rows, each)) for each in parts)
    extra = {**matched.extra, **wanted.described()}
    grain, modality = matched.grain, wanted.modality
    data = Dataset(opened.name, train, validation, test, wanted.levels, grain, modality, wanted.labels, extra=extra)
    return building.Built(data, matched.notes)


def _matched(content: Rows | Samples, rows: NDArray[np.int64], wanted: Wanted, options: Options, path: str) -> Matched:
    if isinstance(content, Rows) and wanted.event:
        return _of_rows(content, rows, wanted, options, path)
    if wanted.event and isinstance(content, Samples):
        names = ", ".join(column.name for column in wanted.event)
        raise DataError(f"{path} has no columns, and {wanted.model} was trained on the columns {names}")
    samples = objects.plain(content) if isinstance(content, Rows) else content
    return _of_samples(samples, rows, wanted, path)


def _settings(path: str, wanted: Wanted, stated: Mapping[str, object], registry: Registry) -> dict[str, object]:
    """The options of training that the file's reader has too, those that its events determine, and the stated ones."""
    shared = set(Options.__dataclass_fields__)
    if finding.is_function(path):
        kept = {name: value for name, value in wanted.options.items() if name in shared - {"split"}}
        return {**kept, **stated}
    takes: Sequence[str] = ()
    if Path(path).exists():
        takes = finding.keywords_of(finding.reader_of(Path(path), registry), registry)
    settings = {name: value for name, value in wanted.options.items() if name in takes or name in shared}
    determined: dict[str, object] = {}
    if isinstance(wanted.modality, Text):
        determined["length"] = wanted.event_shape[0]
    elif isinstance(wanted.modality, Audio):
        determined["rate"] = wanted.modality.sample_rate
    elif len(wanted.event_shape) == 3 and wanted.event_shape[0] == 3:
        determined["channels"] = 3
    return {**settings, **{name: value for name, value in determined.items() if name in takes}, **stated}


def _test_rows(content: Rows | Samples, options: Options, path: str) -> NDArray[np.int64]:
    """The rows to measure on: those of the test split, where the file says which they are, else all."""
    splits = content.splits
    if options.split and isinstance(content, Rows) and options.split in content.columns:
        splits = building.splits_of(None, options, content.columns[options.split], len(content))
    if splits is None:
        return np.arange(len(content))
    rows = np.flatnonzero(splits == "test")
    if len(rows):
        return rows
    if len(set(splits.tolist())) > 1:
        raise DataError(
            f"{path} has rows of the splits {', '.join(n for n in SPLITS if n in splits)}, and none of test"
        )
    return np.arange(len(content))


# -- tables -----------------------------------------------------------------------------------------------------------


def _of_rows(rows: Rows, places: NDArray[np.int64], wanted: Wanted, options: Options, path: str) -> Matched:
    if wanted.condition is not None and not wanted.condition_columns:
        raise DataError(f"{wanted.model} does not state the columns that it is conditioned on: train it again")
    _check_headings(rows, wanted, path)
    needed = [column for column in (*wanted.event, *wanted.condition_columns) if not column.marks]
    marked = {column.marks for column in (*wanted.event, *wanted.condition_columns) if column.marks}
    gone = {c.name: rows.columns[c.name].missing for c in needed if not (c.name in marked or "" in c.values)}
    lacking = {name: int(missing[places].sum()) for name, missing in gone.items() if missing[places].any()}
    notes = list(rows.notes)
    if lacking:
        listed = ", ".join(f"{name!r} {count:,}" for name, count in lacking.items())
        if options.missing != "drop":
            raise DataError(
                f"{path} has missing cells where the training data of {wanted.model} had none: {listed}",
                hint="Leave such rows out: -D missing=drop.",
            )
        keep = ~np.any([gone[name][places] for name in lacking], axis=0)
        notes.append(f"{int((~keep).sum()):,} of {len(places):,} rows are dropped for missing cells: {listed}")
        places = places[keep]
    if not len(places):
        raise DataError(f"{path} has no rows without missing cells")

    def numbers(columns: Sequence[Column]) -> list[building.Numbers]:
        return [_numbers(column, rows, places, wanted, options, path) for column in columns]

    event, conditions = numbers(wanted.event), numbers(wanted.condition_columns)
    for each in event:
        if each.column.name in {**options.bounds, **options.circular}:
            building.check_range(each.column.name, each.values, options)
    x = np.stack([each.values for each in event], axis=1).astype(np.float32)
    condition = building.condition_of(conditions)[1] if wanted.condition is not None else None
    grain = np.array([each.column.grain or 0.0 for each in event], np.float32)
    domains = building.domains_of(event, options)
    return Matched(Split(x, condition), grain if grain.any() else None, domains, places, tuple(notes))


def _check_headings(rows: Rows, wanted: Wanted, path: str) -> None:
    """Refuse a file without columns of the model, all named at once."""
    names = [column.name for column in (*wanted.event, *wanted.condition_columns) if not column.marks]
    if lost := [name for name in names if name not in rows.columns]:
        raise DataError(
            f"{path} has no column {', '.join(map(repr, lost))}, which {wanted.model} was trained on",
            hint=f"The columns of {path} are {', '.join(map(repr, rows.columns))}.",
        )


def _numbers(
    column: Column, rows: Rows, places: NDArray[np.int64], wanted: Wanted, options: Options, path: str
) -> building.Numbers:
    """A column of the model with its numbers ``[n]``, of the rows at these places."""
    cells = rows.columns[column.marks or column.name]
    missing = cells.missing[places]
    if column.marks:
        return building.Numbers(column, missing.astype(np.float64))
    where = f"column {column.name!r} of {path}"
    if column.values:
        return building.Numbers(column, _categories(column, cells, places, wanted, where))
    values = _days(column, cells, places, where) if column.date else cells.values[places]
    if values.dtype.kind not in "fiu" or (cells.date and not column.date):
        held = "dates" if cells.date else f"texts, such as {str(values[~missing][0])!r}"
        raise DataError(f"{where} holds {held}, and {wanted.model} was trained on numbers there")
    values = values.astype(np.float64) - column.origin
    _check_steps(values[~missing], column, wanted, where)
    if missing.any():  # filled as in training, see zoo.reading.building
        if missing.all():
            raise DataError(f"{where} has no values")
        random = np.random.default_rng([options.split_seed, 1])
        values[missing] = random.choice(values[~missing], int(missing.sum()))
    return building.Numbers(column, values)


def _categories(
    column: Column, cells: Cells, places: NDArray[np.int64], wanted: Wanted, where: str
) -> NDArray[np.float64]:
    numbers = {name: float(i) for i, name in enumerate(column.values)}
    texts = np.array(written(cells.values[places], cells))
    texts = np.where(cells.missing[places], "", texts) if "" in numbers else texts
    if unknown := sorted({str(text) for text in texts if text not in numbers}):
        shown = ", ".join(map(repr, unknown[:3])) + (", ..." if len(unknown) > 3 else "")
        count = int(np.isin(texts, unknown).sum())
        raise DataError(
            f"{where} has {shown} in {count:,} rows, which {wanted.model} was not trained on",
            hint=f"It knows {', '.join(map(repr, column.values[:20]))}.",
        )
    return np.array([numbers[str(text)] for text in texts])


def _days(column: Column, cells: Cells, places: NDArray[np.int64], where: str) -> Array:
    """Moments in days. Texts are read as the training data wrote dates, though other readings may be possible."""
    values: Array = cells.values[places]
    if cells.date:
        return values
    days = np.zeros(len(values))
    for i in np.flatnonzero(~cells.missing[places]):
        try:
            days[i] = dates.parsed(str(values[i]), column.date)
        except ValueError:
            raise DataError(f"{where}: {str(values[i])!r} is not a date written as {column.date}") from None
    return days


def _check_steps(values: NDArray[np.float64], column: Column, wanted: Wanted, where: str) -> None:
    """Refuse numbers between the steps that training data were rounded to: the density is one of whole steps."""
    if column.grain is None:
        return
    steps = values / column.grain
    off = np.abs(steps - np.round(steps)) > _TOLERANCE
    if off.any():
        shown = (
            dates.formatted(float(values[off][0]) + column.origin, "%Y-%m-%d %H:%M:%S")
            if column.date
            else (f"{values[off][0]:g}")
        )
        raise DataError(
            f"{where} has {int(off.sum()):,} values between the steps of {column.grain:g} that {wanted.model} was "
            f"trained on, such as {shown}",
            hint="Round them as the training data are rounded.",
        )


# -- samples ----------------------------------------------------------------------------------------------------------


def _of_samples(samples: Samples, places: NDArray[np.int64], wanted: Wanted, path: str) -> Matched:
    read: Array = np.asarray(samples.x[places])
    if isinstance(wanted.modality, Text):
        read = _renumbered(read, samples, wanted.modality, wanted, path)
    elif isinstance(wanted.modality, Audio) != isinstance(samples.modality, Audio) and samples.modality is not None:
        raise DataError(f"{path} holds {samples.modality.kind}, and {wanted.model} was trained on other data")
    if wanted.levels is not None:
        _check_levels(read, samples, wanted, path)
        read = read.astype(np.int32)
    grain = None
    if wanted.levels is None and wanted.grain is not None:
        _check_steps(
            read.astype(np.float64).ravel(), Column("samples", (), wanted.grain), wanted, f"the data of {path}"
        )
        grain = np.full(read.shape[1:], wanted.grain, np.float32)
    condition = None if wanted.condition is None else _conditions(samples, places, wanted, path)
    return Matched(Split(read, condition), grain, rows=places, notes=samples.notes)


def _renumbered(x: Array, samples: Samples, modality: Text, wanted: Wanted, path: str) -> Array:
    """Symbols of a file's own alphabet by their numbers in the model's."""
    own = samples.modality
    if not isinstance(own, Text):
        raise DataError(f"{path} holds no texts, and {wanted.model} was trained on texts")
    if unknown := [symbol for symbol in own.alphabet[1:] if symbol not in modality.alphabet[1:]]:
        raise DataError(
            f"{path} has the characters {' '.join(map(repr, unknown[:5]))}, which {wanted.model} was not trained on"
        )
    places = np.array([0, *(modality.alphabet.index(symbol) for symbol in own.alphabet[1:])])
    return np.asarray(places[x.astype(np.int64)])


def _check_levels(x: Array, samples: Samples, wanted: Wanted, path: str) -> None:
    """Refuse data that are not whole numbers of the model's range."""
    assert wanted.levels is not None
    if samples.levels in _SHADES and wanted.levels in _SHADES and samples.levels != wanted.levels:
        raise DataError(f"{path} has shades of {samples.levels:,} levels, and {wanted.model} has {wanted.levels:,}")
    whole = bool((np.asarray(x) == np.floor(x)).all())
    if not whole or x.min() < 0 or x.max() >= wanted.levels:
        what = f"numbers from {x.min():g} to {x.max():g}" if whole else "numbers with a fraction"
        raise DataError(f"{path} has {what}; the data of {wanted.model} are whole, from 0 to {wanted.levels - 1:,}")


def _conditions(samples: Samples, places: NDArray[np.int64], wanted: Wanted, path: str) -> Any:
    """The conditions of some samples, with classes as the model numbers them."""
    described, condition = wanted.condition, samples.condition
    assert described is not None
    if condition is None:
        raise DataError(f"{path} says nothing of {described.told} that {wanted.model} is conditioned on")
    if isinstance(condition, Mapping):
        return {name: part[places] for name, part in condition.items()}
    chosen = condition[places]
    if described.kind != "classes" or not samples.labels or not described.labels:
        return chosen
    present = [samples.labels[int(i)] for i in np.unique(chosen)]
    if unknown := [label for label in present if label not in described.labels]:
        raise DataError(
            f"{path} has the classes {', '.join(map(repr, unknown[:5]))}, which {wanted.model} was not trained on",
            hint=f"It knows {', '.join(map(repr, described.labels[:20]))}.",
        )
    numbers = [described.labels.index(label) if label in described.labels else -1 for label in samples.labels]
    return np.array(numbers, np.int32)[chosen]


# -- the data set of a measurement ------------------------------------------------------------------------------------


def held_out(name: str, matched: Matched, wanted: Wanted, training: Dataset | None, seed: int) -> Dataset:
    """A data set whose test split is the data of a file.

    Args:
        name: what messages call it.
        matched: the data of the file.
        wanted: what the model says of its data.
        training: the data that it was trained on, whose training split serves as other real data; None, if they are
            not at hand, takes half of the file's rows for these.
        seed: of the halves.
    """
    test, train = matched.split, None if training is None else training.train
    if train is None:
        order = np.random.default_rng(seed).permutation(len(test))
        if len(test) < 2:
            raise DataError(f"{name} has one row, which is too few to measure on")
        half = len(test) // 2
        train, test = _part(test, order[:half]), _part(test, np.sort(order[half:]))
    extra = dict(matched.extra)
    return Dataset(name, train, train, test, wanted.levels, matched.grain, wanted.modality, wanted.labels, extra=extra)


def _part(split: Split, places: NDArray[np.int64]) -> Split:
    return replace(split, x=split.x[places], condition=split.condition_at(places))
