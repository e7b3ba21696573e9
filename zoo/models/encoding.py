"""How the parts of a condition go into a network: the config of each, with its defaults, checked.

==============  =======================================  ==============================================================
way             what goes in                             of which parts
==============  =======================================  ==============================================================
embedding       one vector of all such parts, which      any: classes are embedded, numbers are taken as they are, or
                joins that of the time and scales and    through two layers; images and audio pass convolutions, tokens
                shifts blocks (FiLM, Perez et al. 2018), and sequences a transformer whose outputs are averaged
                or is the context of a flow
concatenation   channels beside those of the data        images with images, audio and sequences of a fixed length with
                                                         signals, numbers with vectors; resized to the data's positions
cross-attention keys and values, with a mask             tokens and sequences, through a transformer
==============  =======================================  ==============================================================

This module needs no torch; :mod:`zoo.models.encoders` has the layers.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from functools import cached_property
from typing import Any

from zoo import records
from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo.parts import Part

EMBEDDING, CONCATENATION, CROSS_ATTENTION = "embedding", "concatenation", "cross-attention"

_PICTURE, _TEXT = ("width", "channels", "grid"), ("width", "layers", "heads")
#: (modality, way) -> the options that it has beside ``dropout``; there are no other pairs
_OPTIONS: dict[tuple[str, str], tuple[str, ...]] = {
    ("classes", EMBEDDING): ("width",),
    ("numbers", EMBEDDING): ("width",),
    ("image", EMBEDDING): _PICTURE,
    ("audio", EMBEDDING): _PICTURE,
    ("tokens", EMBEDDING): _TEXT,
    ("sequence", EMBEDDING): _TEXT,
    ("image", CONCATENATION): (),
    ("audio", CONCATENATION): (),
    ("sequence", CONCATENATION): (),
    ("numbers", CONCATENATION): (),
    ("tokens", CROSS_ATTENTION): _TEXT,
    ("sequence", CROSS_ATTENTION): _TEXT,
}
#: axes of the data's positions -> what they are, and the modalities that are concatenated to them
_BESIDE: dict[int, tuple[str, tuple[str, ...]]] = {
    0: ("vectors", ("numbers",)),
    1: ("signals", ("audio", "sequence")),
    2: ("images", ("image",)),
}


@dataclass(frozen=True, kw_only=True)
class PartEncoding:
    """The config of one part, ``conditioning.NAME``; values that are left out are chosen by its modality.

    Attributes:
        by: the way, see above.
        width: of its vector, or of each of its tokens; numbers without a width are taken as they are.
        channels: of an image's or recording's convolutions, each of which halves the sides.
        grid: positions along each side that remain for the last layer.
        layers: of the transformer of tokens or a sequence; with 0 they are only embedded.
        heads: of its attention, and of the cross-attention.
        dropout: probability that training replaces this part by its null, whatever the others are. All parts at once
            are replaced with the probability ``class_dropout`` of the model, as guidance needs.

    Raises:
        ConfigError: values out of range.
    """

    by: str | None = None
    width: int | None = None
    channels: tuple[int, ...] = (16, 32, 64)
    grid: int = 4
    layers: int = 1
    heads: int = 2
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Check ranges."""
        least = {"width": 2, "grid": 1, "layers": 0, "heads": 1}
        for name, limit in least.items():
            value = getattr(self, name)
            if value is not None and value < limit:
                raise ConfigError(f"conditioning: {name} must be {limit} or more, not {value}")
        if not self.channels or min(self.channels) < 1:
            raise ConfigError(f"conditioning: channels must be one or more numbers above 0, not {list(self.channels)}")
        if not 0.0 <= self.dropout < 1.0:
            raise ConfigError(f"conditioning: dropout must be in [0, 1), not {self.dropout}")


@dataclass(frozen=True)
class Attention:
    """What cross-attentions of a network have in common.

    Attributes:
        width: of queries, keys and values.
        heads: how many share it.
    """

    width: int
    heads: int


