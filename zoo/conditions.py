"""Conditions of a model: none, one of k classes, or a vector of d numbers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zoo import records
from zoo.errors import ConditionError, ConfigError

#: a class, by number or label, or a vector, for all samples or one for each; None for the model's own choice
ConditionLike: TypeAlias = ArrayLike | None


@dataclass(frozen=True)
class Condition:
    """Built by :meth:`classes` or :meth:`vector`.

    Attributes:
        kind: ``"classes"`` or ``"vector"``.
        size: the number of classes, or the length of the vector.
        labels: one name for each class (or vector component), or empty.
        required: whether sampling and scoring need it. A model trained for classifier-free guidance has a null
            class and does not.
    """

    kind: Literal["classes", "vector"]
    size: int
    labels: tuple[str, ...] = ()
    required: bool = True

    def __post_init__(self) -> None:
        """Validate the fields."""
        whole = isinstance(self.size, (int, np.integer)) and not isinstance(self.size, bool)
        if self.kind not in ("classes", "vector") or not whole or self.size < 1:
            raise ConfigError(f"a condition is classes or vector of size 1 or more, not {self.kind} of {self.size}")
        if not all(isinstance(label, str) for label in self.labels) or not isinstance(self.required, bool):
            raise ConfigError("the labels of a condition must be texts, and required must be true or false")
        if self.labels and len(self.labels) != self.size:
            raise ConfigError(f"a condition of size {self.size} has {len(self.labels)} labels")

    @classmethod
    def classes(cls, size: int, labels: Sequence[str] = (), *, required: bool = True) -> Condition:
        """One of ``size`` classes, numbered from 0."""
        return cls("classes", size, tuple(labels), required)

    @classmethod
    def vector(cls, size: int, labels: Sequence[str] = ()) -> Condition:
        """``size`` real numbers."""
        return cls("vector", size, tuple(labels))

    def describe(self) -> dict[str, Any]:
        """As JSON values."""
        described: dict[str, Any] = records.write(self)
        return described

    @classmethod
    def from_description(cls, fields: Mapping[str, Any]) -> Condition:
        """The inverse of :meth:`describe`.

        Raises:
            ConfigError: unknown, missing or ill-typed fields, or values out of range.
        """
        return records.read(cls, fields, "condition")

    def index(self, label: int | str) -> int:
        """The number of a class, given its number or label.

        Raises:
            ConditionError: there is no such class.
        """
        if self.kind != "classes":
            raise ConditionError(f"this model is conditioned on a vector of {self.size}, not on a class")
        text = str(label)
        if text in self.labels:
            return self.labels.index(text)
        if text.isdecimal() and int(text) < self.size:
            return int(text)
        names = ", ".join(self.labels) if self.labels else f"0 to {self.size - 1}"
        raise ConditionError(f"there is no class {label!r}", hint=f"The classes are {names}.")

    def array(self, value: ConditionLike, n: int, *, first: int = 0) -> NDArray[Any]:
        """The condition of ``n`` samples as the array that graphs take.

        Args:
            value: None, one class (number or label) or vector for all, or one for each of the ``n`` samples.
                None gives every class in turn, sample i class i mod k; vectors have no such default.
            n: number of samples.
            first: index of the first sample, for classes in turn.

        Returns:
            int32 ``[n]`` for classes, float32 ``[n, size]`` for vectors.

        Raises:
            ConditionError: unknown class, wrong shape, values that are not finite, or a missing vector.
        """
        return self._classes(value, n, first) if self.kind == "classes" else self._vectors(value, n)

    def _classes(self, value: ConditionLike, n: int, first: int) -> NDArray[np.int32]:
        if value is None:
            return ((first + np.arange(n)) % self.size).astype(np.int32)
        if isinstance(value, (str, int)):
            return np.full(n, self.index(value), np.int32)
        values = np.asarray(value)
        if values.dtype.kind in "US":
            values = np.array([self.index(str(v)) for v in values.ravel()]).reshape(values.shape)
        if values.dtype.kind not in "iu":
            raise ConditionError(f"classes are whole numbers or labels, not {values.dtype}")
        if values.shape not in ((), (n,)):
            raise ConditionError(f"{n} samples need one class or {n} classes, not an array of shape {values.shape}")
        if values.size and not (values.min() >= 0 and values.max() < self.size):
            raise ConditionError(f"classes run from 0 to {self.size - 1}; got {values.min()} to {values.max()}")
        return np.broadcast_to(values, (n,)).astype(np.int32)

    def _vectors(self, value: ConditionLike, n: int) -> NDArray[np.float32]:
        if value is None:
            raise ConditionError(f"this model needs a condition of {self.size} numbers for each sample")
        values = np.asarray(value)
        if values.dtype.kind not in "fiu":
            raise ConditionError(f"a condition vector holds numbers, not {values.dtype}")
        if values.shape not in ((self.size,), (n, self.size)):
            raise ConditionError(
                f"{n} samples need a condition of shape ({self.size},) or ({n}, {self.size}), not {values.shape}"
            )
        # in the graphs' float32, 1e39 is not finite either
        with np.errstate(over="ignore"):
            vectors = values.astype(np.float32)
        if not np.isfinite(vectors).all():
            raise ConditionError("the condition has values that are not finite in float32")
        return np.broadcast_to(vectors, (n, self.size)).copy()
