"""CSV and TSV: a table with headings, or numbers without."""

from __future__ import annotations

from pathlib import Path

from zoo.errors import DataError
from zoo.reading.cells import typed
from zoo.reading.content import Rows
from zoo.render import delimited


def read(path: Path, *, delimiter: str = "", encoding: str = "utf-8-sig", decimal: str = "") -> Rows:
    """Rows of a text file.

    Args:
        path: the file.
        delimiter: between cells; empty finds it.
        encoding: of the text.
        decimal: ``"."`` or ``","``; empty takes a comma where semicolons separate cells and numbers have commas.

    Raises:
        DataError: as :func:`zoo.render.delimited.read` does, or no rows below the headings.
    """
    if decimal not in ("", ".", ","):
        raise DataError(f"decimal is a point or a comma, not {decimal!r}")
    found = delimited.read(path, delimiter=delimiter or ("\t" if path.suffix.lower() == ".tsv" else ""),
                           encoding=encoding)  # fmt: skip
    if not found.rows:
        raise DataError(f"{path} has headings and no rows")
    texts = list(zip(*found.rows, strict=True))
    columns = {}
    for name, column in zip(found.header, texts, strict=True):
        cells = typed(column, decimal=decimal or ".")
        if not decimal and found.delimiter == ";" and cells.values.dtype.kind == "U":
            cells = typed(column, decimal=",")
        columns[name] = cells
    return Rows(columns, headed=found.headed)
