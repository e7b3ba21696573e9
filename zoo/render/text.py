"""Short texts, one a line, as whole numbers and back."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.errors import DataError
from zoo.modality import Text

#: stands for an unknown character that a model is to fill in
UNKNOWN = "?"


def texts(samples: Array, modality: Text) -> list[str]:
    """Texts of samples ``[n, length]``, whose floors are indices into the alphabet, each up to its end."""
    places = np.floor(samples).clip(0, len(modality.alphabet) - 1).astype(int)
    symbols = np.array(list(modality.alphabet))
    return ["".join(symbols[row]).partition(modality.alphabet[0])[0] for row in places]


def numbers(lines: Sequence[str], modality: Text, length: int, source: str) -> NDArray[np.int64]:
    """Texts as indices into the alphabet ``[n, length]``, 0 after their ends, -1 for :data:`UNKNOWN`.

    Args:
        lines: the texts.
        modality: their alphabet.
        length: of an event.
        source: their origin, for errors.

    Raises:
        DataError: a text is too long, or has characters outside the alphabet.
    """
    places = {symbol: i for i, symbol in enumerate(modality.alphabet)}
    if UNKNOWN not in places:
        places[UNKNOWN] = -1
    indices = np.zeros((len(lines), length), np.int64)
    for row, line in enumerate(lines):
        if len(line) > length:
            raise DataError(f"{source}: {line[:40]!r} has {len(line)} characters, but at most {length} fit")
        for i, symbol in enumerate(line):
            if symbol not in places:
                raise DataError(
                    f"{source}: {line!r} has the character {symbol!r}, which is not in the model's alphabet",
                    hint=f"The alphabet is {modality.alphabet[1:]}"
                    + (f", and {UNKNOWN} for any." if places[UNKNOWN] < 0 else "."),
                )
            indices[row, i] = places[symbol]
    return indices
