"""From what a reader returned to a data set: choose columns, treat missing cells, separate conditions, split rows."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo import records
from zoo.arrays import Array
from zoo.conditions import Condition
from zoo.data import Dataset, Split
from zoo.data.lazy import Lazy, chosen
from zoo.errors import DataError
from zoo.modality import Column, Table
from zoo.parts import ONLY, Part
from zoo.reading.columns import STEPS, Described, collapsed, described, written
from zoo.reading.content import SPLIT_WORDS, Cells, Rows, Samples
from zoo.reading.objects import parts_of
from zoo.reading.options import SPLITS, Options


@dataclass(frozen=True)
class Built:
    """A data set, and notes for the user on how it was built, one sentence each."""

    data: Dataset
    notes: tuple[str, ...]


@dataclass(frozen=True)
class Numbers:
    """A column as a model sees it: its description, and its numbers ``[n]`` in float64."""

    column: Column
    values: NDArray[np.float64]


def build(name: str, content: Rows | Samples, options: Options) -> Built:
    """Build a data set.

    Args:
        name: of the data set.
        content: what a reader returned.
        options: of the user.

    Raises:
        DataError: unknown columns, missing cells where the options do not say what to do with them, numbers outside
            their bounds, or too few rows.
    """
    return _of_rows(name, content, options) if isinstance(content, Rows) else _of_samples(name, content, options)


def recognised(rows: Rows, options: Options) -> list[Described]:
    """All columns of a table, as they are recognised or stated.

    Raises:
        DataError: the options name a column that does not exist.
    """
    _check_names(rows, options)
    columns = [described(name, cells, options.kinds.get(name)) for name, cells in rows.columns.items()]
    return columns if rows.headed else [_unheaded(each, rows.columns[each.name]) for each in columns]


def _unheaded(column: Described, cells: Cells) -> Described:
    """A column of an array. None is left out, so whole numbers that identify rows are integers like others."""
    if column.kind == "constant":
        raise DataError(f"column {column.name} of the array has the same value throughout: leave it out")
    return described(column.name, cells, "integer") if column.kind == "id" else column


# -- tables -----------------------------------------------------------------------------------------------------------


def _of_rows(name: str, rows: Rows, options: Options) -> Built:
    columns = recognised(rows, options)
    notes = [f"column {c.name!r} is left out: {c.kind}{f', {c.note}' if c.note else ''}" for c in columns if not c.used]
    used = [column for column in columns if column.used and column.name != options.split]
    _check_used(used, columns, options)
    kept, told = _kept(rows, used, options)
    splits = splits_of(rows.splits, options, rows.columns.get(options.split), len(rows))
    parts = places_of(splits, kept, options)
    event: list[Numbers] = []
    context: list[Numbers] = []
    for column in used:
        numbers, said = _numbers(column, rows.columns[column.name], options, kept, parts[0])
        (context if column.name in options.given else event).extend(numbers)
        notes += said
    context.sort(key=lambda each: options.given.index(each.column.marks or each.column.name))
    if not event:
        raise DataError("no column is left to model", hint="All columns are given, or are constants, ids or texts.")
    notes += collapsed({each.column.name: each.values[kept] for each in (*event, *context)})
    x = np.stack([each.values for each in event], axis=1).astype(np.float32)
    condition, values = condition_of(context)
    grain = np.array([each.column.grain or 0.0 for each in event], np.float32)
    extra = {
        **domains_of(event, options),
        **({} if condition is None else {"condition": condition.describe()}),
        **({"given": [records.write(each.column) for each in context]} if context else {}),
        **({} if rows.headed else {"columns": [records.write(each.column) for each in event]}),
    }
    train, validation, test = (_part(x, values, places) for places in parts)
    data = Dataset(
        name,
        train,
        validation,
        test,
        grain=grain if grain.any() else None,
        modality=_table(event) if rows.headed else None,
        labels=condition.labels if condition is not None and condition.kind == "classes" else (),
        extra=extra,
    )
    return Built(data, (*rows.notes, *told, *notes))


def _table(event: Sequence[Numbers]) -> Table:
    return Table(tuple(each.column for each in event))


def _check_names(rows: Rows, options: Options) -> None:
    """Refuse unknown headings, all at once, with suggestions."""
    named = [*options.given, *options.kinds, *options.bounds, *options.circular, *filter(None, [options.split])]
    unknown = [name for name in dict.fromkeys(named) if name not in rows.columns]
    if not unknown:
        return
    told = []
    for name in unknown:
        close = difflib.get_close_matches(name, rows.columns, n=1)
        told.append(f"{name!r}{f' (did you mean {close[0]!r}?)' if close else ''}")
    raise DataError(
        f"the data have no column {', '.join(told)}", hint=f"The columns are {', '.join(map(repr, rows.columns))}."
    )


def _check_used(used: Sequence[Described], columns: Sequence[Described], options: Options) -> None:
    """Refuse options that make no sense for their columns."""
    kinds = {column.name: column.kind for column in columns}
    names = {column.name for column in used}
    for what, named in (("given", options.given), ("bounded", options.bounds), ("circular", options.circular)):
        for name in named:
            if name not in names:
                raise DataError(
                    f"column {name!r} cannot be {what}: it is left out, since its kind is {kinds[name]}",
                    hint=f"If that is wrong, state its kind, such as --kind {name}=integer." if name in kinds else None,
                )
            if what != "given" and name in options.given:
                raise DataError(f"column {name!r} is given, so it is not sampled and cannot be {what}")
            if what != "given" and kinds[name] in ("categorical", "boolean", "date"):
                raise DataError(f"column {name!r} holds {kinds[name]} values, which cannot be {what}")


def _kept(rows: Rows, used: Sequence[Described], options: Options) -> tuple[NDArray[np.bool_], list[str]]:
    """Which rows are used, and notes on missing cells.

    Raises:
        DataError: cells are missing, and the options do not say what to do with them.
    """
    every = np.ones(len(rows), bool)
    missing = [column for column in used if column.missing]
    if not missing:
        return every, []
    listed = ", ".join(f"{column.name!r} {column.missing:,}" for column in missing)
    gone = np.any([rows.columns[column.name].missing for column in missing], axis=0)
    if options.missing == "error":
        raise DataError(
            f"cells are missing in {int(gone.sum()):,} of {len(rows):,} rows: {listed}",
            hint='Say what to do with them: --missing drop, or --missing indicator (missing = "drop" in a recipe).',
        )
    if options.missing == "drop":
        return ~gone, [f"{int(gone.sum()):,} of {len(rows):,} rows are dropped for missing cells: {listed}"]
    return every, [f"missing cells are modelled by an indicator: {listed}"]


def _numbers(
    column: Described, cells: Cells, options: Options, kept: NDArray[np.bool_], train: NDArray[np.int64]
) -> tuple[list[Numbers], list[str]]:
    """A column as the model sees it, and a second one that says where cells are missing, if any are.

    Its range, and what fills its missing cells, are those of the training rows.
    """
    gone = cells.missing & kept
    if column.kind in ("categorical", "boolean"):
        texts = np.array(written(cells.values, cells))
        names = (*column.values, "") if gone.any() else column.values
        places = {name: float(i) for i, name in enumerate(names)}
        values = np.array(
            [
                places[""] if missing and "" in places else places.get(text, 0.0)
                for text, missing in zip(texts, cells.missing, strict=True)
            ]
        )
        return [Numbers(Column.categories(column.name, names), values)], []
    values = cells.values.astype(np.float64)
    origin = float(np.floor(values[~cells.missing].min())) if cells.date else 0.0
    values = values - origin
    known = values[train[~cells.missing[train]]]
    if not len(known):
        raise DataError(f"column {column.name!r} has no values in the training rows: leave it out, or split otherwise")
    grain, told = _kept_grain(column, values[~cells.missing])
    low, high = options.bounds.get(column.name, (None, None))
    if column.name in options.bounds or column.name in options.circular:
        check_range(column.name, values[kept & ~gone], options)
    if grain is not None and column.name in options.circular:
        # samples near the end of a period are not written as numbers beyond it
        low, high = (float(end) for end in options.circular[column.name])
        low, high = float(np.ceil(low / grain)) * grain, float(np.floor(high / grain)) * grain
    elif grain is not None and column.name not in options.bounds:
        low, high = float(known.min()), float(known.max())
    elif column.name in options.given and gone.any() and low is None:
        low, high = float(known.min()), float(known.max())  # what stands for a missing number lies between
    described = Column(column.name, (), grain, low, high, date=cells.date, origin=origin)
    if not gone.any():
        return [Numbers(described, values)], told
    # filled with numbers from other rows: a constant would be a spike, which no density has
    random = np.random.default_rng([options.split_seed, 1])
    values[cells.missing] = random.choice(known, int(cells.missing.sum()))
    mark = replace(Column.categories(f"{column.name} is missing", ("no", "yes")), marks=column.name)
    return [Numbers(described, values), Numbers(mark, gone.astype(np.float64))], told


def _kept_grain(column: Described, values: NDArray[np.float64]) -> tuple[float | None, list[str]]:
    """The grain of a column, unless float32 is too coarse for it."""
    grain = column.grain
    largest = float(np.abs(values).max()) if len(values) else 0.0
    if grain is not None and largest > STEPS * grain:
        return None, [
            f"column {column.name!r} goes up to {largest:g}, where float32 cannot resolve its steps of {grain:g}"
        ]
    return grain, []


def check_range(name: str, values: NDArray[np.float64], options: Options) -> None:
    """Refuse numbers outside the bounds or the period that a user stated."""
    low, high = options.bounds.get(name) or options.circular[name]
    if outside := int(((values < low) | (values > high)).sum()):
        circular = name in options.circular
        what = "period" if circular else "bounds"
        raise DataError(
            f"column {name!r} has {outside:,} numbers outside its {what} from {low:g} to {high:g}: they go from "
            f"{values.min():g} to {values.max():g}",
            hint=f"State the period, such as --circular {name}=0:360." if circular else None,
        )


def domains_of(event: Sequence[Numbers], options: Options) -> dict[str, object]:
    """Bounds and periods by column index; rounded numbers get one grain more at the top, for their noise."""
    domains: dict[str, object] = {}
    for what, ranges in (("bounds", options.bounds), ("circular", options.circular)):
        each = {}
        for place, numbers in enumerate(event):
            if (pair := ranges.get(numbers.column.name)) is not None:
                each[str(place)] = _held(pair, numbers.column.grain or 0.0) if what == "bounds" else list(pair)
        if each:
            domains[what] = each
    return domains


def _held(pair: tuple[float, float], grain: float) -> list[float]:
    """Bounds that hold every float32 of numbers within a pair, with noise of one grain added to rounded ones."""
    low, high = (np.float32(value) for value in pair)
    # as floats, which NumPy does not round to compare
    low = low if float(low) <= pair[0] else np.nextafter(low, np.float32(-np.inf))
    high = high if float(high) >= pair[1] else np.nextafter(high, np.float32(np.inf))
    # the sum of a number and its noise is rounded once more
    top = np.nextafter(high + np.float32(grain), np.float32(np.inf)) if grain else high
    return [float(low), float(top)]


def condition_of(context: Sequence[Numbers]) -> tuple[Condition | None, Any]:
    """The condition that the given columns form, and its values: a class, a vector, or parts."""
    if not context:
        return None, None
    classes = [each for each in context if each.column.values and not each.column.marks]
    numbers = [each for each in context if each not in classes]
    vector = np.stack([each.values for each in numbers], 1).astype(np.float32) if numbers else None
    headings = [each.column.name for each in numbers]
    if not classes:
        return Condition.vector(len(numbers), headings), vector
    if len(classes) == 1 and not numbers:
        (only,) = classes
        return Condition.classes(len(only.column.values), only.column.values), only.values.astype(np.int32)
    parts: list[Part] = []
    values: dict[str, Array] = {}
    for each in classes:
        name = _identifier(each.column.name, values)
        parts.append(
            Part(name, "classes", meaning=each.column.name, size=len(each.column.values), labels=each.column.values)
        )
        values[name] = each.values.astype(np.int32)
    if vector is not None:
        name = _identifier("numbers", values)
        parts.append(Part(name, "numbers", (len(numbers),), labels=tuple(headings)))
        values[name] = vector
    return Condition(tuple(parts)), values


def _identifier(heading: str, taken: Iterable[str]) -> str:
    """A heading as the name of a part: an ASCII identifier that is not taken."""
    plain = "".join(c if c.isascii() and c.isalnum() else "_" for c in heading).strip("_") or "part"
    name = plain if plain[0].isalpha() else f"part_{plain}"
    name = f"{name}_" if name == ONLY else name
    while name in set(taken):
        name += "_"
    return name


def _part(x: Array | Lazy, condition: Any, places: NDArray[np.int64]) -> Split:
    selected: Any = None
    if isinstance(condition, Mapping):
        selected = {name: values[places] for name, values in condition.items()}
    elif condition is not None:
        selected = condition[places]
    return Split(chosen(x, places), selected)  # type: ignore[arg-type]


# -- splits -----------------------------------------------------------------------------------------------------------


def splits_of(
    stated: NDArray[np.str_] | None, options: Options, cells: Cells | None, n: int
) -> NDArray[np.str_] | None:
    """The name of each row's split, or None for a random one.

    Raises:
        DataError: a column with other words.
    """
    if not options.split:
        return stated
    if cells is None:
        raise DataError(f"these data have no column {options.split!r} that could say how they are split")
    words = [text.lower() for text in written(cells.values, cells)]
    if unknown := sorted({w for w, gone in zip(words, cells.missing, strict=True) if gone or w not in SPLIT_WORDS}):
        raise DataError(
            f"column {options.split!r} has the value {unknown[0]!r}, and must name the split of each row: train, "
            "validation or test"
        )
    return np.array([SPLIT_WORDS[word] for word in words])


def places_of(splits: NDArray[np.str_] | None, kept: NDArray[np.bool_], options: Options) -> list[NDArray[np.int64]]:
    """The rows of train, validation and test, in this order.

    If a source has only training rows, some become validation and test rows; if one of these two is missing, some
    training rows take its place.

    Raises:
        DataError: a split without rows.
    """
    rows = np.flatnonzero(kept)
    random = np.random.default_rng(options.split_seed)
    if splits is None:
        return _drawn(random.permutation(rows), options.shares)
    by_split = {name: rows[splits[rows] == name] for name in SPLITS}
    if not len(by_split["train"]):
        raise DataError("the split train has no rows")
    if not len(by_split["test"]) and not len(by_split["validation"]):
        return _drawn(random.permutation(by_split["train"]), options.shares)
    for name in ("validation", "test"):
        if not len(by_split[name]):
            share = options.shares[SPLITS.index(name)]
            order = random.permutation(by_split["train"])
            count = max(1, round(len(order) * share))
            by_split[name], by_split["train"] = order[:count], order[count:]
    if not len(by_split["train"]):
        raise DataError("too few rows for three splits")
    return [by_split[name] for name in SPLITS]


def _drawn(order: NDArray[np.int64], shares: tuple[float, float, float]) -> list[NDArray[np.int64]]:
    n = len(order)
    validation, test = (max(1, round(n * share)) for share in shares[1:])
    if n - validation - test < 1:
        raise DataError(f"{n} samples are too few for three splits")
    return [order[validation + test :], order[:validation], order[validation : validation + test]]


# -- samples ----------------------------------------------------------------------------------------------------------


def _domains_of_samples(name: str, samples: Samples, options: Options) -> dict[str, object]:
    """Bounds and periods of the numbers of a sample; other options of columns need columns.

    Raises:
        DataError: there are no columns, or none of that name.
    """
    ranged = [*options.bounds, *options.circular]
    for column in (*options.given, *options.kinds, *filter(None, [options.split]), *ranged):
        if column not in samples.headings or column not in ranged:
            have = f": there are {', '.join(samples.headings)}" if samples.headings and column in ranged else ""
            raise DataError(
                f"{name} has no columns, so there is no {column!r}"
                if not have
                else f"{name} has no column {column!r}{have}"
            )
    x = np.asarray(samples.x, np.float64) if ranged else np.zeros((0, len(samples.headings)))
    event = [Numbers(Column(each, (), samples.grain), x[:, i]) for i, each in enumerate(samples.headings)]
    for numbers in event:
        if numbers.column.name in ranged:
            check_range(numbers.column.name, numbers.values, options)
    return domains_of(event, options)


def _of_samples(name: str, samples: Samples, options: Options) -> Built:
    domains = _domains_of_samples(name, samples, options)
    kept = np.ones(len(samples), bool)
    places = places_of(samples.splits, kept, options)
    event = samples.x.shape[1:]
    grain = None if samples.grain is None else np.full(event, samples.grain, np.float32)
    extra: dict[str, object] = {**domains, **({} if samples.grain is None else {"grain": samples.grain})}
    condition = samples.condition
    if samples.labels:
        extra["condition"] = Condition.classes(len(samples.labels), samples.labels).describe()
    elif isinstance(condition, Mapping):
        if (several := parts_of(condition)) is not None:
            extra["condition"] = several.describe()
    elif isinstance(condition, np.ndarray):
        whole = condition.ndim == 1 and condition.dtype.kind in "iu"
        described = Condition.classes(int(condition.max()) + 1) if whole else Condition.vector(condition.shape[1])
        extra["condition"] = described.describe()
    train, validation, test = (_part(samples.x, condition, each) for each in places)
    data = Dataset(
        name,
        train,
        validation,
        test,
        levels=samples.levels,
        grain=grain,
        modality=samples.modality,
        labels=samples.labels,
        extra=extra,
    )
    return Built(data, samples.notes)
