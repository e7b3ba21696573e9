"""Pages of a report in HTML and in Markdown: blocks of pictures, texts and tables under titles."""

from __future__ import annotations

import base64
import html
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from zoo.metrics.evaluation import Metrics, in_words
from zoo.printable import printable

_STYLE = """
:root { color-scheme: light dark; --text: #222; --quiet: #666; --line: #ddd; --back: #fff }
@media (prefers-color-scheme: dark) { :root { --text: #ddd; --quiet: #9a9a9a; --line: #444; --back: #15171a }
img.chart { filter: invert(.9) hue-rotate(180deg) } }
body { font: 15px/1.45 system-ui, sans-serif; max-width: 72em; margin: 2em auto; padding: 0 1em; color: var(--text);
background: var(--back) } table { border-collapse: collapse; margin: .6em 0 } td, th { padding: .25em .7em .25em 0;
border-bottom: 1px solid var(--line); text-align: left; vertical-align: top } .n { text-align: right; white-space:
nowrap; font-variant-numeric: tabular-nums } .metrics th, .metrics td { border-bottom: none; padding-bottom: 0 }
.metrics td.of { padding: 0 0 .5em; border-bottom: 1px solid var(--line); max-width: 60em } .wide { overflow-x: auto }
.rows { font-size: 13px } .rows td, .rows th { white-space: nowrap } img { max-width: 100%; height: auto }
.two { display: flex; flex-wrap: wrap; gap: 2em } .two > div { flex: 1 1 20em; min-width: 0; overflow-x: auto }
small { color: var(--quiet) }
@media (max-width: 45em) { body { font-size: 13px; margin: 1em auto } .metrics { width: 100% } .metrics th {
overflow-wrap: anywhere } .metrics .n { white-space: normal } td, th { padding-right: .4em } img.chart { max-width:
none; width: 44em } }
"""


@dataclass(frozen=True)
class Picture:
    """A PNG file, and what it shows; whether it is a chart, on white, or a picture of samples."""

    png: bytes
    shows: str
    chart: bool = True


@dataclass(frozen=True)
class Lines:
    """Texts, one a line."""

    lines: Sequence[str]


@dataclass(frozen=True)
class Cells:
    """Rows of a table under their headings."""

    headings: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True)
class Beside:
    """Samples and test data beside each other."""

    drawn: Picture | Lines | Cells
    real: Picture | Lines | Cells


Block = Picture | Lines | Cells | Beside
Sections = Sequence[tuple[str, Sequence[Block]]]


def in_html(name: str, facts: Mapping[str, object], metrics: Metrics, sections: Sections) -> str:
    """A page in one file, with its pictures inside."""
    shown = [("Metrics", _metrics(metrics))] if metrics else []
    shown += [(title, "".join(map(_in_html, blocks))) for title, blocks in sections if blocks]
    body = "".join(f"<h2>{title}</h2>\n{text}\n" for title, text in shown)
    told = "".join(f"<tr><th>{_said(key)}</th><td>{_said(value)}</td></tr>\n" for key, value in facts.items())
    return (
        f'<!doctype html>\n<html lang="en">\n<head><meta charset="utf-8"><meta name="viewport" '
        f'content="width=device-width, initial-scale=1"><title>{_said(name)}</title>\n'
        f"<style>{_STYLE}</style></head>\n<body>\n<h1>{_said(name)}</h1>\n<table>{told}</table>\n{body}</body></html>\n"
    )


def in_markdown(
    name: str, facts: Mapping[str, object], metrics: Metrics, sections: Sections, pictures: str
) -> tuple[str, dict[str, bytes]]:
    """A page, and its pictures by their names, which it looks for in the folder ``pictures``."""
    files: dict[str, bytes] = {}

    def put(picture: Picture) -> str:
        number = f"{len(files) + 1:02d}-{re.sub(r'[^a-z]+', '-', picture.shows)}.png"
        files[number] = picture.png
        return f"![{picture.shows}]({pictures}/{number})"

    told = [(_plain(key), _plain(value)) for key, value in facts.items()]
    parts = [f"# {_plain(name)}", _piped(("", ""), told), *(["## Metrics", _table_of(metrics)] if metrics else [])]
    for title, blocks in sections:
        parts += [f"## {title}", *(_in_markdown(block, put) for block in blocks)] if blocks else []
    return "\n\n".join(parts) + "\n", files