@dataclass(frozen=True)
class Plan:
    """How each part of a condition goes into a network.

    Attributes:
        condition: the parts.
        encodings: of each part, by name, with nothing left out.
        size: positions of the data: (height, width), (length,), or () for vectors.
        channels_last: whether the channels of the data are its last axis, rather than its first.
    """

    condition: Condition
    encodings: Mapping[str, PartEncoding]
    size: tuple[int, ...] = ()
    channels_last: bool = False

    @classmethod
    def of(
        cls,
        condition: Condition,
        conditioning: Mapping[str, object] | None,
        ways: Collection[str],
        *,
        size: Sequence[int] = (),
        channels_last: bool = False,
    ) -> Plan:
        """The config of each part, with defaults for what it leaves out.

        Args:
            condition: the parts.
            conditioning: for parts by name, fields of :class:`PartEncoding`; or None.
            ways: that the network has.
            size: positions of the data.
            channels_last: see the class.

        Raises:
            ConfigError: an unknown part, way or option, or ways that do not fit parts, data or network.
        """
        said = dict(conditioning or {})
        if unknown := [name for name in said if name not in condition.names]:
            raise ConfigError(
                f"conditioning is for the parts {', '.join(condition.names)}, and there is no part {unknown[0]!r}"
            )
        axes = len(size)
        encodings = {part.name: _encoding(part, said.get(part.name, {}), ways, axes) for part in condition.parts}
        attending = [e for e in encodings.values() if e.by == CROSS_ATTENTION]
        if len({(e.width, e.heads) for e in attending}) > 1:
            raise ConfigError("conditioning: parts by cross-attention must have the same width and heads")
        return cls(condition, encodings, tuple(size), channels_last)

    def parts(self, way: str) -> list[Part]:
        """The parts that go in a way."""
        return [part for part in self.condition.parts if self.encodings[part.name].by == way]

    @cached_property
    def embedding(self) -> int:
        """Length of the vector of all parts that are embedded; 0 without one."""
        return sum(self.encodings[part.name].width or int(part.shape[0]) for part in self.parts(EMBEDDING))

    @cached_property
    def beside(self) -> int:
        """Channels that stand beside those of the data; 0 for none."""
        return sum(channels_of(part) for part in self.parts(CONCATENATION))

    @cached_property
    def attention(self) -> Attention | None:
        """Of parts that go in by cross-attention; None without one."""
        for part in self.parts(CROSS_ATTENTION):
            encoding = self.encodings[part.name]
            return Attention(encoding.width or 0, encoding.heads)
        return None

    @cached_property
    def dropout(self) -> dict[str, float]:
        """The probability with which training replaces each part by its null, where it is above 0."""
        return {name: each.dropout for name, each in self.encodings.items() if each.dropout}


def channels_of(part: Part) -> int:
    """Channels of a part that is concatenated: of a sequence, the numbers of each row."""
    if part.modality == "sequence":
        return int(part.shape[1])
    return 1 if part.modality == "audio" and len(part.shape) == 1 else int(part.shape[0])


def sides_of(part: Part) -> tuple[int, ...]:
    """Positions of an image, a recording, a sequence of a fixed length, or (of numbers) none."""
    if part.modality == "sequence":
        return (int(part.shape[0]),)
    if part.modality == "audio":
        return (int(part.shape[-1]),)
    return tuple(int(side) for side in part.shape[1:])


def _encoding(part: Part, said: Any, ways: Collection[str], axes: int) -> PartEncoding:
    """That of one part, checked and filled in."""
    where = f"conditioning.{part.name}"
    if not isinstance(said, Mapping):
        raise ConfigError(f"{where} must be a table, such as {{ by = {EMBEDDING!r} }}, not {said!r}")
    read = records.read(PartEncoding, dict(said), where)
    by = _default(part, ways, axes) if read.by is None else read.by
    possible = [way for modality, way in _OPTIONS if modality == part.modality and _fits(part, way, ways, axes)]
    if by not in possible:
        raise ConfigError(f"{where}: {part.modality} go into this model by {' or '.join(possible)}, not {by!r}")
    options = _OPTIONS[part.modality, by]
    own = {field.name for field in fields(PartEncoding)} - {"by", "dropout", *options}
    if beyond := sorted(own & said.keys()):
        raise ConfigError(f"{where}: {part.modality} by {by} have no {beyond[0]}")
    if read.dropout and part.null is None:
        raise ConfigError(f"{where}: dropout above 0 needs a null to replace the part by")
    width = read.width or {"classes": 32, "numbers": None}.get(part.modality, 64)
    if "heads" in options and width is not None and (width % (2 * read.heads) or width % 2):
        raise ConfigError(f"{where}: width ({width}) must be divisible by 2 and by twice the heads ({read.heads})")
    return replace(read, by=by, width=width if "width" in options else None)


def _fits(part: Part, way: str, ways: Collection[str], axes: int) -> bool:
    if way != CONCATENATION:
        return way in ways
    fixed = all(isinstance(size, int) for size in part.shape)
    return way in ways and fixed and part.modality in _BESIDE[axes][1]


def _default(part: Part, ways: Collection[str], axes: int) -> str:
    """Concatenation for images and recordings with data of their kind, attention for any length, else embedding."""
    if part.modality in ("image", "audio") and _fits(part, CONCATENATION, ways, axes):
        return CONCATENATION
    if part.modality in ("tokens", "sequence") and CROSS_ATTENTION in ways:
        return CROSS_ATTENTION
    return EMBEDDING
