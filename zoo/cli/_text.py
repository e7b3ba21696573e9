"""Tables, numbers and shapes for people: drawn on a terminal, plainly aligned in a pipe, never truncated.

All output of the command line for people goes through :func:`echo` or a table, which escape untrusted text. A test
ensures that no other module here writes.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import sys
from collections.abc import Sequence
from typing import IO

import click

from zoo.printable import printable

#: fewer columns are not broken into
_LEAST = 20


def echo(text: str = "", *, err: bool = False, lines: bool = False) -> None:
    """Print one line (or several, if the line breaks are ours) on stdout or stderr.

    A line on stderr is broken between words where a terminal is too narrow for it. What cannot be written on stderr,
    which may be closed or full, is no reason to end a command.
    """
    if err and not lines and sys.stderr.isatty():
        text, lines = "\n".join(broken(printable(text, "\t"), _columns(sys.stderr))), True
    with contextlib.suppress(OSError) if err else contextlib.nullcontext():
        click.echo(printable(text, "\n\t" if lines else "\t"), err=err)


def sentence(text: str, *, hang: int = 0) -> None:
    """Print a line on stdout, broken between words where a terminal is too narrow; the rest is indented by ``hang``."""
    lines = broken(printable(text), _columns(sys.stdout) - hang) if sys.stdout.isatty() else [text]
    for i, line in enumerate(lines):
        echo(" " * (hang if i else 0) + line)


def _columns(stream: IO[str]) -> int:
    """How many columns the terminal of a stream has, which may be another than that of stdout."""
    with contextlib.suppress(OSError, ValueError):
        return shutil.get_terminal_size(os.get_terminal_size(stream.fileno())).columns
    return shutil.get_terminal_size().columns


def broken(text: str, width: int) -> list[str]:
    """A line in several of at most ``width`` columns where that goes without breaking words and `commands`."""
    lines = [""]
    for word in re.findall(r"(?:`[^`]*`|\S)+|\s+", text):
        if not word.isspace() and lines[-1].strip() and len(lines[-1] + word) > width:
            lines = [*lines[:-1], lines[-1].rstrip(), ""]
        lines[-1] += word if not word.isspace() or lines[-1] or len(lines) == 1 else ""
    return [*lines[:-1], lines[-1].rstrip()]


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "", spare: Sequence[str] = ()) -> None:
    """Print rows on stdout, without empty columns.

    Args:
        headers: names of the columns.
        rows: their cells.
        title: printed above.
        spare: columns that a terminal which is too narrow for all does without, the first of these first.
    """
    kept = [i for i in range(len(headers)) if any(row[i] for row in rows)]
    headers, rows = [headers[i] for i in kept], [[printable(row[i]) for i in kept] for row in rows]
    if sys.stdout.isatty():
        _draw(headers, rows, title, spare)
        return
    if title:
        echo(title)
    widths = [max(len(row[i]) for row in [headers, *rows]) for i in range(len(headers))]
    for row in [headers, *rows]:
        echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _draw(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str, spare: Sequence[str]) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console()
    widths = {header: max(len(header), *(len(row[i]) for row in rows)) for i, header in enumerate(headers)}
    left_out: list[str] = []
    for header in spare:
        if header in widths and sum(widths.values()) + 3 * len(widths) > console.width:
            left_out.append(header)
            del widths[header]
    # NO_COLOR asks for no style at all (https://no-color.org), and rich leaves bold
    bold = "" if os.environ.get("NO_COLOR") else "bold"
    drawn = Table(
        box=box.SIMPLE_HEAD,
        title=Text(title) if title else None,
        title_justify="left",
        pad_edge=False,
        title_style="" if not bold else None,
        header_style=bold,
    )
    for i, (header, width) in enumerate(widths.items()):
        # names stay whole, since they are what is typed; the rest wraps between words
        drawn.add_column(header, overflow="fold", min_width=None if i else min(width, 2 * console.width // 3))
    for row in rows:
        cells = [cell for header, cell in zip(headers, row, strict=True) if header in widths]
        # Text, because a name in brackets is not mark-up
        drawn.add_row(*(Text(cell, style=bold if i == 0 else "") for i, cell in enumerate(cells)))
    console.print(drawn)
    if left_out:
        echo(f"without {', '.join(left_out)}: the terminal is too narrow, and --json has all", err=True)


def facts(pairs: Sequence[tuple[str, str | list[str]]], *, whole: Sequence[str] = ()) -> None:
    """Print names and values on stdout, one per line or a list of lines, without empty ones.

    Values are broken between words where a terminal is too narrow, but for those named in ``whole``.
    """
    named = [(printable(name), [value] if isinstance(value, str) else value) for name, value in pairs if value]
    width = max((len(name) for name, _ in named), default=0)
    room = _columns(sys.stdout) - width - 2 if sys.stdout.isatty() else 0
    for name, values in named:
        fits = room < _LEAST or name in whole
        lines = values if fits else [line for value in values for line in broken(printable(value), room)]
        for i, line in enumerate(lines):
            echo(f"{(name if not i else '').ljust(width)}  {line}")


def shape(sizes: Sequence[int]) -> str:
    """``1×28×28``."""
    return "×".join(map(str, sizes)) or "scalar"


def counted(number: int, plural: str) -> str:
    """``2 data sets``, ``1 data set``, ``1 datum``, ``1,000 rows``."""
    words = plural.replace("datasets", "data sets")
    one = f"{words.removesuffix('ies')}y" if words.endswith("ies") else words.removesuffix("s")
    return f"{number:,} {words if number != 1 else 'datum' if words == 'data' else one}"


def count(number: int) -> str:
    """``950``, ``12.3k``, ``1.25M``."""
    rounded = float(f"{number:.3g}")  # 999,600 is 1M, and not 1000k
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if rounded >= size:
            return f"{rounded / size:.3g}{unit}"
    return str(number) if number else ""


def rate(number: float) -> str:
    """``3.05 a second``, ``948,000 a second``."""
    rounded = float(f"{number:.3g}")
    return f"{f'{rounded:,.0f}' if rounded >= 1000 else f'{rounded:g}'} a second"


def size(number: int) -> str:
    """A size in bytes: ``1.25 MB``."""
    return f"{count(number)[:-1]} {count(number)[-1]}B" if number >= 1000 else f"{number} B" if number else ""
