"""The command line, one small file per command, found by :mod:`zoo.cli._group`.

What the commands of plugins share with the built-in ones: ``pass_app`` gives a command its :class:`App`, which has the
registry, progress, and :meth:`App.emit` for the one JSON document of ``--json``, an option that ``json_option`` adds. A
:class:`~zoo.errors.ZooError` ends a command with its sentence, hint and exit code.

The names are listed in the stub beside this file and loaded when they are first used: every registry reads the list of
commands, and does not need click.
"""

from __future__ import annotations

from zoo.lazy import attach

__getattr__, __dir__, __all__ = attach(__name__)
