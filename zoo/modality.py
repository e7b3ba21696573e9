"""The meaning of a sample's numbers where its shape does not tell: a recording, a text, a row, a path. No torch.

A data set declares its modality, a card and a manifest store it, and readers and writers of files of samples follow it.
Images, points and plain numbers need none. Plugins bring others by the hook ``zoo_modalities``; where such a plugin is
not installed, its samples are plain numbers (:class:`Foreign`).
"""

from __future__ import annotations

import dataclasses
import json
import re
import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar, TypeGuard

from zoo import records
from zoo.errors import ConfigError, PluginError, ZooError
from zoo.printable import shortened
from zoo.registry import extensions

_NAME = re.compile(r"[a-z0-9]+([.-][a-z0-9]+)*")
_LONGEST = 100


class Modality:
    """What samples mean: a frozen dataclass whose fields are stored in cards and manifests as JSON values.

    Its :class:`~zoo.registry.cards.ModalityKind` says what is known of a kind without its fields, such as how its
    samples are drawn.

    Attributes:
        kind: its name.
    """

    kind: ClassVar[str] = ""

    def misfit(self, event_shape: tuple[int, ...], levels: int | None) -> str | None:
        """Why such events cannot have this meaning, or None if they can.

        Args:
            event_shape: of one sample.
            levels: number of values of discrete data, or None.
        """
        return None


