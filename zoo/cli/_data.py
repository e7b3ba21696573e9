"""The options of data from files on the command line, which `zoo train` and `zoo data` share."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import click

from zoo.cli._options import key_values
from zoo.errors import UsageError

F = TypeVar("F", bound=Callable[..., Any])

_OPTIONS = (
    click.option("--given", multiple=True, metavar="COLUMNS", help="Columns to condition on: a,b or x_0..x_9."),
    click.option(
        "--missing", type=click.Choice(["error", "drop", "indicator"]), help="What becomes of missing cells [error]."
    ),
    click.option("--bounds", multiple=True, metavar="NAME=LOW:HIGH", help="Lowest and highest value of a column."),
    click.option(
        "--circular", multiple=True, metavar="NAME[=LOW:HIGH]", help="A periodic column, and its period [-pi:pi]."
    ),
    click.option("--kind", "kinds", multiple=True, metavar="NAME=KIND", help="The kind of a column; id leaves it out."),
    click.option("--split", metavar="SPLIT", help="A column that says train, validation or test, or 80/10/10."),
    click.option("--resize", metavar="SIDE", help="Size of pictures: 32, or 32x48 for height and width."),
    click.option("-D", "options", multiple=True, metavar="KEY=VALUE", help="Another option of the data. Repeatable."),
)
#: the parameters of a command that :func:`data_options` adds
NAMES = ("given", "missing", "bounds", "circular", "kinds", "split", "resize", "options")


def data_options(function: F) -> F:
    """Add the options of data from files."""
    for option in reversed(_OPTIONS):
        function = option(function)
    return function


def stated(
    *,
    given: tuple[str, ...] = (),
    missing: str | None = None,
    bounds: tuple[str, ...] = (),
    circular: tuple[str, ...] = (),
    kinds: tuple[str, ...] = (),
    split: str | None = None,
    resize: str | None = None,
    options: tuple[str, ...] = (),
) -> dict[str, object]:
    """The options as a recipe's ``[data] options`` states them.

    Raises:
        UsageError: a value that is none, or an option given twice.
    """
    from zoo.reading.options import ranges, split_names

    found: dict[str, object] = {}
    if given:
        found["given"] = [name for each in given for name in split_names(each)]
    if missing:
        found["missing"] = missing
    if bounds:
        found["bounds"] = ranges(bounds, "--bounds")
    if circular:
        found["circular"] = ranges(circular, "--circular", turn=True)
    if kinds:
        found["kinds"] = dict(_pair(each) for text in kinds for each in split_names(text))
    if split:
        found |= _split(split)
    if resize:
        found["resize"] = _sides(resize)
    others = key_values(options, "-D")
    if twice := sorted(found.keys() & others.keys()):
        raise UsageError(f"{twice[0]} is given by its own option and by -D")
    return {**found, **others}


def _pair(text: str) -> tuple[str, str]:
    name, equals, kind = text.rpartition("=")
    if not equals:
        raise UsageError(f"--kind takes NAME=KIND, not {text!r}")
    return name, kind


def _split(text: str) -> dict[str, object]:
    shares = text.split("/")
    if len(shares) == 1:
        return {"split": text}
    try:
        numbers = [float(share) for share in shares]
    except ValueError:
        raise UsageError(f"--split takes a column or three shares such as 80/10/10, not {text!r}") from None
    total = sum(numbers)
    if len(numbers) != 3 or not total > 0:
        raise UsageError(f"--split takes the shares of train, validation and test, such as 80/10/10, not {text!r}")
    return {"shares": [number / total for number in numbers]}


def _sides(text: str) -> int | list[int]:
    try:
        sides = [int(side) for side in text.lower().replace("×", "x").split("x")]
    except ValueError:
        raise UsageError(f"--resize takes a side or HEIGHTxWIDTH, not {text!r}") from None
    return sides[0] if len(sides) == 1 else sides