def _said(value: object) -> str:
    return html.escape(str(value))


def _in_html(block: Block) -> str:
    if isinstance(block, Beside):
        drawn, real = _in_html(block.drawn), _in_html(block.real)
        return f'<div class="two"><div><h3>samples</h3>{drawn}</div><div><h3>test data</h3>{real}</div></div>'
    if isinstance(block, Lines):
        return "<br>".join(map(_said, block.lines))
    if isinstance(block, Cells):
        head = "".join(f"<th>{_said(heading)}</th>" for heading in block.headings)
        cells = ["".join(f"<td>{_said(cell)}</td>" for cell in row) for row in block.rows]
        return f"<table class='rows'><tr>{head}</tr>{''.join(f'<tr>{row}</tr>' for row in cells)}</table>"
    source = f"data:image/png;base64,{base64.b64encode(block.png).decode()}"
    chosen = ' class="chart"' if block.chart else ""
    image = f'<img alt="{_said(block.shows)}"{chosen} src="{source}">'
    return f'<div class="wide">{image}</div>' if block.chart else image


def _in_markdown(block: Block, put: Callable[[Picture], str]) -> str:
    if isinstance(block, Beside):
        drawn, real = _in_markdown(block.drawn, put), _in_markdown(block.real, put)
        return f"### samples\n\n{drawn}\n\n### test data\n\n{real}"
    if isinstance(block, Lines):
        return "\n".join(f"- {_plain(line)}" for line in block.lines)
    if isinstance(block, Cells):
        return _piped(block.headings, [[_plain(cell) for cell in row] for row in block.rows])
    return put(block)


def _plain(value: object) -> str:
    """A value on one line of Markdown, without marks that begin something else."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", printable(" ".join(str(value).split())))


def _piped(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    lines = [[_plain(heading) for heading in head], ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(line) + " |" for line in lines)


def _told(table: Mapping[str, Any]) -> tuple[list[str], str]:
    """The numbers of a metric, and what is said of it."""
    shown = ("value", "standard_error", "of_training_data", "unit", "samples", "of")
    error = f" ± {table['standard_error']}" if "standard_error" in table else ""
    others = [f"{key.replace('_', ' ')} {in_words(value)}" for key, value in table.items() if key not in shown]
    told = "; ".join([*([str(table["of"])] if "of" in table else []), *others])
    numbers = [
        f"{table['value']}{error} {table.get('unit', '')}".rstrip(),
        str(table.get("of_training_data", "")),
        str(table.get("samples", "")),
    ]
    return numbers, told


def _metrics(metrics: Metrics) -> str:
    """A row of numbers for each metric, and one that says what it is."""
    rows = []
    for name, table in metrics.items():
        cells, told = _told(table)
        numbers = "".join(f'<td class="n">{_said(cell)}</td>' for cell in cells)
        rows.append(f"<tr><th>{_said(name)}</th>{numbers}</tr>")
        rows.append(f'<tr><td class="of" colspan="4"><small>{_said(told)}</small></td></tr>')
    heads = "".join(f'<th class="n">{head}</th>' for head in ("value", "training data", "samples"))
    return f'<div class="wide"><table class="metrics"><tr><th></th>{heads}</tr>{"".join(rows)}</table></div>'


def _table_of(metrics: Metrics) -> str:
    """The same in Markdown."""
    rows = [
        [_plain(name), *map(_plain, cells), _plain(told)]
        for name, (cells, told) in ((name, _told(table)) for name, table in metrics.items())
    ]
    return _piped(("", "value", "training data", "samples", "of"), rows)
