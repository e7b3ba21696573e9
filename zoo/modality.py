"""The meaning of a sample's numbers where its shape does not tell: a recording, a text, a row of a table. No torch.

A data set declares its modality, a card and a manifest store it, and readers and writers of files of samples follow it.
Images, points and plain numbers need none.
"""

from __future__ import annotations

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, ClassVar

from zoo import records
from zoo.errors import ConfigError


@dataclass(frozen=True)
class Audio:
    """A recording in one channel: events ``[1, length]`` in [-1, 1].

    Attributes:
        sample_rate: samples per second.
    """

    sample_rate: int
    kind: ClassVar[str] = "audio"

    def __post_init__(self) -> None:
        """Refuse a rate that files cannot state."""
        if not _whole(self.sample_rate) or not 1 <= self.sample_rate <= 1_000_000:
            raise ConfigError(f"a sample rate is a whole number from 1 to a million, not {self.sample_rate!r}")

    def misfit(self, event_shape: tuple[int, ...], levels: int | None) -> str | None:
        """Why events of this shape cannot be recordings, or None if they can."""
        return None if len(event_shape) == 2 and event_shape[0] == 1 else "recordings have shape [1, length]"


@dataclass(frozen=True)
class Text:
    """A short text: events ``[length]`` of whole numbers, each the index of a symbol in an alphabet.

    Attributes:
        alphabet: the symbols, one character each; the first one ends a text and pads it.
    """

    alphabet: str
    kind: ClassVar[str] = "text"

    def __post_init__(self) -> None:
        """Refuse an alphabet that is ambiguous when read, or would break lines when written."""
        if not isinstance(self.alphabet, str) or not 2 <= len(self.alphabet) <= 65_536:
            raise ConfigError("an alphabet is a text of at least two characters")
        if len(set(self.alphabet)) != len(self.alphabet):
            raise ConfigError("an alphabet must have each character once")
        if not self.alphabet[1:].isprintable():
            raise ConfigError("the characters of an alphabet, except for the first, must be printable")

    def misfit(self, event_shape: tuple[int, ...], levels: int | None) -> str | None:
        """Why such events cannot be texts, or None if they can."""
        if len(event_shape) != 1:
            return "texts have shape [length]"
        return None if levels == len(self.alphabet) else f"texts with {len(self.alphabet)} symbols have as many levels"


@dataclass(frozen=True)
class Column:
    """A column of a table.

    Attributes:
        name: its heading.
        values: names of the categories 0, 1, ...; empty for a column of numbers.
        grain: the width that its numbers were rounded to, or None; 1 for categories. A number x of a sample stands for
            ``grain * floor(x / grain)``, since models see the numbers with uniform noise of that width.
        minimum: the smallest possible number, or None.
        maximum: the largest possible number, as it is written, or None.
    """

    name: str
    values: tuple[str, ...] = field(default=(), metadata=records.OMITTED)
    grain: float | None = field(default=None, metadata=records.OMITTED)
    minimum: float | None = field(default=None, metadata=records.OMITTED)
    maximum: float | None = field(default=None, metadata=records.OMITTED)

    def __post_init__(self) -> None:
        """Refuse fields that contradict each other."""
        if not isinstance(self.name, str) or not all(isinstance(value, str) for value in self.values):
            raise ConfigError("a column's heading and the names of its categories must be texts")
        if len(set(self.values)) != len(self.values):
            raise ConfigError(f"column {self.name!r} has two categories with the same name")
        for what in ("grain", "minimum", "maximum"):
            number = getattr(self, what)
            if number is not None and not (_number(number) and (what != "grain" or number > 0)):
                raise ConfigError(f"column {self.name!r}: {what} is a number, not {number!r}")
        if self.minimum is not None and self.maximum is not None and not self.minimum <= self.maximum:
            raise ConfigError(f"column {self.name!r} goes from {self.minimum} to {self.maximum}")
        if self.values and (self.grain, self.minimum, self.maximum) != (1.0, 0.0, len(self.values) - 1.0):
            raise ConfigError(f"column {self.name!r}: categories are the whole numbers 0 to {len(self.values) - 1}")

    @classmethod
    def categories(cls, name: str, values: tuple[str, ...]) -> Column:
        """A column of categories."""
        return cls(name, values, 1.0, 0.0, len(values) - 1.0)


@dataclass(frozen=True)
class Table:
    """A row of a table: events ``[columns]``.

    Attributes:
        columns: descriptions of the columns.
    """

    columns: tuple[Column, ...]
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        """Refuse duplicate headings."""
        if not self.columns or len({column.name for column in self.columns}) != len(self.columns):
            raise ConfigError("a table needs at least one column, and each needs a heading of its own")

    def misfit(self, event_shape: tuple[int, ...], levels: int | None) -> str | None:
        """Why such events cannot be rows of this table, or None if they can."""
        return None if event_shape == (len(self.columns),) else f"rows of this table have shape [{len(self.columns)}]"


Modality = Audio | Text | Table
_KINDS: dict[str, type[Audio] | type[Text] | type[Table]] = {each.kind: each for each in (Audio, Text, Table)}


def describe(modality: Modality | None) -> dict[str, Any] | None:
    """As JSON values; :func:`modality_from` reads them back."""
    if modality is None:
        return None
    values: dict[str, Any] = records.write(modality)
    return values


def modality_from(values: Mapping[str, Any] | None) -> Modality | None:
    """The inverse of :func:`describe`.

    Raises:
        ConfigError: no such modality, or unknown fields.
    """
    if values is None:
        return None
    fields = dict(values) if isinstance(values, Mapping) else {}
    kind = fields.pop("kind", None)
    if not isinstance(kind, str) or kind not in _KINDS:
        raise ConfigError(f"{str(values)[:80]} is not the description of a modality")
    return records.read(_KINDS[kind], fields, f"the modality {kind}")


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    # an integer may exceed every float
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