@dataclass(frozen=True)
class Audio(Modality):
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
class Text(Modality):
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
        date: of a column of dates, how they are written, for :meth:`datetime.datetime.strftime`; else empty.
        origin: of a column of dates, the date that the number 0 stands for, in days since 1970-01-01.
        marks: of a column of two categories, the heading of the column whose cells are empty where this one is 1; it
            has no cells of its own in files. Empty for all others.
    """

    name: str
    values: tuple[str, ...] = field(default=(), metadata=records.OMITTED)
    grain: float | None = field(default=None, metadata=records.OMITTED)
    minimum: float | None = field(default=None, metadata=records.OMITTED)
    maximum: float | None = field(default=None, metadata=records.OMITTED)
    date: str = field(default="", metadata=records.OMITTED)
    origin: float = field(default=0.0, metadata=records.OMITTED)
    marks: str = field(default="", metadata=records.OMITTED)

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
            raise ConfigError(f"column {self.name!r} ranges from {self.minimum} to {self.maximum}")
        if self.values and (self.grain, self.minimum, self.maximum) != (1.0, 0.0, len(self.values) - 1.0):
            raise ConfigError(f"column {self.name!r}: categories are the whole numbers 0 to {len(self.values) - 1}")
        if not (isinstance(self.date, str) and isinstance(self.marks, str) and _number(self.origin)):
            raise ConfigError(f"column {self.name!r}: date and marks are texts, and origin is a number")
        if (self.date and self.values) or (self.marks and len(self.values) != 2):
            raise ConfigError(f"column {self.name!r}: dates have no categories, and a column that marks others has two")

    @classmethod
    def categories(cls, name: str, values: tuple[str, ...]) -> Column:
        """A column of categories."""
        return cls(name, values, 1.0, 0.0, len(values) - 1.0)


@dataclass(frozen=True)
class Table(Modality):
    """A row of a table: events ``[columns]``.

    Attributes:
        columns: descriptions of the columns.
    """

    columns: tuple[Column, ...]
    kind: ClassVar[str] = "table"

    def __post_init__(self) -> None:
        """Refuse duplicate headings."""
        if not self.columns or len({column.name for column in self.columns}) != len(self.columns):
            raise ConfigError("a table needs at least one column, and different headings")
        names = {column.name for column in self.columns if not column.marks}
        if lost := [column.marks for column in self.columns if column.marks and column.marks not in names]:
            raise ConfigError(f"a column marks the missing cells of {lost[0]!r}, which the table does not have")

    def misfit(self, event_shape: tuple[int, ...], levels: int | None) -> str | None:
        """Why such events cannot be rows of this table, or None if they can."""
        return None if event_shape == (len(self.columns),) else f"rows of this table have shape [{len(self.columns)}]"


@dataclass(frozen=True)
class Heatmap:
    """How a picture shows a place: one channel has nothing but a spot ``exp(-d²/2σ²)``, d the distance from it.

    Attributes:
        channel: of the picture, from 0.
        sigma: standard deviation of the spot, in the picture's coordinates.
    """

    channel: int
    sigma: float

    def __post_init__(self) -> None:
        """Refuse a channel that is none, and a spot without width."""
        if not (_whole(self.channel) and self.channel >= 0 and _number(self.sigma) and self.sigma > 0):
            raise ConfigError("a heatmap is of a channel, from 0, and a sigma above 0")


@dataclass(frozen=True)
class Trajectory(Modality):
    """A path in the plane: events ``[length, 2]`` of places, or of moves from place to place, as a policy plans them.

    Parts of the condition are named that a model may do without: its samples are drawn without them.

    Attributes:
        step: how far a move of 1 leads, where events are moves; None where they are places.
        start: name of the numbers ``[2]`` of the condition where a path begins. Where they are not given, moves begin
            at (0, 0), and places at the first of them.
        picture: name of the image of the condition that shows the plane, over which paths are drawn.
        extent: coordinates of the left, right, bottom and top edges of the picture, or of what is shown of the plane,
            as Matplotlib's ``imshow`` takes them; empty for what paths need. A picture needs them.
        heatmap: how the picture shows the start, so that another start can be drawn; None if it does not.
    """

    step: float | None = field(default=None, metadata=records.OMITTED)
    start: str = field(default="", metadata=records.OMITTED)
    picture: str = field(default="", metadata=records.OMITTED)
    extent: tuple[float, ...] = field(default=(), metadata=records.OMITTED)
    heatmap: Heatmap | None = field(default=None, metadata=records.OMITTED)
    kind: ClassVar[str] = "trajectory"

    def __post_init__(self) -> None:
        """Refuse fields that contradict each other."""
        if self.step is not None and not (_number(self.step) and self.step > 0):
            raise ConfigError(f"the step of a trajectory is a number above 0, not {self.step!r}")
        for name in (self.start, self.picture):
            if not isinstance(name, str) or (name and not (name.isidentifier() and name.isascii())):
                raise ConfigError(f"a trajectory names parts of the condition, and {name!r} is no name of one")
        extent = self.extent
        if extent and not (len(extent) == 4 and all(map(_number, extent)) and _apart(*extent)):
            raise ConfigError(f"the extent of a plane is its left, right, bottom and top edge, not {list(extent)}")
        if self.picture and not extent:
            raise ConfigError("a picture of the plane needs an extent: its left, right, bottom and top edge")
        if self.heatmap is not None and not (self.picture and self.start):
            raise ConfigError("a heatmap shows the start of a trajectory in its picture, and names of both are needed")

    def misfit(self, event_shape: tuple[int, ...], levels: int | None) -> str | None:
        """Why events of this shape cannot be paths, or None if they can."""
        return None if len(event_shape) == 2 and event_shape[1] == 2 else "trajectories have shape [length, 2]"


def _apart(left: float, right: float, bottom: float, top: float) -> bool:
    return left != right and bottom != top


@dataclass(frozen=True)
class Foreign(Modality):
    """A modality of a plugin that is not installed here. Its samples are plain numbers, and its description is kept.

    Attributes:
        description: as the bundle or the card states it.
    """

    description: Mapping[str, object] = field(hash=False)

    def __str__(self) -> str:
        """What it is, and what that means, in one sentence."""
        kind, package = self.description["kind"], self.description["package"]
        return (
            f"samples are plain numbers here: their modality {kind!r} is of the package {package!r}, which is not "
            "installed as a plugin, or disabled"
        )


#: the built-in ones by kind
BUILTIN: dict[str, type[Modality]] = {each.kind: each for each in (Audio, Text, Table, Trajectory)}


def describe(modality: Modality | None) -> dict[str, object] | None:
    """As JSON values; :func:`modality_from` reads them back. That of a plugin names its package.

    Raises:
        ConfigError: a modality that no plugin brings.
        PluginError: one with fields that are not JSON values.
    """
    if modality is None:
        return None
    if isinstance(modality, Foreign):
        return dict(modality.description)
    values: dict[str, object] = records.write(modality)
    if BUILTIN.get(modality.kind) is type(modality):
        return values
    if modality.kind not in extensions.claimed("modality"):
        raise ConfigError(
            f"the modality {type(modality).__name__} of kind {modality.kind!r} is not one that a plugin brings",
            hint="A plugin registers its modalities by the hook zoo_modalities.",
        )
    _, plugin = extensions.claim_of("modality", modality.kind)
    what = f"the modality {modality.kind!r} of {plugin.origin}"
    values = {"kind": values.pop("kind"), "package": plugin.distribution, **values}
    try:
        same = modality_from(json.loads(json.dumps(values, allow_nan=False))) == modality
    except (TypeError, ValueError) as error:
        raise PluginError(f"{what} has fields that are not JSON values: {error}") from error
    if not same:
        raise PluginError(f"{what} is not the same after it has been written and read back")
    return values


def modality_from(values: object) -> Modality | None:
    """The inverse of :func:`describe`; a :class:`Foreign` one where the plugin that brings it is not installed.

    Raises:
        ConfigError: no such modality, or unknown fields.
        NameConflictError, PluginError: a kind that two plugins claim, or a plugin's modality that is not valid.
    """
    if values is None:
        return None
    fields = dict(values) if isinstance(values, Mapping) else {}
    kind = fields.pop("kind", None)
    if isinstance(kind, str) and kind in BUILTIN:
        return records.read(BUILTIN[kind], fields, f"the modality {kind}")
    package = fields.pop("package", None)
    if not (_is_name(kind) and _NAME.fullmatch(kind)):
        raise ConfigError(f"{shortened(str(values), 80)} is not the description of a modality")
    if kind in extensions.claimed("modality"):
        return _brought(kind, fields)
    if not _is_name(package):
        raise ConfigError(f"there is no modality {kind!r}, and its description names no package that brings it")
    return Foreign(dict(values) if isinstance(values, Mapping) else {})


def _is_name(value: object) -> TypeGuard[str]:
    return isinstance(value, str) and 0 < len(value) <= _LONGEST and value.isprintable()


def _brought(kind: str, fields: dict[str, object]) -> Modality:
    """The modality of a plugin."""
    _, plugin = extensions.claim_of("modality", kind)
    what = f"the modality {kind!r} of {plugin.origin}"
    cls = extensions.loaded("modality", kind)
    if not _is_modality(cls, kind):
        raise PluginError(f"{what} is not a dataclass derived from zoo.modality.Modality with that kind")
    try:
        modality: Modality = records.read(cls, fields, what)
        return modality
    except ZooError:
        raise
    except Exception as error:
        raise PluginError(f"{what} cannot be built: {type(error).__name__}: {error}") from error


def _is_modality(cls: object, kind: str) -> bool:
    derived = isinstance(cls, type) and issubclass(cls, Modality) and cls.kind == kind
    return derived and dataclasses.is_dataclass(cls)


def columns_from(values: object, model: str) -> tuple[Column, ...]:
    """The columns that a card or a manifest describes; none where it describes none.

    Raises:
        ConfigError: descriptions of something else; the model is named.
    """
    listed = values if isinstance(values, (list, tuple)) else ()
    return tuple(records.read(Column, each, f"the columns of {model}") for each in listed)


def misfit_of(modality: Modality | None, event_shape: tuple[int, ...], levels: int | None) -> str | None:
    """Why events of this shape cannot be of a modality, or None if they can.

    Raises:
        PluginError: the modality is a plugin's, which fails.
    """
    if modality is None:
        return None
    try:
        return modality.misfit(event_shape, levels)
    except ZooError:
        raise
    except Exception as error:
        raise PluginError(f"the modality {modality.kind!r} fails: {type(error).__name__}: {error}") from error


def _whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _number(value: object) -> bool:
    # an integer may exceed every float
    return isinstance(value, (int, float)) and not isinstance(value, bool) and abs(value) <= sys.float_info.max
