"""Checks of data sets, with their default options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

import numpy as np

from zoo.data import Dataset, Split, check_finite
from zoo.errors import CheckError, DataError, NotApplicable, UsageError
from zoo.registry import Item, Registry
from zoo.testing.check import Checks

#: rows that are compared and looked at
_ROWS = 2000


def of_dataset(registry: Registry, item: Item, make: Any) -> Checks:
    """What is promised of a function ``(**options) -> Dataset``."""

    @cache
    def load() -> Dataset:
        return _loaded(make, item.description.name)

    def loaded() -> Dataset:
        """For the checks after the first: one failure is not told four times."""
        try:
            return load()
        except NotApplicable:
            raise
        except Exception as error:
            raise NotApplicable("the data set is not made, which the check `splits` tells of") from error

    return {
        "splits": lambda: _splits(load()),
        "finite": lambda: _finite(loaded()),
        "repeatable": lambda: _repeatable(loaded(), _loaded(make, item.description.name)),
        "held-out": lambda: _held_out(loaded()),
        "options": lambda: _options(make),
    }


def _loaded(make: Callable[..., object], name: str) -> Dataset:
    try:
        inspect.signature(make).bind()
    except TypeError as error:
        raise CheckError(
            f"it cannot be called without options: {error}", hint="Give every option a default."
        ) from error
    try:
        data = make()
    except (DataError, UsageError) as error:
        if " of data set " in str(error) and not isinstance(error, UsageError):  # as zoo.data.fetch says
            raise NotApplicable(f"its files are not here: {error}") from error
        raise
    if not isinstance(data, Dataset):
        raise CheckError(f"it returns {type(data).__name__}, where a zoo.Dataset was expected")
    if data.name != name:
        raise CheckError(f"the Dataset is named {data.name!r}, and described as {name!r}")
    return data


def _named(data: Dataset) -> dict[str, Split]:
    return {"train": data.train, "validation": data.validation, "test": data.test}


def _splits(data: Dataset) -> None:
    shapes = {name: np.shape(split.x)[1:] for name, split in _named(data).items()}
    if len(set(shapes.values())) > 1:
        raise CheckError(f"samples have different shapes: {', '.join(f'{k} {v}' for k, v in shapes.items())}")
    kinds = {name: _kind(split.condition) for name, split in _named(data).items()}
    if len(set(kinds.values())) > 1:
        raise CheckError(f"conditions differ: {', '.join(f'{k} {v}' for k, v in kinds.items())}")
    classes = data.train.condition
    if data.labels and isinstance(classes, np.ndarray) and classes.dtype.kind in "iu":
        for name, split in _named(data).items():
            numbers = np.asarray(split.condition)
            if numbers.min() < 0 or numbers.max() >= len(data.labels):
                raise CheckError(
                    f"classes of the {name} split are {numbers.min()} to {numbers.max()}, of {len(data.labels)} labels"
                )


def _kind(condition: Any) -> str:
    if isinstance(condition, Mapping):
        return f"parts {', '.join(sorted(condition))}"
    return "none" if condition is None else f"of shape {np.shape(condition)[1:]}"


def _finite(data: Dataset) -> None:
    for name, split in _named(data).items():
        x = np.asarray(split.x[:_ROWS])
        if x.dtype.kind == "f":
            check_finite(x.astype(np.float32), f"the samples of the {name} split")
        if data.levels and x.dtype.kind in "iuf" and not (x.min() >= 0 and x.max() < data.levels):
            raise CheckError(f"the {name} split goes from {x.min()} to {x.max()}, with {data.levels} levels")


def _repeatable(data: Dataset, again: Dataset) -> None:
    for (name, one), two in zip(_named(data).items(), _named(again).values(), strict=True):
        same = len(one) == len(two) and _equal(one.x[:_ROWS], two.x[:_ROWS])
        if not same:
            raise CheckError(
                f"the {name} split differs the second time, with the same options",
                hint="Draw from np.random.default_rng(seed), with seed as an option.",
            )


def _equal(one: Any, two: Any) -> bool:
    """Whether values are the same, of which some may be NaN: that they are finite is a check of its own."""
    a, b = np.asarray(one), np.asarray(two)
    return np.array_equal(a, b, equal_nan=a.dtype.kind == b.dtype.kind == "f")


def _held_out(data: Dataset) -> None:
    """No split is another one's copy."""
    rows = {name: {_row(x) for x in split.x[:_ROWS]} for name, split in _named(data).items()}
    for one, other in (("train", "test"), ("train", "validation"), ("validation", "test")):
        shared = rows[one] & rows[other]
        # few different samples exist of small numbers and short texts
        if len(rows[other]) >= 50 and len(shared) > 0.5 * len(rows[other]):
            raise CheckError(
                f"{len(shared)} of {len(rows[other])} samples of the {other} split are in the {one} split, too",
                hint="Draw the splits from one generator, one after another, or from seeds of their own.",
            )


def _row(x: object) -> bytes | str:
    return x if isinstance(x, str) else np.asarray(x).tobytes()


def _options(make: Callable[..., object]) -> None:
    try:
        make(surely_no_option=1)
    except (TypeError, UsageError, DataError):
        return
    except Exception as error:
        raise CheckError(f"an option that it does not have ends in {type(error).__name__}: {error}") from error
    raise CheckError("an option that it does not have is accepted", hint="Name the options: no **options.")
