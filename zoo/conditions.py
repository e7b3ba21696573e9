"""Conditions of a model: none, one of k classes, a vector of d numbers, or several named parts of any kind."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, Protocol, TypeAlias

import numpy as np
from numpy.typing import ArrayLike, NDArray

from zoo import records
from zoo.arrays import Array
from zoo.errors import ConditionError, ConfigError, UsageError
from zoo.parts import ONLY, Part, Values

__all__ = ["Condition", "ConditionLike", "Part", "StoredCondition"]

#: a class, by number or label, or a vector, for all samples or one for each; the same for parts by their names; None
#: for the model's own choice
ConditionLike: TypeAlias = ArrayLike | Mapping[str, ArrayLike | None] | None
#: the condition beside the samples of a file: an array; or, by the names of parts, an array each, or a list of one
#: array for each sample where their lengths differ
StoredCondition: TypeAlias = Array | Mapping[str, Array | list[Array]] | None

_LARGEST_PARTS = 64


class HasShape(Protocol):
    """An array or a tensor."""

    @property
    def shape(self) -> Sequence[int]:
        """Its sizes."""
        ...


@dataclass(frozen=True)
class _Plain:
    """How a condition of one class or one vector is stored."""

    kind: Literal["classes", "vector"]
    size: int
    labels: tuple[str, ...] = ()
    required: bool = True


@dataclass(frozen=True)
class Condition:
    """One or several parts. :meth:`classes` and :meth:`vector` make conditions of one part, named "condition".

    Attributes:
        parts: the parts, with different names.

    Raises:
        ConfigError: no parts, or two with one name.
    """

    parts: tuple[Part, ...]

    def __post_init__(self) -> None:
        """Validate the parts."""
        object.__setattr__(self, "parts", tuple(self.parts))
        if not 1 <= len(self.parts) <= _LARGEST_PARTS or not all(isinstance(part, Part) for part in self.parts):
            raise ConfigError(f"a condition has 1 to {_LARGEST_PARTS} parts, each a zoo.Part")
        names = [name for part in self.parts for name in (part.name, part.mask) if name is not None]
        if twice := [name for name in names if names.count(name) > 1]:
            raise ConfigError(f"two parts or masks of a condition are named {twice[0]}")

    @classmethod
    def classes(cls, size: int, labels: Sequence[str] = (), *, required: bool = True) -> Condition:
        """One of ``size`` classes, numbered from 0."""
        return cls._plain("classes", size, tuple(labels), required)

    @classmethod
    def vector(cls, size: int, labels: Sequence[str] = ()) -> Condition:
        """``size`` real numbers."""
        return cls._plain("vector", size, tuple(labels), True)

    @classmethod
    def _plain(cls, kind: str, size: int, labels: tuple[str, ...], required: bool) -> Condition:
        whole = isinstance(size, (int, np.integer)) and not isinstance(size, bool)
        if kind not in ("classes", "vector") or not whole or size < 1:
            raise ConfigError(f"a condition is classes or vector of size 1 or more, not {kind} of {size}")
        if not all(isinstance(label, str) for label in labels) or not isinstance(required, bool):
            raise ConfigError("the labels of a condition must be texts, and required must be true or false")
        if labels and len(labels) != size:
            raise ConfigError(f"a condition of size {size} has {len(labels)} labels")
        if kind == "vector":
            return cls((Part(ONLY, "numbers", (int(size),), labels=labels, required=required),))
        null = None if required else int(size)
        return cls((Part(ONLY, "classes", size=int(size), labels=labels, null=null, required=required),))

    # -- as one class or one vector ---------------------------------------------------------------------------------

    @cached_property
    def kind(self) -> Literal["classes", "vector", "parts"]:
        """``"classes"`` or ``"vector"`` for what :meth:`classes` and :meth:`vector` make, ``"parts"`` for all else."""
        part = self.parts[0]
        kind: Literal["classes", "vector"] = "classes" if part.modality == "classes" else "vector"
        size = part.size if kind == "classes" else (*part.shape, None)[0]
        if len(self.parts) > 1 or part.name != ONLY or not isinstance(size, int):
            return "parts"
        return kind if self == self._plain(kind, size, part.labels, part.required) else "parts"

    @property
    def plain(self) -> bool:
        """Whether it is one class or one vector, which graphs take as one input ``condition``."""
        return self.kind != "parts"

    @property
    def size(self) -> int:
        """The number of classes, or the length of the vector.

        Raises:
            UsageError: a condition of parts.
        """
        if self.kind == "parts":
            raise UsageError(
                f"one class or one vector is needed here, not a condition of the parts {', '.join(self.names)}"
            )
        part = self.parts[0]
        return int((part.size if part.modality == "classes" else part.shape[0]) or 0)

    @property
    def labels(self) -> tuple[str, ...]:
        """One name for each class (or vector component), or empty."""
        return self.parts[0].labels if self.plain else ()

    @property
    def required(self) -> bool:
        """Whether sampling and scoring need it, or one of its parts.

        A model trained for classifier-free guidance has a null class and does not.
        """
        return any(part.required for part in self.parts)

    @property
    def told(self) -> str:
        """What it is, in words: ``the classes``, ``the vector``, or the parts by name."""
        named = f"part{'s' if len(self.parts) > 1 else ''} {', '.join(self.names)}"
        return f"the {named if self.kind == 'parts' else self.kind}"

    @property
    def names(self) -> tuple[str, ...]:
        """The names of the parts."""
        return tuple(part.name for part in self.parts)

    def index(self, label: int | str) -> int:
        """The number of a class, given its number or label.

        Raises:
            ConditionError: there is no such class.
        """
        if self.kind == "vector":
            raise ConditionError(f"this model is conditioned on a vector of {self.size}, not on a class")
        if self.kind == "parts":
            raise ConditionError(f"this model is conditioned on the parts {', '.join(self.names)}, not on a class")
        return self.parts[0].index(label)

    # -- as JSON values ---------------------------------------------------------------------------------------------

    def describe(self) -> dict[str, object]:
        """As JSON values."""
        if self.kind == "parts":
            return {"parts": records.write(self.parts)}
        described: dict[str, object] = records.write(_Plain(self.kind, self.size, self.labels, self.required))
        return described

    #: how :mod:`zoo.records` writes a condition within something else
    as_record = describe

    @classmethod
    def from_description(cls, fields: Mapping[str, object]) -> Condition:
        """The inverse of :meth:`describe`.

        Raises:
            ConfigError: unknown, missing or ill-typed fields, or values out of range.
        """
        return cls.from_record(fields, "condition")

    @classmethod
    def from_record(cls, fields: object, where: str) -> Condition:
        """The same for the condition that stands at ``where``."""
        if isinstance(fields, Mapping) and "parts" in fields:
            return cls(records.read(_Parts, fields, where).parts)
        plain = records.read(_Plain, fields, where)
        return cls._plain(plain.kind, plain.size, plain.labels, plain.required)

    # -- values -----------------------------------------------------------------------------------------------------

    def array(self, value: ConditionLike, n: int, *, first: int = 0) -> Array:
        """The one class or vector of ``n`` samples as the array that graphs take.

        Args:
            value: None, one class (number or label) or vector for all, or one for each of the ``n`` samples.
                None gives every class in turn, sample i class i mod k; vectors have no such default.
            n: number of samples.
            first: index of the first sample, for classes in turn.

        Returns:
            int32 ``[n]`` for classes, float32 ``[n, size]`` for vectors.

        Raises:
            ConditionError: unknown class, wrong shape, values that are not finite, or a missing vector.
            UsageError: a condition of several parts, whose values :meth:`arrays` gives.
        """
        if not self.plain:
            raise UsageError(f"a condition of the parts {', '.join(self.names)} is not one array")
        array = self._values(value, n, first)[self.parts[0]].array
        # a copy, so that no two samples share memory
        return array if len(array) == n else np.repeat(array, n, 0)

    def arrays(self, value: ConditionLike, n: int, *, first: int = 0) -> dict[str, Array]:
        """The values of all parts for ``n`` samples, by name, as graphs take them.

        Args:
            value: for each part by its name: one value for all, or ``n`` of them; the value itself if there is
                only one part. A text stands for tokens with an alphabet. A part that is left out takes its null; if it
                is the only one, of classes, it takes every class in turn.
            n: number of samples.
            first: index of the first sample, for classes in turn.

        Returns:
            int32 ``[n]`` for classes and ``[n, length]`` for tokens, float32 ``[n, *shape]`` for others; and for
            tokens and sequences float32 ``[n, length]`` under the name of their mask.

        Raises:
            ConditionError: a part that is missing or unknown, or a value that it does not take; the part is named.
        """
        arrays = self._arrays(value, n, first)
        return {name: array if len(array) == n else np.repeat(array, n, 0) for name, array in arrays.items()}

    def distinct(self, value: ConditionLike, n: int, *, first: int = 0) -> tuple[dict[str, Array], NDArray[np.intp]]:
        """As :meth:`arrays`, but each different condition once: arrays ``[rows, ...]``, and the row of each sample."""
        whole = self._arrays(value, n, first)
        several = [np.ascontiguousarray(array) for array in whole.values() if len(array) == n > 1]
        rows: dict[bytes, int] = {}
        index, chosen = np.zeros(n, np.intp), [0]
        if several:
            chosen = []
            for i in range(n):
                key = b"".join(array[i].tobytes() for array in several)
                if key not in rows:
                    rows[key] = len(chosen)
                    chosen.append(i)
                index[i] = rows[key]
        arrays = {
            name: array[chosen] if len(array) == n else np.repeat(array, len(chosen), 0)
            for name, array in whole.items()
        }
        return arrays, index

    def lengths(self, arrays: Mapping[str, HasShape]) -> dict[int | str, int]:
        """The lengths of the tokens and sequences among arrays or tensors, by the names of these lengths."""
        return {part.shape[0]: int(arrays[part.name].shape[1]) for part in self.parts if part.mask is not None}

    def longer(self, arrays: Mapping[str, Array], lengths: Mapping[int | str, int]) -> dict[str, Array]:
        """Arrays like those of :meth:`distinct`, tokens and sequences filled up to some lengths, by their names."""
        filled = dict(arrays)
        for part in self.parts:
            missing = 0 if part.mask is None else lengths.get(part.shape[0], 0) - arrays[part.name].shape[1]
            if part.mask is None or missing <= 0:
                continue
            for name, filler in ((part.name, part.padding or 0), (part.mask, 0)):
                room = [(0, missing if axis == 1 else 0) for axis in range(arrays[name].ndim)]
                filled[name] = np.pad(arrays[name], room, constant_values=filler)
        return filled

    def alone(self, value: ConditionLike, n: int, sample: int) -> dict[str, Array]:
        """The value of one of ``n`` samples, by the names of parts, as a value for all.

        Raises:
            ConditionError: as for :meth:`arrays`.
        """
        named = self._by_name(value)
        alone = {}
        for part, values in self._values(value, n, 0).items():
            if named is None or named.get(part.name) is not None:
                row = sample if len(values.array) == n else 0
                alone[part.name] = (
                    values.array[row] if values.lengths is None else values.array[row][: values.lengths[row]]
                )
        return alone

    def taken(self, value: ConditionLike, n: int, samples: Sequence[int] | Array) -> dict[str, Array | list[Array]]:
        """The values by the names of parts for some of ``n`` samples, by their numbers; one for all samples is kept.

        Raises:
            ConditionError: as for :meth:`arrays`.
        """
        named = self._by_name(value) or {}
        taken: dict[str, Array | list[Array]] = {}
        for part, values in self._values(value, n, 0).items():
            if named.get(part.name) is None and self.kind == "parts":
                continue  # a part that was left out stays left out
            rows = [row if values.lengths is None else row[: values.lengths[i]] for i, row in enumerate(values.array)]
            if len(rows) == n > 1:
                chosen = [rows[i] for i in samples]
                taken[part.name] = np.stack(chosen) if values.lengths is None else chosen
            else:
                taken[part.name] = rows[0]
        return taken

    def stored(self, value: ConditionLike, n: int) -> dict[str, Array]:
        """The given values of ``n`` samples as arrays, to be written to a file: ``[n, *shape]``, or ``[1, *shape]`` for
        one value of all samples.

        Tokens and sequences of different lengths come with their masks.
        """
        stored: dict[str, Array] = {}
        named = self._by_name(value) or {}
        for part, values in self._values(value, n, 0).items():
            if named.get(part.name) is None and self.kind == "parts":
                continue
            stored[part.name] = values.array
            if part.mask is not None and not values.mask().all():
                stored[part.mask] = values.mask()
        return stored

    def restored(self, arrays: Mapping[str, Array | list[Array]]) -> dict[str, Array | list[Array]]:
        """Values as :meth:`arrays` takes them, of a file's arrays: those of :meth:`stored`, without the axis of one
        value for all; other arrays are ignored.

        Raises:
            ConditionError: a mask that does not say where tokens or rows of a sequence end; the part is named.
        """
        values: dict[str, Array | list[Array]] = {}
        for part in self.parts:
            if part.name not in arrays:
                continue
            array = arrays[part.name]
            if part.mask is None or part.mask not in arrays:
                values[part.name] = array
                continue
            values[part.name] = _cut(part, np.asarray(array), np.asarray(arrays[part.mask]))
        return values

    def nulls(self, lengths: Mapping[int | str, int] | None = None) -> dict[str, Array]:
        """What stands for no condition: the nulls of all parts, as arrays ``[1, ...]`` like those of :meth:`distinct`.

        Args:
            lengths: what tokens and sequences are filled up to, see :meth:`lengths`.

        Raises:
            UsageError: a part that has no null.
        """
        if lacking := [part.name for part in self.parts if part.null is None]:
            raise UsageError(f"guidance needs a null of each part of the condition, and {lacking[0]} has none")
        nulls = {part: part.nulls() for part in self.parts}
        return self._arrays_of({part: values for part, values in nulls.items() if values is not None}, lengths or {})

    def _arrays(self, value: ConditionLike, n: int, first: int) -> dict[str, Array]:
        """Parts and masks as arrays ``[1, ...]`` of one value for all, or ``[n, ...]``."""
        return self._arrays_of(self._values(value, n, first))

    def _arrays_of(
        self, values: Mapping[Part, Values], least: Mapping[int | str, int] | None = None
    ) -> dict[str, Array]:
        """The same from values; tokens and sequences that name the same length are filled up to a common one."""
        lengths: dict[int | str, int] = dict(least or {})
        for part, each in values.items():
            if part.mask is not None:
                lengths[part.shape[0]] = max(lengths.get(part.shape[0], 0), each.array.shape[1])
        even = {p: each if p.mask is None else each.longer(lengths[p.shape[0]]) for p, each in values.items()}
        arrays = {part.name: each.array for part, each in even.items()}
        return arrays | {part.mask: each.mask() for part, each in even.items() if part.mask is not None}

    def _values(self, value: ConditionLike, n: int, first: int) -> dict[Part, Values]:
        """The values of each part."""
        named = self._by_name(value)
        if named is None:
            classes = ((first + np.arange(n)) % (self.parts[0].size or 1)).astype(np.int32)
            return {self.parts[0]: Values(classes)}
        return {part: self._read(part, named.get(part.name), n) for part in self.parts}

    def _by_name(self, value: ConditionLike) -> Mapping[str, ArrayLike | None] | None:
        """The values given by the names of parts; None for every class in turn."""
        if isinstance(value, Mapping):
            if unknown := [str(name) for name in value if name not in self.names]:
                raise ConditionError(
                    f"the condition has no part {unknown[0]!r}", hint=f"The parts are {', '.join(self.names)}."
                )
            return value
        if len(self.parts) == 1:
            in_turn = value is None and self.parts[0].modality == "classes"
            return None if in_turn else {self.parts[0].name: value}
        if value is None:
            return {}
        raise ConditionError(
            f"the condition has the parts {', '.join(self.names)}: give a value to each by its name",
            hint=f"For example condition={{{self.names[0]!r}: ...}}.",
        )

    def _read(self, part: Part, value: ArrayLike | None, n: int) -> Values:
        if value is not None:
            return part.read(value, n)
        nulls = None if part.required else part.nulls()
        if nulls is not None:
            return nulls
        if self.kind == "vector":
            raise ConditionError(f"this model needs a condition of {self.size} numbers for each sample")
        raise ConditionError(f"{part.who} is missing: this model needs it for each sample")


def _cut(part: Part, array: Array, mask: Array) -> Array | list[Array]:
    """One value ``[length, ...]``, or several, up to where the mask ``[length]`` or ``[n, length]`` says."""
    fits = mask.dtype.kind in "biuf" and 1 <= mask.ndim <= 2 and array.shape[: mask.ndim] == mask.shape
    ends: Array = mask.sum(-1) if fits else np.zeros(())
    if not fits or not np.array_equal(mask, np.arange(mask.shape[-1]) < np.expand_dims(ends, -1)):
        raise ConditionError(
            f"the mask {part.mask} of {part.who} has the shape of its first axes, and is 1 up to an end and then 0"
        )
    if mask.ndim == 1:
        return array[: int(ends)]
    return [row[: int(end)] for row, end in zip(array, ends, strict=True)]


@dataclass(frozen=True)
class _Parts:
    """How a condition of several parts is stored."""

    parts: tuple[Part, ...]
