"""Whether data fit a model, before the first step."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np

from zoo.arrays import is_ragged
from zoo.conditions import Condition
from zoo.data import Dataset, Split, check_finite
from zoo.errors import ConditionError, DataError
from zoo.modality import Table, describe, misfit_of
from zoo.models.interface import GenerativeModel

#: conditions that are looked at at once, where they are filled up to the longest of them
_ROWS = 500


def check_fit(model: GenerativeModel, data: Dataset) -> None:
    """Refuse data that the model cannot be trained on, before the first step.

    Raises:
        DataError: event shape, or condition, does not fit, or a number is not finite.
    """
    if data.event_shape != model.event_shape:
        raise DataError(
            f"data set {data.name} has events of shape {data.event_shape}, the model of {model.event_shape}"
        )
    if model.condition is not None and any(
        split.condition is None for split in (data.train, data.validation, data.test)
    ):
        raise DataError(f"the model is conditioned on {model.condition.told}, which data set {data.name} does not have")
    _check_modality(data, model)
    for name in ("train", "validation", "test"):
        _check_split(getattr(data, name), f"of the {name} split of data set {data.name}", data, model.condition)


def _check_modality(data: Dataset, model: GenerativeModel) -> None:
    """Refuse, before anything is trained, a modality that the card could not state or the bundle would not have."""
    describe(data.modality)
    shape = model.event_shape if model.length is None else model.length.content_shape(model.event_shape)
    if misfit := misfit_of(data.modality, shape, data.levels):
        raise DataError(f"data set {data.name} has events of shape {data.event_shape}, but {misfit}")


def _check_split(split: Split, whose: str, data: Dataset, condition: Condition | None) -> None:
    names = [column.name for column in data.modality.columns] if isinstance(data.modality, Table) else []
    check_finite(split.x, f"the samples {whose}", names)
    if condition is None or split.condition is None:
        return
    try:
        if isinstance(split.condition, Mapping) or not condition.plain:
            labels = {part.name: part.labels for part in condition.parts}
            for name, part in split.condition.items() if isinstance(split.condition, Mapping) else ():
                check_finite(part, f"the conditions {name} {whose}", labels.get(name, ()))
            _check_parts(split, condition)
        else:
            check_finite(np.asarray(split.condition), f"the contexts {whose}", condition.labels)
            condition.array(split.condition, len(split))
    except ConditionError as error:
        raise DataError(f"the conditions {whose} do not fit the model: {error}", hint=error.hint) from error


def _check_parts(split: Split, condition: Condition) -> None:
    """Read all conditions, a part of them at a time where they would be filled up to the longest of all."""
    conditions = split.condition.values() if isinstance(split.condition, Mapping) else (split.condition,)
    size = _ROWS if any(map(is_ragged, conditions)) else len(split)
    for start in range(0, len(split), size):
        rows = slice(start, min(start + size, len(split)))
        condition.arrays(split.condition_at(rows), rows.stop - rows.start)
