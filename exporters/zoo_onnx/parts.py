"""Named parts of conditions to prove a model with, drawn from the range or the vocabulary of each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import numpy as np

from zoo.arrays import Array
from zoo.conditions import StoredCondition
from zoo.data import ragged
from zoo.models.interface import GenerativeModel
from zoo.parts import Part
from zoo.programs.conditioning import ROWS

Feeds = dict[str, Array]
#: entries of tokens and sequences of any length, where nothing else decides
_LENGTH = 3


class Parts:
    """Draws the parts of a model's condition.

    Args:
        model: in float32 on the CPU.
        random: draws them.
    """

    def __init__(self, model: GenerativeModel, random: np.random.Generator) -> None:
        self._model, self._random = model, random
        self._parts = () if model.condition is None else model.condition.parts

    def feeds(self, sizes: Mapping[str, int]) -> Feeds:
        """Parts and masks ``[rows, ...]`` as an encoder takes them, for sizes of symbolic dimensions.

        Classes include the null class, tokens every symbol, and rows are of different lengths.
        """
        rows, feeds = sizes[ROWS], {}
        masks: Feeds = {}
        for part in self._parts:
            shape = tuple(sizes.get(size, _LENGTH) if isinstance(size, str) else size for size in part.shape)
            feeds[part.name] = self._drawn(part, (rows, *shape), null=True)
            if part.mask is not None:
                # the first row is as long as it can be
                lengths = np.append(shape[0], self._random.integers(1, shape[0] + 1, size=rows - 1))
                masks[part.mask] = (np.arange(shape[0]) < lengths[:, None]).astype(np.float32)
                feeds[part.name][masks[part.mask] == 0] = part.padding or 0
        return {**feeds, **masks}

    def values(self, n: int) -> dict[str, Array]:
        """Parts for ``n`` samples, as ``sample`` takes them, tokens and sequences of lengths of their own."""
        values = {}
        for part in self._parts:
            shape = tuple(_LENGTH if isinstance(size, str) else size for size in part.shape)
            values[part.name] = self._drawn(part, (n, *shape), null=False)
            if part.mask is not None:
                # the first is as long as it can be, and the second as short; shorter ones are filled up
                lengths = np.append([shape[0], 1], self._random.integers(1, shape[0] + 1, size=max(n - 2, 0)))[:n]
                values[part.name] = ragged(values[part.name], lengths)
        return values

    def extremes(self, sizes: Mapping[str, int]) -> Iterator[tuple[str, Feeds]]:
        """Every part at the ends of its range, ten times as large without one, and its null."""
        ordinary = self.feeds(sizes)
        for what, end in (("smallest", -1), ("largest", 1)):
            ends = {part.name: self._end(part, ordinary[part.name], end) for part in self._parts}
            yield f"the {what} numbers", {**ordinary, **ends}
        nulls = {}
        for part in self._parts:
            if (null := part.nulls()) is not None:
                nulls[part.name] = ordinary[part.name].copy()
                # of tokens and sequences, as much of it as there is room for
                where = (slice(None), slice(null.array.shape[1])) if part.mask is not None else (slice(None),)
                length = ordinary[part.name].shape[1] if part.mask is not None else None
                nulls[part.name][where] = null.array if length is None else null.array[:, :length]
        if nulls:
            yield "the nulls", {**ordinary, **nulls}

    def _end(self, part: Part, drawn: Array, end: int) -> Array:
        limit = part.minimum if end < 0 else part.maximum
        if part.dtype == "int32":
            return np.full_like(drawn, 0 if end < 0 else (part.size or 1) - 1)
        return np.full_like(drawn, limit) if limit is not None else drawn * drawn.dtype.type(10 * end)

    def _drawn(self, part: Part, shape: tuple[int, ...], *, null: bool) -> Array:
        if part.modality == "classes":
            return self._random.integers(
                (part.size or 1) + (null and part.null is not None), size=shape, dtype=np.int32
            )
        if part.modality == "tokens":
            ids = np.setdiff1d(np.arange(part.size or 1), [] if part.padding is None else [part.padding])
            return self._random.choice(ids, size=shape).astype(np.int32)
        low, high = part.minimum, part.maximum
        if low is not None and high is not None:
            return self._random.uniform(low, high, size=shape).astype(np.float32).clip(low, high)
        values = self._model.typical_context(part, np.asarray(self._random.standard_normal(shape), np.float32))
        return values.clip(-np.inf if low is None else low, np.inf if high is None else high).astype(np.float32)


def first(condition: StoredCondition, n: int) -> StoredCondition:
    """The conditions of the first ``n`` samples."""
    if isinstance(condition, Mapping):
        return {name: values[:n] for name, values in condition.items()}
    return None if condition is None else condition[:n]


def one_alone(condition: StoredCondition, sample: int = 1) -> StoredCondition:
    """The condition of a sample, by default the second, which is not class 0, as ``sample`` takes one for all."""
    if isinstance(condition, Mapping):
        return {name: values[sample] for name, values in condition.items()}
    return None if condition is None else condition[sample]
