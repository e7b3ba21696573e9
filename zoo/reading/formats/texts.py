"""A text file with one sample per line, and the alphabet of its lines."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from zoo.errors import DataError
from zoo.modality import Text
from zoo.reading.content import Samples
from zoo.render import text

#: candidates for the symbol that ends a text: the first that occurs in no text is taken
_ENDS = (".", "|", "~", "^", "¶", "\n")
_LONGEST = 4096


def read(path: Path, *, length: int = 0, encoding: str = "utf-8-sig") -> Samples:
    """The lines of a file.

    Args:
        path: the file.
        length: of an event, in characters; 0 takes one more than the longest line has. Longer lines are refused.
        encoding: of the text.

    Raises:
        DataError: it cannot be decoded, is empty, or has lines that are too long or characters that are not
            printable.
    """
    return of_lines(lines_of(path, encoding), path, length=length)


def lines_of(path: Path, encoding: str = "utf-8-sig") -> list[str]:
    """The lines of a file; raises a :class:`~zoo.errors.DataError` as :func:`read` does."""
    try:
        return path.read_text(encoding).splitlines()
    except (LookupError, UnicodeError) as error:
        raise DataError(f"{path} is not text in {encoding}: {error}", hint="State it: -D encoding=latin-1.") from error
    except OSError as error:
        raise DataError(f"cannot read {path}: {error.strerror}") from error


def of_lines(lines: Sequence[str], path: Path, *, length: int = 0) -> Samples:
    """Lines as samples; ``path`` is what errors call them, and arguments and errors are those of :func:`read`."""
    kept = [line for line in lines if line]
    if not kept:
        raise DataError(f"{path} is empty")
    notes = (f"{len(lines) - len(kept):,} empty lines are left out",) if len(lines) > len(kept) else ()
    symbols = sorted(set().union(*kept))
    if odd := [symbol for symbol in symbols if not symbol.isprintable()]:
        raise DataError(f"{path} has the character {odd[0]!r}, which is not printable")
    end = next(symbol for symbol in _ENDS if symbol not in symbols)
    modality = Text(end + "".join(symbols))
    longest = max(map(len, kept))
    size = length or longest + 1
    if size > _LONGEST:
        raise DataError(f"{path} has a line of {longest:,} characters, and a sample has at most {_LONGEST:,}")
    indices = text.numbers(kept, modality, size, str(path))
    small = np.uint8 if len(modality.alphabet) <= 256 else np.int32
    return Samples(indices.astype(small), levels=len(modality.alphabet), modality=modality, notes=notes)
