"""The command line, one small file per command, found by :mod:`zoo.cli._group`.

What the commands of plugins share with the built-in ones: ``pass_app`` gives a command its :class:`App`, which has the
registry, progress, and :meth:`App.emit` for the one JSON document of ``--json``, an option that ``json_option`` adds. A
:class:`~zoo.errors.ZooError` ends a command with its sentence, hint and exit code.
"""

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._commands import COMMANDS
from zoo.cli._group import cli, main

__all__ = ["COMMANDS", "App", "cli", "json_option", "main", "pass_app"]
