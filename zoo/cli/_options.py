"""Options given as KEY=VALUE on the command line: of samplers, metrics, importers, providers and targets."""

from __future__ import annotations

import json
from collections.abc import Collection
from typing import Any

import click

from zoo.errors import UsageError

#: keys that are no options of a sampler, since they have options of their own
SAMPLING = ("sampler", "steps", "guidance")

importing_option = click.option(
    "-I", "importing", multiple=True, metavar="KEY=VALUE", help="Option of the importer of a MODEL. Repeatable."
)


def key_values(pairs: tuple[str, ...], option: str = "-O", own: Collection[str] = ()) -> dict[str, Any]:
    """``KEY=VALUE`` pairs of an option; values are JSON where they can be, else text.

    Args:
        pairs: as given.
        option: what they were given by.
        own: keys that have an option of the command for themselves.

    Raises:
        UsageError: not a pair, a duplicate key, or a key that has its own option.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"{option} takes KEY=VALUE, not {pair!r}")
        if key in own:
            raise UsageError(f"use --{key} instead of {option} {pair}")
        if key in options:
            raise UsageError(f"{option} {pair}: {key} is given already")
        try:
            options[key] = json.loads(text)
        except ValueError:
            options[key] = text
    return options
