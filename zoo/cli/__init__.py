"""The command line, one small file a command. :mod:`zoo.cli._group` finds them."""

from zoo.cli._group import COMMANDS, cli, main

__all__ = ["COMMANDS", "cli", "main"]
