"""CSV and TSV: a table with headings, or numbers without."""

from __future__ import annotations

from pathlib import Path

from zoo.errors import DataError
from zoo.reading.cells import typed
from zoo.reading.content import Rows
from zoo.render import delimited
from zoo.render.delimited import Delimited


def read(path: Path, *, delimiter: str = "", encoding: str = "utf-8-sig", decimal: str = "") -> Rows:
    """Rows of a text file.

    Args:
        path: the file.
        delimiter: between cells; empty to detect it.
        encoding: of the text.
        decimal: ``"."`` or ``","``; empty takes a comma where semicolons separate cells that have some.

    Raises:
        DataError: as :func:`zoo.render.delimited.read` does, or no rows below the headings.
    """
    if decimal not in ("", ".", ","):
        raise DataError(f"decimal is a point or a comma, not {decimal!r}")
    hint = "State its encoding, such as -D encoding=latin-1."
    table = delimited.read(path, delimiter=delimiter, encoding=encoding, hint=hint)
    if not table.rows:
        raise DataError(f"{path} has headings but no rows")
    return of_table(table, decimal=decimal)


def of_table(table: Delimited, *, decimal: str = "") -> Rows:
    """The columns of a table of texts, each as what its cells are; ``decimal`` as of :func:`read`."""
    columns = {name: typed(cells, decimal=decimal or table.decimal(cells)) for name, cells in table.columns().items()}
    return Rows(columns, headed=table.headed)
