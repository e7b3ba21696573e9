"""The common parts of all commands: the :class:`App`, its two decorators, and output.

Data goes to stdout, everything else to stderr. With ``--json`` stdout gets exactly one JSON document, even when the
command fails and even when a plugin prints: while a command runs, all other output to stdout goes to stderr.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import math
import os
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import cached_property
from pathlib import PurePath
from typing import IO, TYPE_CHECKING, Any, Protocol, TypeVar

import click

from zoo.cli._streams import abandon, stdout_on
from zoo.cli._text import echo
from zoo.printable import printable

if TYPE_CHECKING:
    from zoo.registry import Registry

#: seconds until progress is told on stderr that is not a terminal, and until it is told again
FIRST_LINE, NEXT_LINE = 10.0, 30.0

F = TypeVar("F", bound=Callable[..., Any])


class Update(Protocol):
    """Shows how far work is; see :meth:`App.progress`."""

    def __call__(self, done: int, total: int, before: int = 0, shown: str = "", /) -> None:
        """Called after each part."""


class App:
    """One invocation of the command line.

    Attributes:
        debug: whether tracebacks are shown.
        quiet: whether stderr gets errors only.
        json: whether stdout gets one JSON document and nothing else.
        no_plugins: whether only the built-in plugins are loaded.
        disabled: names of plugins that are not loaded.
        arguments: the command line, without the name of the program.
        plugin: the plugin whose command is run; empty for a built-in one.
        emitted: whether the JSON document has been written.
        stdout: where that is written, once it is known.
    """

    def __init__(self) -> None:
        self.debug = False
        self.quiet = False
        self.json = False
        self.no_plugins = False
        self.disabled: frozenset[str] = frozenset()
        self.arguments: list[str] = []
        self.plugin = ""
        self.emitted = False
        self.stdout: IO[str] | None = None

    @cached_property
    def registry(self) -> Registry:
        """Everything that the plugins describe, discovered on first use; failed plugins are reported on stderr."""
        registry = self.find_registry()
        for warning in registry.warnings():
            self.say(f"Warning: {warning}")
        return registry

    def find_registry(self) -> Registry:
        """As :attr:`registry`, without warnings: for commands that report failures themselves."""
        from zoo.registry import Registry
        from zoo.registry.discovery import allowed_plugins

        return Registry.discover(allowed=() if self.no_plugins else allowed_plugins(), disabled=self.disabled)

    def say(self, text: str) -> None:
        """One line on stderr; nothing with ``--quiet``."""
        if not self.quiet:
            echo(text, err=True)

    def emit(self, value: object) -> None:
        """The command's one JSON document, on stdout. Numbers that are not finite become null."""
        self.emitted = True
        print(json.dumps(plain(value), indent=2), file=self.stdout or sys.stdout, flush=True)

    @contextlib.contextmanager
    def progress(self, label: str, total: int) -> Iterator[Update]:
        """Show the progress of long work, with its rate and remaining time: a bar on a terminal, else lines.

        Lines begin after :data:`FIRST_LINE` seconds and come every :data:`NEXT_LINE` seconds.

        Yields:
            ``update(done, total, before=0, shown="")``. Of the parts that are done, ``before`` were done by an earlier
            process: they say nothing of how fast this one is. What is ``shown`` stands beside, such as a loss.
        """
        if self.quiet or not sys.stderr.isatty():
            yield (lambda done, total, before=0, shown="": None) if self.quiet else _Lines(label, self.say).update
            return
        from rich import progress
        from rich.console import Console

        columns = (
            progress.TextColumn("{task.description}", markup=False),
            progress.BarColumn(),
            progress.MofNCompleteColumn(),
            _Rate(),
            progress.TimeRemainingColumn(compact=True),
            progress.TextColumn("{task.fields[shown]}", markup=False),
        )
        with progress.Progress(*columns, console=Console(stderr=True), transient=True) as bar:
            task = bar.add_task(printable(label), total=total, shown="")

            def update(done: int, total: int, before: int = 0, shown: str = "") -> None:
                if before > bar.tasks[0].completed:
                    bar.reset(task, completed=before, total=total)
                bar.update(task, completed=done, total=total, shown=shown)

            yield update

    @contextlib.contextmanager
    def own_stdout(self) -> Iterator[None]:
        """A block in which only :meth:`emit` reaches stdout; everything else goes to stderr."""
        outer = sys.stdout
        with contextlib.ExitStack() as stack:
            try:
                number = outer.fileno()
            except (OSError, ValueError):  # not a file: a test's or a notebook's stdout
                self.stdout = outer
            else:
                # by file descriptor too, since C libraries and child processes bypass sys.stdout
                outer.flush()
                self.stdout = stdout_on(os.dup(number))
                os.dup2(2, number)
                stack.callback(_restore, self.stdout, number)
            stack.enter_context(contextlib.redirect_stdout(sys.stderr))
            try:
                yield
            finally:
                abandon(self.stdout)


class _Lines:
    """Progress as a line now and then, for stderr that is a file or a pipe."""

    def __init__(self, label: str, say: Callable[[str], None]) -> None:
        self._label, self._say = label, say
        self._next = time.monotonic() + FIRST_LINE
        self._first: tuple[float, int] | None = None

    def update(self, done: int, total: int, before: int = 0, shown: str = "") -> None:
        """Say how far it is, if it is time to; see :meth:`App.progress`."""
        now = time.monotonic()
        if self._first is None:
            self._first = now, done
        if now < self._next or not before < done < total:
            return
        self._next = now + NEXT_LINE
        # how long the first part took says little, as everything is prepared before it
        began, first = self._first
        left = f", about {_duration((now - began) * (total - done) / (done - first))} left" if done > first else ""
        self._say(f"{self._label}: {done:,} of {total:,}{left}{shown and ', '}{shown}")


def _duration(seconds: float) -> str:
    """``40 s``, ``3 min``, ``2.5 h``."""
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _restore(saved: IO[str], number: int) -> None:
    os.dup2(saved.fileno(), number)
    with contextlib.suppress(OSError):
        saved.close()


def _Rate() -> Any:  # noqa: N802 - a column class, defined late so that rich is imported only for a terminal
    from rich.progress import ProgressColumn, Task
    from rich.text import Text

    class Rate(ProgressColumn):
        def render(self, task: Task) -> Text:
            return Text("" if task.speed is None else f"{task.speed:.3g}/s", style="progress.data.speed")

    return Rate()


def plain(value: object) -> Any:
    """``value`` as JSON values: dataclasses as tables, paths as text, tuples and sets as lists, NaN as null."""
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {f.name: plain(getattr(value, f.name)) for f in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(k): plain(v) for k, v in value.items()}
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, PurePath):
        return str(value)
    if hasattr(value, "tolist"):  # a NumPy array or scalar
        return plain(value.tolist())
    if isinstance(value, (set, frozenset)):
        return sorted(plain(v) for v in value)
    if isinstance(value, Iterable):
        return [plain(v) for v in value]
    return str(value)


pass_app = click.make_pass_decorator(App)


def json_option(function: F) -> F:
    """Add ``--json``, which sets ``app.json``."""

    def note(context: click.Context, parameter: click.Parameter, value: bool) -> None:
        if value:
            context.ensure_object(App).json = True

    return click.option(
        "--json", is_flag=True, expose_value=False, is_eager=True, callback=note, help="One JSON document on stdout."
    )(function)
