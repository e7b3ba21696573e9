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
        delimiter: between cells; empty to detect it.
        encoding: of the text.
        decimal: ``"."`` or ``","``; empty tries a comma too where semicolons separate cells.

    Raises:
        DataError: as :func:`zoo.render.delimited.read` does, or no rows below the headings.
    """
    if decimal not in ("", ".", ","):
        raise DataError(f"decimal is a point or a comma, not {decimal!r}")
    table = delimited.read(path, delimiter=delimiter or ("\t" if path.suffix.lower() == ".tsv" else ""),
                           encoding=encoding)  # fmt: skip
    if not table.rows:
        raise DataError(f"{path} has headings but no rows")
    texts = list(zip(*table.rows, strict=True))
    columns = {}
    for name, column in zip(table.header, texts, strict=True):
        cells = typed(column, decimal=decimal or ".")
        if not decimal and table.delimiter == ";" and cells.values.dtype.kind == "U":
            cells = typed(column, decimal=",")
        columns[name] = cells
    return Rows(columns, headed=table.headed)
