"""``zoo run`` in a pipe: ``-`` as the output is stdout, and as data it is stdin."""

from __future__ import annotations

import contextlib
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from zoo.cli._app import App
from zoo.cli._request import PIPED, STDOUT, Request
from zoo.cli._streams import StdoutError
from zoo.errors import OutputError, UsageError, ZooError
from zoo.files import write_bytes

if TYPE_CHECKING:
    from zoo.arrays import Array
    from zoo.models.sources import Facts
    from zoo.render.files import Extras

#: what the file is called that holds stdin, and how the name of its folder begins
_STDIN, _FOLDER = "stdin", "zoo-"
#: formats that are lines of text, which a terminal can show
_LINES = ("csv", "txt")


def from_stdin(request: Request, facts: Facts, stack: ExitStack) -> Request:
    """The request with stdin as a temporary file, if an option reads it.

    Raises:
        OutputError: the temporary file cannot be written.
    """
    piped = next((name for name in PIPED if getattr(request, name) == STDOUT), None)
    if piped is None:
        return request
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix=_FOLDER)))
    path = folder / f"{_STDIN}.{request.form if request.form and not request.to_stdout else _lines_of(facts)}"
    write_bytes(path, sys.stdin.buffer.read())
    stack.enter_context(_told_as_stdin(path))
    changed: dict[str, Any] = {piped: path}
    return replace(request, **changed)


@contextlib.contextmanager
def _told_as_stdin(path: Path) -> Iterator[None]:
    """A block whose errors speak of stdin, and not of the file that holds what came from it."""
    try:
        yield
    except ZooError as error:
        error.args = tuple(str(each).replace(str(path), _STDIN) for each in error.args)
        raise


def shown(path: Path) -> str:
    """What to call a file of a request; stdin where :func:`from_stdin` made it."""
    return _STDIN if path.stem == _STDIN and path.parent.name.startswith(_FOLDER) else str(path)


def _lines_of(facts: Facts) -> str:
    """The format of data that come without a name."""
    from zoo.render.files import default_suffix

    suffix = default_suffix(facts.event_shape, facts.modality)
    return "csv" if suffix in (".png", ".npy") else suffix[1:]


def named(request: Request, facts: Facts) -> str:
    """A name for what goes to stdout, whose extension names the format.

    Raises:
        UsageError: an unknown format, one that these samples do not have, stdout that is taken by ``--json``, or
            a terminal that would show bytes.
    """
    from zoo.render.files import check_output
    from zoo.render.formats import known

    writing = [suffix.removeprefix(".") for suffix, each in known().items() if each.writer]
    form = request.form or _lines_of(facts)
    name = f"stdout.{form}"
    if form not in writing:
        raise UsageError(f"there is no format {form!r} to write", hint=f"There are {', '.join(writing)}.")
    with tempfile.TemporaryDirectory(prefix="zoo-") as folder:
        try:
            check_output(Path(folder) / name, facts.event_shape, facts.modality, length=facts.length)
        except UsageError as error:
            raise UsageError(str(error), hint="--format npy, npz or safetensors takes all samples.") from error
    if sys.stdout.isatty() and form not in _LINES:
        raise UsageError(f"a terminal cannot show {form}", hint="Redirect it, or name a file with -o.")
    return name


def check(app: App, request: Request) -> None:
    """Refuse what cannot go to stdout.

    Raises:
        UsageError: with the option.
    """
    if not request.to_stdout:
        return
    if app.json:
        raise UsageError("-o - and --json cannot both write to stdout")
    for name in ("stop_after", "encode", "log_prob"):
        if getattr(request, name) is not None:
            raise UsageError(f"-o - is for samples, not for --{name.replace('_', '-')}")


def to_stdout(samples: Array, name: str, extras: Extras) -> None:
    """Write samples to stdout in the format of a name.

    Raises:
        OutputError: stdout takes no bytes.
    """
    from zoo.render.files import content

    written = content(samples, name, extras)
    binary = getattr(sys.stdout, "buffer", None)
    if binary is None:
        raise OutputError("stdout takes only text here", hint="Name a file with -o.")
    try:
        binary.write(written)
    except OSError as error:
        raise StdoutError(error.errno, error.strerror) from error
    sys.stdout.flush()
