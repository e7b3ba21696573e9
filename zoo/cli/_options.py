"""Options given as KEY=VALUE on the command line: those of samplers, importers, providers and targets."""

from __future__ import annotations

import json
from typing import Any

import click

from zoo.errors import UsageError

importing_option = click.option(
    "-I", "importing", multiple=True, metavar="KEY=VALUE", help="Option of the importer of a MODEL. Repeatable."
)


def key_values(pairs: tuple[str, ...], option: str = "-O") -> dict[str, Any]:
    """``KEY=VALUE`` pairs of an option; values are JSON where they can be, else text.

    Raises:
        UsageError: not a pair, a duplicate key, or a key that has its own option.
    """
    options: dict[str, Any] = {}
    for pair in pairs:
        key, equals, text = pair.partition("=")
        if not equals or not key.isidentifier():
            raise UsageError(f"{option} takes KEY=VALUE, not {pair!r}")
        if key in options or (option == "-O" and key in ("sampler", "steps", "guidance")):
            raise UsageError(
                f"{option} {pair}: {key} is given already" if key in options else f"use --{key} instead of -O {pair}"
            )
        try:
            options[key] = json.loads(text)
        except ValueError:
            options[key] = text
    return options
