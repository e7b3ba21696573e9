"""Tables, numbers and shapes for people: drawn on a terminal, plainly aligned in a pipe, never cut off."""

from __future__ import annotations

import sys
from collections.abc import Sequence

import click


def table(headers: Sequence[str], rows: Sequence[Sequence[str]], *, title: str = "") -> None:
    """Print rows on stdout, without the columns that are empty throughout."""
    kept = [i for i in range(len(headers)) if any(row[i] for row in rows)]
    headers, rows = [headers[i] for i in kept], [[row[i] for i in kept] for row in rows]
    if sys.stdout.isatty():
        _draw(headers, rows, title)
        return
    if title:
        click.echo(title)
    widths = [max(len(row[i]) for row in [headers, *rows]) for i in range(len(headers))]
    for row in [headers, *rows]:
        click.echo("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())


def _draw(headers: Sequence[str], rows: Sequence[Sequence[str]], title: str) -> None:
    from rich import box
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    drawn = Table(box=box.SIMPLE_HEAD, title=title or None, title_justify="left", pad_edge=False)
    for header in headers:
        drawn.add_column(header, overflow="fold")
    for row in rows:
        # Text, because a name in brackets is no mark-up
        drawn.add_row(*(Text(cell, style="bold" if i == 0 else "") for i, cell in enumerate(row)))
    Console().print(drawn)


def facts(pairs: Sequence[tuple[str, str]]) -> None:
    """Print names and values on stdout, one a line, without those that are empty."""
    pairs = [(name, value) for name, value in pairs if value]
    width = max((len(name) for name, _ in pairs), default=0)
    for name, value in pairs:
        first, *rest = value.splitlines()
        click.echo(f"{name.ljust(width)}  {first}")
        for line in rest:
            click.echo(f"{' ' * width}  {line}")


def shape(sizes: Sequence[int]) -> str:
    """``1×28×28``."""
    return "×".join(map(str, sizes)) or "scalar"


def count(number: int) -> str:
    """``950``, ``12.3k``, ``1.25M``."""
    for unit, size in (("G", 10**9), ("M", 10**6), ("k", 10**3)):
        if number >= size:
            return f"{number / size:.3g}{unit}"
    return str(number) if number else ""


def size(number: int) -> str:
    """A size in bytes: ``1.25 MB``."""
    return f"{count(number)[:-1]} {count(number)[-1]}B" if number >= 1000 else f"{number} B" if number else ""
