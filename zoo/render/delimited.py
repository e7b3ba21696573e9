"""Text files of rows: CSV, TSV and their relatives, as headings and cells. Everything that reads one reads it here."""

from __future__ import annotations

import csv
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import islice
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DataError

#: extensions of files that are read as rows of text
SUFFIXES = (".csv", ".tsv")
#: cells that stand for a missing value
MISSING = frozenset({"", "NA", "N/A", "n/a", "NaN", "nan", "NULL", "null", "#N/A"})
_DELIMITERS = (",", ";", "\t", "|")
#: characters and rows at the beginning of a file that its delimiter is found in
_SAMPLE, _LOOKED_AT = 1 << 16, 100


@dataclass(frozen=True)
class Delimited:
    """A text file of rows.

    Attributes:
        header: headings, x0, x1, ... if the file has none.
        rows: cells of each row, as many as headings.
        headed: whether the file has headings.
        delimiter: what separates cells.
    """

    header: tuple[str, ...]
    rows: list[list[str]]
    headed: bool
    delimiter: str

    def columns(self, numbers: Collection[str] = ()) -> dict[str, list[str]]:
        """Cells by heading; those of columns of ``numbers`` with decimal points, whatever the file has."""
        cells = {name: [row[i] for row in self.rows] for i, name in enumerate(self.header)}
        return {name: self._with_points(column) if name in numbers else column for name, column in cells.items()}

    def decimal(self, cells: Sequence[str]) -> str:
        """The decimal separator of a column of numbers: a comma where semicolons separate cells that have some."""
        return "," if self.delimiter == ";" and any("," in cell for cell in cells) else "."

    def _with_points(self, cells: list[str]) -> list[str]:
        if self.decimal(cells) == ".":
            return cells
        # a point beside commas that are decimal may be one of thousands, so such a cell stays no number
        written = [cell if "." in cell else cell.replace(",", ".") for cell in cells]
        return [new if is_number(new) else cell for new, cell in zip(written, cells, strict=True)]


def read(
    path: Path, *, delimiter: str = "", encoding: str = "utf-8-sig", verbatim: bool = False, hint: str | None = None
) -> Delimited:
    """Read a text file of rows. A byte order mark, empty lines, and blanks around headings do not count.

    A first row that has a cell which is neither a number nor empty holds the headings.

    Args:
        path: the file.
        delimiter: one character; empty takes the tab in a .tsv file, else of comma, semicolon, tab and bar the one that
            makes the most columns.
        encoding: of the text.
        verbatim: whether blanks at the beginning of a cell, and rows of one blank cell, are content, as in texts.
        hint: what to do about a file in another encoding.

    Raises:
        DataError: it cannot be read or decoded, is empty, has rows of different lengths, or headings twice.
    """
    if len(delimiter) > 1:
        raise DataError(f"a delimiter is one character, not {delimiter!r}")
    try:
        with path.open(newline="", encoding=encoding) as file:
            separator = delimiter or ("\t" if path.suffix.lower() == ".tsv" else delimiter_of(file.read(_SAMPLE)))
            file.seek(0)
            reader = csv.reader(file, delimiter=separator, strict=True, skipinitialspace=not verbatim)
            lines = [(reader.line_num, row) for row in reader if row and (verbatim or len(row) > 1 or row[0].strip())]
    except (LookupError, UnicodeError) as error:
        raise DataError(f"{path} is not text in {encoding}: {error}", hint=hint or "Save it as UTF-8.") from error
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error
    if not lines:
        raise DataError(f"{path} is empty")
    width = len(lines[0][1])
    for number, row in lines:
        if len(row) != width:
            raise DataError(f"{path}: line {number} has {len(row)} columns, the first line has {width}")
    headed = not all(_is_number(cell, separator) or not cell.strip() for cell in lines[0][1])
    if _counts([row for _, row in lines]):
        first, last = lines[0][1][0].strip(), lines[0][1][-1].strip()
        raise DataError(
            f"the first line of {path} counts from {first} to {last} in whole numbers, as headings do, and its other "
            "lines hold other numbers",
            hint=f"Give the columns names that are not numbers; or write {first}.0, ... if that line is a sample.",
        )
    rows = [row for _, row in lines]
    header = _header(rows.pop(0), path) if headed else tuple(f"x{i}" for i in range(width))
    return Delimited(header, rows, headed, separator)


def _counts(rows: Sequence[Sequence[str]]) -> bool:
    """Whether the first row counts columns, or names them by years, above numbers of another kind.

    Frames without names write headings that count from 0, and tables over time have years.
    """
    first, *others = ([cell.strip() for cell in row] for row in rows)
    if len(first) < 2 or not all(cell.isdecimal() for cell in first):
        return False
    numbers = [int(cell) for cell in first]
    cells = [cell for row in others for cell in row if cell]
    if first == [str(i) for i in range(len(first))] and any(not cell.lstrip("+-").isdigit() for cell in cells):
        return True
    years = numbers == list(range(numbers[0], numbers[0] + len(numbers))) and _is_year(numbers[0])
    return years and bool(cells) and not any(cell.isdecimal() and _is_year(int(cell)) for cell in cells)


def _is_year(number: int) -> bool:
    return 1800 <= number <= 2200


def _header(cells: Sequence[str], path: Path) -> tuple[str, ...]:
    names = tuple(cell.strip() or f"column {i + 1}" for i, cell in enumerate(cells))
    if twice := [name for name in names if names.count(name) > 1]:
        raise DataError(f"{path} has two columns with the heading {twice[0]!r}")
    return names


def delimiter_of(text: str) -> str:
    """The delimiter of the beginning of a file.

    It is one that makes equally many columns of all rows, if any does, of these the one that leaves most cells numbers,
    and of these the one that makes most columns of the first row.
    """
    lines = text.splitlines(keepends=True)
    lines = lines[:-1] if len(text) == _SAMPLE else lines  # the last one may go on

    def good(delimiter: str) -> tuple[bool, float, int]:
        reader = csv.reader(lines, delimiter=delimiter, skipinitialspace=True)
        rows = list(islice((row for row in reader if row and (len(row) > 1 or row[0].strip())), _LOOKED_AT))
        widths = {len(row) for row in rows}
        cells = [cell for row in rows for cell in row]
        numbers = sum(_is_number(cell, delimiter) for cell in cells)
        if len(widths) == 1 and widths != {1}:
            return True, numbers / len(cells), widths.pop()
        return False, 0.0, len(rows[0]) if rows else 0

    return max(_DELIMITERS, key=good)


def _is_number(cell: str, delimiter: str) -> bool:
    """Whether a cell is a number, with a decimal comma where semicolons separate cells."""
    return is_number(cell) or (delimiter == ";" and "." not in cell and is_number(cell.replace(",", ".", 1)))


def is_number(text: str) -> bool:
    """Whether a text is a number, infinities and NaN among them."""
    try:
        float(text)
    except ValueError:
        return False
    return "_" not in text  # which Python has between digits


def numbers(cells: Sequence[str], where: str) -> NDArray[np.float64]:
    """Cells as numbers ``[n]``.

    Args:
        cells: with decimal points; see :meth:`Delimited.columns`.
        where: file and column, for the error.

    Raises:
        DataError: an empty cell, or one that is no number.
    """
    for row, cell in enumerate(cells, start=1):
        if not is_number(cell):
            told = f"row {row} is empty, where a number is wanted" if not cell.strip() else f"{cell!r} is not a number"
            raise DataError(f"{where}: {told}")
    return np.array([float(cell) for cell in cells], np.float64)
