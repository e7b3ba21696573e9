"""The built-in commands, described through the same hook as those of other plugins."""

from __future__ import annotations

from zoo.cli._commands import COMMANDS
from zoo.registry.cards import Command
from zoo.registry.hookspecs import hookimpl


@hookimpl
def zoo_commands() -> list[Command]:
    """Every command of this package."""
    return [
        Command(name=name, summary=summary, entry=f"zoo.cli.{name.replace('-', '_')}:command")
        for name, summary in COMMANDS.items()
    ]
