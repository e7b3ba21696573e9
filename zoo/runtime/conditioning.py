"""Conditions at run time: checked, encoded once for each different one, and given to graphs row by row."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from functools import cached_property
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.errors import RuntimeFailure
from zoo.parts import ONLY
from zoo.runtime.session import Session
from zoo.samplers.guidance import RunCondition


class ConditionRows:
    """Conditions of samples as graphs take them, by port: each different one is one row.

    Indexing by a slice gives those of some of the samples.

    Args:
        rows: gives arrays ``[rows, ...]`` by port, for given lengths of tokens and sequences; called once,
            when they are first needed.
        index: the row of each sample.
        lengths: of tokens and sequences, see :meth:`zoo.conditions.Condition.lengths`.
    """

    def __init__(
        self,
        rows: Callable[[Mapping[int | str, int]], Mapping[str, Array]],
        index: NDArray[np.intp],
        lengths: Mapping[int | str, int] | None = None,
    ) -> None:
        self._make, self.index, self.lengths = rows, index, lengths or {}

    @cached_property
    def rows(self) -> Mapping[str, Array]:
        """Arrays ``[rows, ...]`` by port."""
        return self._make(self.lengths)

    def __len__(self) -> int:
        """Number of samples."""
        return len(self.index)

    def __getitem__(self, samples: slice) -> ConditionRows:
        """Those of some of the samples."""
        return ConditionRows(lambda _: self.rows, self.index[samples])

    def padded(self, n: int) -> ConditionRows:
        """With the last one repeated until there are ``n``."""
        return ConditionRows(lambda _: self.rows, np.pad(self.index, (0, max(n - len(self), 0)), "edge"))

    def longer(self, lengths: Mapping[int | str, int]) -> ConditionRows:
        """With tokens and sequences filled up to some lengths."""
        return self if lengths == self.lengths else ConditionRows(self._make, self.index, lengths)

    def arrays(self) -> dict[str, Array]:
        """Arrays ``[n, ...]`` by port; views of a single row, if there is only one."""
        if len(self.index) and all(len(array) == 1 for array in self.rows.values()):
            return {name: np.broadcast_to(a, (len(self), *a.shape[1:])) for name, a in self.rows.items()}
        return {name: array.take(self.index, 0) for name, array in self.rows.items()}


def evenly(*conditions: RunCondition) -> tuple[RunCondition, ...]:
    """Conditions of named parts, whose tokens and sequences are filled up to the longest of all; others unchanged."""
    lengths: dict[int | str, int] = {}
    for rows in conditions:
        for name, length in getattr(rows, "lengths", {}).items():
            lengths[name] = max(lengths.get(name, 0), length)
    return tuple(rows.longer(lengths) if isinstance(rows, ConditionRows) else rows for rows in conditions)


#: the condition of ``n`` samples: one class or vector each, or rows by port; None for a model without any
Conditions: TypeAlias = Array | ConditionRows | None


def feeds_of(condition: Conditions) -> dict[str, Array]:
    """A condition as inputs of a graph, by port."""
    if condition is None:
        return {}
    return condition.arrays() if isinstance(condition, ConditionRows) else {ONLY: condition}


def encoded(session: Session, parts: Mapping[str, Array], numbers: int) -> dict[str, Array]:
    """The outputs of a condition encoder, for some rows at a time.

    Args:
        session: the encoder.
        parts: ``[rows, ...]`` by port.
        numbers: how many numbers of the parts may be passed in one call, which takes at least one row. In a bundle of a
            fixed batch, it takes one.

    Raises:
        RuntimeFailure: ONNX Runtime failed, or a value is not finite.
    """
    rows = len(next(iter(parts.values())))
    each = sum(math.prod(array.shape[1:]) for array in parts.values())
    fixed = session.inputs[0].shape[0]
    size = fixed if isinstance(fixed, int) else max(numbers // max(each, 1), 1)
    results = [
        session.run({name: array[first : first + size] for name, array in parts.items()})
        for first in range(0, rows, size)
    ]
    outputs = {name: np.concatenate([result[name] for result in results]) for name in results[0]}
    if not all(np.isfinite(array).all() for array in outputs.values()):
        raise RuntimeFailure(f"graph {session.graph.name} encodes the condition as values that are not finite")
    return outputs
