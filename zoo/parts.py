"""Parts of a condition: a class, numbers, an image, a recording, tokens or a sequence, each with a name."""

from __future__ import annotations

import math
from collections.abc import Sequence, Sized
from dataclasses import dataclass, field
from functools import cached_property
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from zoo import records
from zoo.arrays import Array, is_ragged
from zoo.errors import ConditionError, ConfigError
from zoo.words import Words, unreadable

PartKind = Literal["classes", "numbers", "image", "audio", "tokens", "sequence"]

#: the part of a condition that is one class or one vector
ONLY = "condition"
_LARGEST, _LARGEST_SIZE = 1 << 28, 1 << 24
_OF_MODALITY = {
    "classes": "[]",
    "numbers": "[d]",
    "image": "[channels, height, width]",
    "audio": "[length] or [channels, length]",
    "tokens": '[length] or ["length"]',
    "sequence": '[length, d] or ["length", d]',
}


@dataclass(frozen=True)
class Part:
    """One named input of a model that samples are conditioned on.

    Attributes:
        name: an ASCII identifier; the port of a graph has this name.
        modality: what it is. Classes and tokens are int32, all else is float32.
        shape: of one value: ``()`` for classes, ``(d,)`` for numbers, ``(channels, height, width)`` for an image,
            ``(length,)`` or ``(channels, length)`` for a recording, ``("length",)`` or a fixed length for tokens, and
            ``("length", d)`` likewise for a sequence. Parts that name the same length are padded to a common one.
        meaning: in a few words, for people.
        size: number of classes, or of symbols: tokens are ids from 0 to size - 1.
        labels: names of the classes, or of the components of numbers; or of tokens the words, or pieces of words, in
            small letters, that a text is split into, see :meth:`words`. An empty one is in no text.
        minimum: the smallest number that it may contain, or None.
        maximum: the largest, or None.
        alphabet: of tokens, one character a symbol, so that a text can be given; ``size`` may count more symbols.
        padding: id of the symbol that fills tokens up and does not count as one; where it is None, 0 fills them up.
        null: the value that stands for no condition, for guidance: ``size`` for classes (one class more), an id or
            several for tokens, a number for all else, or one for each component of numbers. None if there is none.
        required: whether it must be given. If it need not be, its null is used where it is left out.

    Raises:
        ConfigError: fields that contradict each other.
    """

    name: str
    modality: PartKind
    shape: tuple[int | str, ...] = ()
    meaning: str = field(default="", metadata=records.OMITTED)
    size: int | None = field(default=None, metadata=records.OMITTED)
    labels: tuple[str, ...] = field(default=(), metadata=records.OMITTED)
    minimum: float | None = field(default=None, metadata=records.OMITTED)
    maximum: float | None = field(default=None, metadata=records.OMITTED)
    alphabet: str | None = field(default=None, metadata=records.OMITTED)
    padding: int | None = field(default=None, metadata=records.OMITTED)
    null: int | float | tuple[float, ...] | None = field(default=None, metadata=records.OMITTED)
    required: bool = field(default=True, metadata=records.OMITTED)

    def __post_init__(self) -> None:
        """Validate the fields."""
        if not isinstance(self.name, str) or not self.name.isidentifier() or not self.name.isascii():
            raise ConfigError(f"a part of a condition is named by an ASCII identifier, not {self.name!r}")
        if self.modality not in get_args(PartKind):
            raise self._wrong(f"the modality is one of {', '.join(get_args(PartKind))}, not {self.modality!r}")
        for name in ("shape", "labels"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if isinstance(self.null, (list, tuple)):
            # in JSON, ids are numbers like any other
            whole = self.modality == "tokens" and all(isinstance(i, float) and i.is_integer() for i in self.null)
            object.__setattr__(self, "null", tuple(map(int, self.null)) if whole else tuple(self.null))
        if self.modality == "tokens" and self.size is None and isinstance(self.alphabet, str):
            object.__setattr__(self, "size", len(self.alphabet))
        ranged = self.minimum is not None or self.maximum is not None
        if self.modality == "tokens" and self.size is None and self.labels:
            object.__setattr__(self, "size", len(self.labels))
        spelt = self.modality == "tokens" or self.alphabet is not None or self.padding is not None
        checks = [_check_texts, _check_shape, _check_size, *[_check_alphabet] * spelt, *[_check_range] * ranged]
        for check in (*checks, _check_null):
            if (problem := check(self)) is not None:
                raise self._wrong(problem)

    @property
    def dtype(self) -> Literal["int32", "float32"]:
        """Of its port."""
        return "int32" if self.modality in ("classes", "tokens") else "float32"

    @property
    def mask(self) -> str | None:
        """The name of the mask that goes along with tokens and sequences; None for others.

        It is float32 ``[rows, length]``: 1 where they are, 0 where they are filled up.
        """
        return f"{self.name}_mask" if self.modality in ("tokens", "sequence") else None

    @property
    def who(self) -> str:
        """What messages call it."""
        return "the condition" if self.name == ONLY else f"part {self.name} of the condition"

    def read(self, value: object, n: int) -> Values:
        """A value for all of ``n`` samples, or one for each of them, by its number of axes.

        Args:
            value: an array, or of classes and tokens a label or text, or a list of these; of tokens and sequences also
                arrays of different lengths.
            n: number of samples.

        Raises:
            ConditionError: wrong shape, type, range or symbol, or values that are not finite; the part is named.
        """
        if self.modality == "classes":
            return Values(self._classes(value, n))
        if self.mask is not None:
            return self._of_any_length(value, n)
        array = self._numbers(value)
        if array.shape not in (self.shape, (n, *self.shape)):
            what, wanted = "a condition" if self.name == ONLY else self.who, (self.shape, (n, *self.shape))
            shapes = " or ".join(map(_shown, wanted))
            raise ConditionError(f"{n} samples need {what} of shape {shapes}, not {_shown(array.shape)}")
        return Values(array[None] if array.ndim == len(self.shape) else array)

    def rows(self, value: object) -> int | None:
        """How many values are given, one for each sample; None for one value that serves all.

        Raises:
            ConditionError: what is no value, such as an empty list.
        """
        value = list(value) if is_ragged(value) else value
        label = self.modality == "classes" and isinstance(value, str)
        axes = (
            0
            if label
            else _axes(value, self.who) - (self.modality == "classes" and _array(value, "").dtype.kind in "US")
        )
        return len(value) if axes == len(self.shape) + 1 and isinstance(value, Sized) else None

    def nulls(self) -> Values | None:
        """What stands for no condition, as one value for all; None for a part without a null."""
        if self.null is None:
            return None
        if self.modality == "classes":
            return Values(np.full(1, self.null, np.int32))
        fixed = [size for size in self.shape if isinstance(size, int)]
        if self.modality == "tokens":
            ids = self.null if isinstance(self.null, tuple) else (self.null,) * (fixed[0] if fixed else 1)
            return self._padded([np.array(ids, np.int32)])
        if self.modality == "sequence":
            length = self.shape[0] if isinstance(self.shape[0], int) else 1
            return self._padded([np.full((length, *fixed[-1:]), self.null, np.float32)])
        return Values(np.broadcast_to(np.array(self.null, np.float32), (1, *fixed)).copy())

    def index(self, label: int | str) -> int:
        """The number of a class, given its number or label.

        Raises:
            ConditionError: there is no such class.
        """
        size = self.size or 0
        text = str(label)
        if text in self.labels:
            return self.labels.index(text)
        if text.isdecimal() and int(text) < size:
            return int(text)
        names = ", ".join(self.labels) if self.labels else f"0 to {size - 1}"
        whose = "" if self.name == ONLY else f" of part {self.name}"
        raise ConditionError(f"there is no class {label!r}{whose}", hint=f"The classes are {names}.")

    @property
    def takes_texts(self) -> bool:
        """Whether it is given as a text: a label, or tokens of an alphabet or with labels."""
        return self.modality == "classes" or (
            self.modality == "tokens" and (self.alphabet is not None or bool(self.labels))
        )

    def words(self, text: str) -> list[int]:
        """The ids of a text by the labels of tokens, see :class:`zoo.words.Words`.

        Raises:
            ConditionError: no label fits.
        """
        ids = self._words.ids(text)
        if isinstance(ids, str):
            raise ConditionError(f"{self.who} has no symbol {ids!r}, as in {text[:80]!r}")
        return ids

    @cached_property
    def _words(self) -> Words:
        return Words(self.labels)

    def _wrong(self, problem: str) -> ConfigError:
        return ConfigError(f"part {self.name} of a condition: {problem}")

    def _classes(self, value: object, n: int) -> Array:
        whose = "" if self.name == ONLY else f" for part {self.name}"
        if isinstance(value, (str, int)) and not isinstance(value, bool):
            return np.full(1, self.index(value), np.int32)
        values = _array(value, self.who)
        if values.dtype.kind in "US":
            values = np.array([self.index(str(v)) for v in values.ravel()], np.int64).reshape(values.shape)
        if values.dtype.kind not in "iu":
            raise ConditionError(f"classes{whose} are whole numbers or labels, not {values.dtype}")
        if values.shape not in ((), (n,)):
            raise ConditionError(
                f"{n} samples need one class or {n} classes{whose}, not an array of shape {values.shape}"
            )
        size = self.size or 0
        if values.size and not (values.min() >= 0 and values.max() < size):
            raise ConditionError(f"classes{whose} run from 0 to {size - 1}; got {values.min()} to {values.max()}")
        return np.atleast_1d(values).astype(np.int32)

    def _numbers(self, value: object) -> Array:
        """An array of finite float32 in the part's range."""
        values = _array(value, self.who)
        if values.dtype.kind not in "fiu":
            raise ConditionError(f"{self.who} holds numbers, not {values.dtype}")
        # in the graphs' float32, 1e39 is not finite either
        with np.errstate(over="ignore"):
            numbers = values.astype(np.float32)
        if not np.isfinite(numbers).all():
            raise ConditionError(f"{self.who} has values that are not finite in float32")
        least, most = self.minimum, self.maximum
        low = least is not None and numbers.size and numbers.min() < np.float32(least)
        high = most is not None and numbers.size and numbers.max() > np.float32(most)
        if low or high:
            within = f"{'any' if least is None else f'{least:g}'} to {'any' if most is None else f'{most:g}'}"
            raise ConditionError(f"{self.who} runs from {within}; got {numbers.min():g} to {numbers.max():g}")
        return numbers

    def _of_any_length(self, value: object, n: int) -> Values:
        """Tokens or sequences: one, or ``n`` of them, whose lengths may differ."""
        one = self._ids if self.modality == "tokens" else self._rows
        value = list(value) if is_ragged(value) else value
        axes = _axes(value, self.who)
        if axes == len(self.shape):
            return self._padded([one(value)])
        values = value if isinstance(value, (list, tuple)) else _array(value, self.who)
        if axes != len(self.shape) + 1 or len(values) != n:
            got = f"{len(values)} of them" if axes == len(self.shape) + 1 else f"a value of {axes} axes"
            raise ConditionError(f"{n} samples need one value or {n} values for {self.who}, not {got}")
        return self._padded([one(each) for each in values])

    def _ids(self, value: object) -> Array:
        """The ids of one text, or of one array of ids, without padding at its end."""
        if isinstance(value, str) and self.labels:
            values: Array = np.array(self.words(value), np.int64)
        elif isinstance(value, str):
            if self.alphabet is None:
                raise ConditionError(f"{self.who} has no alphabet for texts: give it the ids of its tokens")
            if strange := [character for character in value if character not in self.alphabet]:
                raise ConditionError(f"{self.who} has no symbol {strange[0]!r}, as in {value[:80]!r}")
            values = np.array([self.alphabet.index(character) for character in value], np.int64)
        else:
            values = _array(value, self.who)
        if values.dtype.kind not in "iu" or values.ndim != 1:
            raise ConditionError(f"{self.who} is whole numbers or a text, not {values.dtype}{list(values.shape)}")
        size = self.size or 0
        if values.size and not (values.min() >= 0 and values.max() < size):
            raise ConditionError(f"tokens of {self.who} run from 0 to {size - 1}; got {values.min()} to {values.max()}")
        if self.padding is not None:
            real = np.flatnonzero(values != self.padding)
            values = values[: real[-1] + 1 if len(real) else 0]
        return values.astype(np.int32)

    def _rows(self, value: object) -> Array:
        """One sequence ``[length, d]``."""
        numbers = self._numbers(value)
        if numbers.ndim != 2 or numbers.shape[1:] != self.shape[1:]:
            raise ConditionError(f"{self.who} has shape {_shown(self.shape)}, not {_shown(numbers.shape)}")
        return numbers

    def _padded(self, rows: Sequence[Array]) -> Values:
        """Rows of any length as one array of the longest, or of the part's own length."""
        lengths = np.array([len(row) for row in rows])
        if not lengths.all():
            raise ConditionError(f"{self.who} is empty: it has at least one {'symbol' if self.size else 'row'}")
        own = self.shape[0]
        length = own if isinstance(own, int) else int(lengths.max())
        if lengths.max() > length:
            raise ConditionError(f"{self.who} has at most {length} entries, not {lengths.max()}")
        filler = self.padding or 0
        return Values(np.stack([_filled(row, length, filler) for row in rows]), lengths, filler)


@dataclass(frozen=True, eq=False)
class Values:
    """The values of a part for some samples.

    Attributes:
        array: ``[1, *shape]`` for one value that serves all samples, or ``[n, *shape]``.
        lengths: of tokens and sequences: how many entries of each row are not padding.
        filler: the value that they are padded with.
    """

    array: Array
    lengths: Array | None = None
    filler: int = 0

    def longer(self, length: int) -> Values:
        """The same filled up to a length."""
        if self.array.shape[1] == length:
            return self
        return Values(np.stack([_filled(row, length, self.filler) for row in self.array]), self.lengths, self.filler)

    def mask(self) -> NDArray[np.float32]:
        """1 for entries, 0 for padding."""
        assert self.lengths is not None
        return (np.arange(self.array.shape[1]) < self.lengths[:, None]).astype(np.float32)


def _filled(row: Array, length: int, filler: int) -> Array:
    filled = np.full((length, *row.shape[1:]), filler, row.dtype)
    filled[: len(row)] = row
    return filled


def _array(value: object, who: str) -> Array:
    try:
        return np.asarray(value)
    except (TypeError, ValueError, OverflowError) as error:
        raise ConditionError(f"{who} is not an array: {' '.join(str(error).split())[:200]}") from error


def _axes(value: object, who: str) -> int:
    """The number of axes of a value, in which rows may be of different lengths, and a text counts as one."""
    if isinstance(value, str):
        return 1
    if isinstance(value, (list, tuple)):
        if not value:
            raise ConditionError(f"{who} is an empty list")
        return 1 + _axes(value[0], who)
    array = _array(value, who)
    return array.ndim + (array.dtype.kind in "US")


def _shown(shape: tuple[int | str, ...]) -> str:
    return f"[{', '.join(map(str, shape))}]" if any(isinstance(size, str) for size in shape) else str(shape)


# -- whether the fields of a part fit together: each returns what is wrong, or None ----------------------------------


def _whole(value: object, least: int, most: int) -> bool:
    return isinstance(value, (int, np.integer)) and not isinstance(value, bool) and bool(least <= value <= most)


def _number(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) < math.inf


def _check_texts(part: Part) -> str | None:
    if not all(isinstance(label, str) for label in part.labels) or not isinstance(part.required, bool):
        return "labels are texts, and required is true or false"
    return None if isinstance(part.meaning, str) else "its meaning is a text"


def _check_shape(part: Part) -> str | None:
    ranks = {"classes": (0,), "numbers": (1,), "image": (3,), "audio": (1, 2), "tokens": (1,), "sequence": (2,)}
    symbolic = part.modality in ("tokens", "sequence")
    fits = len(part.shape) in ranks[part.modality] and all(
        _whole(size, 1, _LARGEST)
        or (symbolic and i == 0 and isinstance(size, str) and size.isidentifier() and size not in ("rows", "batch"))
        for i, size in enumerate(part.shape)
    )
    if not fits or math.prod(size for size in part.shape if isinstance(size, int)) > _LARGEST:
        return f"the shape of {part.modality} is {_OF_MODALITY[part.modality]}, not {list(part.shape)}"
    return None


def _check_size(part: Part) -> str | None:
    if part.modality in ("classes", "tokens"):
        if not _whole(part.size, 1, _LARGEST_SIZE):
            return f"{part.modality} have a size of 1 or more, not {part.size!r}"
    elif part.size is not None:
        return f"classes and tokens have a size, {part.modality} has none"
    expected = {"classes": part.size, "numbers": (*part.shape, 0)[0], "tokens": part.size}.get(part.modality, 0)
    if part.labels and len(part.labels) != expected:
        return f"it has {len(part.labels)} labels, where there can be {expected}"
    return None


def _check_alphabet(part: Part) -> str | None:
    if part.modality != "tokens":
        return None if part.alphabet is None and part.padding is None else "only tokens have an alphabet or padding"
    size, alphabet = part.size or 0, part.alphabet
    if alphabet is not None and not (isinstance(alphabet, str) and 0 < len(set(alphabet)) == len(alphabet) <= size):
        return f"an alphabet is a text of at most {size} different characters"
    if part.labels and (alphabet is not None or len(set(part.labels)) < len(part.labels)):
        return "tokens have an alphabet or labels, each different, not both"
    if strange := unreadable(part.labels):
        return f"a label of tokens has small letters and does not begin with white space, unlike {strange[0]!r}"
    if part.padding is not None and not _whole(part.padding, 0, size - 1):
        return f"padding is the id of a symbol, 0 to {size - 1}, not {part.padding!r}"
    return None


def _check_range(part: Part) -> str | None:
    ends = [end for end in (part.minimum, part.maximum) if end is not None]
    if ends and part.dtype == "int32":
        return f"{part.modality} have a size, not a range"
    if not all(_number(end) for end in ends):
        return f"its range is of finite numbers, not {ends}"
    return None if ends == sorted(ends) else f"its range goes from {ends[0]} to {ends[1]}"


def _check_null(part: Part) -> str | None:
    null, size = part.null, part.size or 0
    if null is None:
        # conditions of one vector may be optional without a null
        optional = not part.required and part.name != ONLY
        return "it is not required, so it needs a null to stand for it" if optional else None
    if part.modality == "classes":
        return None if null == size and _whole(null, 0, size) else f"the null is one class more, {size}, not {null!r}"
    each = null if isinstance(null, tuple) else (null,)
    fixed = part.shape[0] if isinstance(part.shape[0], int) else None
    if part.modality == "tokens":
        fits = len(each) >= 1 and (fixed is None or len(each) <= fixed)
        return None if fits and all(_whole(i, 0, size - 1) for i in each) else f"the null is ids of symbols, not {null}"
    if not all(_number(value) for value in each):
        return f"the null is a number, not {null!r}"
    if isinstance(null, tuple) and (part.modality != "numbers" or len(each) != fixed):
        return f"the null is one number{f', or {fixed}' if part.modality == 'numbers' else ''}, not {len(each)}"
    return None
