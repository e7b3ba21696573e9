"""The command line, one small file per command, found by :mod:`zoo.cli._group`."""

from zoo.cli._group import COMMANDS, cli, main

__all__ = ["COMMANDS", "cli", "main"]
