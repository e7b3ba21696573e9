"""The options of data from files, as a recipe's ``[data] options`` and the command line state them."""

from __future__ import annotations

import dataclasses
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from zoo import records
from zoo.errors import ConfigError, UnknownNameError
from zoo.reading.columns import KINDS

MISSING = ("error", "drop", "indicator")
SPLITS = ("train", "validation", "test")
_RANGE = re.compile(r"(.*?)(\d+)\.\.(.*?)(\d+)")
_TURN = (-math.pi, math.pi)


@dataclass(frozen=True)
class Options:
    """Options of rows or samples that all formats share.

    Attributes:
        given: headings of the columns that samples are conditioned on; ``x_0..x_9`` stands for ten of them.
        missing: what is done with rows that have missing cells: ``"error"`` refuses them, ``"drop"`` leaves them out,
            and ``"indicator"`` keeps them: a second column says where the numbers of a column are missing, and
            categories get one category more.
        kinds: heading -> kind, where it is not the one that would be recognised; ``"id"`` leaves a column out.
        bounds: heading -> lowest and highest possible value. No sample lies outside.
        circular: heading -> beginning and end of the period.
        split: heading of a column that says train, validation or test; or empty for a random split.
        shares: of train, validation and test in a random split.
        split_seed: of the random split.

    Raises:
        ConfigError: values out of range.
    """

    given: tuple[str, ...] = ()
    missing: str = "error"
    kinds: dict[str, str] = field(default_factory=dict)
    bounds: dict[str, tuple[float, float]] = field(default_factory=dict)
    circular: dict[str, tuple[float, float]] = field(default_factory=dict)
    split: str = ""
    shares: tuple[float, float, float] = (0.8, 0.1, 0.1)
    split_seed: int = 0

    def __post_init__(self) -> None:
        """Refuse values out of range."""
        object.__setattr__(self, "given", expanded(self.given))
        if self.missing not in MISSING:
            raise UnknownNameError("way to treat missing cells", self.missing, MISSING)
        for kind in self.kinds.values():
            if kind not in KINDS:
                raise UnknownNameError("kind of column", kind, KINDS)
        for what, ranges in (("bounds", self.bounds), ("circular", self.circular)):
            for name, (low, high) in ranges.items():
                if not (math.isfinite(low) and math.isfinite(high) and low < high):
                    raise ConfigError(f"{what} of {name!r} are two numbers, the lower first, not {low} and {high}")
        if both := self.bounds.keys() & self.circular.keys():
            raise ConfigError(f"column {sorted(both)[0]!r} cannot be both bounded and circular")
        if not (all(share > 0 for share in self.shares) and math.isclose(sum(self.shares), 1, abs_tol=1e-6)):
            raise ConfigError(
                f"the shares of train, validation and test are above 0 and add up to 1, not {self.shares}"
            )
        if self.split_seed < 0:
            raise ConfigError(f"split_seed is 0 or more, not {self.split_seed}")


def read(values: Mapping[str, object], where: str) -> tuple[Options, dict[str, object]]:
    """The options that all formats share, and the others, which are the reader's.

    Raises:
        ConfigError: ill-typed values, or values out of range.
    """
    mine = {f.name for f in dataclasses.fields(Options)}
    shared = {name: value for name, value in values.items() if name in mine}
    return records.read(Options, shared, where), {n: v for n, v in values.items() if n not in mine}


def expanded(names: Iterable[str]) -> tuple[str, ...]:
    """Headings, with ``x_0..x_9`` written out.

    >>> expanded(["a", "x_8..x_10"])
    ('a', 'x_8', 'x_9', 'x_10')
    """
    headings: list[str] = []
    for name in names:
        match = _RANGE.fullmatch(name)
        if match is None or match[1] != match[3]:
            headings.append(name)
            continue
        first, last = int(match[2]), int(match[4])
        if first > last:
            raise ConfigError(f"the range {name} counts down")
        width = len(match[2]) if match[2].startswith("0") else 0
        headings += [f"{match[1]}{number:0{width}d}" for number in range(first, last + 1)]
    if twice := [name for name in headings if headings.count(name) > 1]:
        raise ConfigError(f"{twice[0]!r} is named twice")
    return tuple(headings)


def split_names(text: str) -> list[str]:
    """Names of a command line, separated by commas."""
    return [name.strip() for name in text.split(",") if name.strip()]


def ranges(texts: Sequence[str], option: str, *, turn: bool = False) -> dict[str, list[float]]:
    """``NAME=LOW:HIGH`` of a command line, several separated by commas; a bare name stands for one turn, where allowed.

    Raises:
        ConfigError: anything else.
    """
    intervals: dict[str, list[float]] = {}
    for each in (part for text in texts for part in split_names(text)):
        name, equals, numbers = each.rpartition("=") if "=" in each else (each, "", "")
        low, colon, high = numbers.partition(":")
        try:
            pair = list(_TURN) if turn and not equals else [_number(low), _number(high)]
        except ValueError:
            example = "phi, or phi=0:360" if turn else "b=0:3"
            raise ConfigError(f"{option} takes columns with their ranges, such as {example}, not {each!r}") from None
        if not colon and equals:
            raise ConfigError(f"{option} {each}: a range is LOW:HIGH")
        intervals[name] = pair
    return intervals


def _number(text: str) -> float:
    """A number, or a multiple of pi."""
    text = text.strip().lower()
    if text.endswith("pi"):
        factor = text.removesuffix("pi").rstrip("*")
        return math.pi * (float(factor + "1") if factor in ("", "-", "+") else float(factor))
    return float(text)


def described(options: Options) -> dict[str, Any]:
    """As JSON values, without the defaults."""
    default = records.write(Options())
    return {name: value for name, value in records.write(options).items() if value != default[name]}
