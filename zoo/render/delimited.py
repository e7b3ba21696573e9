"""Text files of rows: CSV, TSV and their relatives, as headings and cells."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from zoo.errors import DataError

_DELIMITERS = (",", ";", "\t", "|")
_SAMPLE = 1 << 16


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


def read(path: Path, *, delimiter: str = "", encoding: str = "utf-8-sig") -> Delimited:
    """Read a text file of rows. A byte order mark, empty lines, and blanks around headings do not count.

    A first row that has a cell which is neither a number nor empty holds the headings.

    Args:
        path: the file.
        delimiter: one character; empty takes of comma, semicolon, tab and bar the one that makes the most columns.
        encoding: of the text.

    Raises:
        DataError: it cannot be read or decoded, is empty, has rows of different lengths, or headings twice.
    """
    if len(delimiter) > 1:
        raise DataError(f"a delimiter is one character, not {delimiter!r}")
    try:
        with path.open(newline="", encoding=encoding) as file:
            separator = delimiter or delimiter_of(file.read(_SAMPLE))
            file.seek(0)
            reader = csv.reader(file, delimiter=separator, strict=True, skipinitialspace=True)
            lines = [(reader.line_num, row) for row in reader if row and (len(row) > 1 or row[0].strip())]
    except (LookupError, UnicodeError) as error:
        raise DataError(
            f"{path} is not text in {encoding}: {error}", hint="State its encoding, such as -D encoding=latin-1."
        ) from error
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
    headed = not all(is_number(cell) or not cell.strip() for cell in lines[0][1])
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
    """The delimiter that makes the most columns of the first line, outside of quotes."""
    first = next((line for line in text.splitlines() if line.strip()), "")

    def columns(delimiter: str) -> int:
        return len(next(csv.reader([first], delimiter=delimiter, skipinitialspace=True), []))

    return max(_DELIMITERS, key=columns)


def is_number(text: str) -> bool:
    """Whether a text is a number, infinities and NaN among them."""
    try:
        float(text)
    except ValueError:
        return False
    return True
