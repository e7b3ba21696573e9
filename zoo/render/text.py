"""Short texts, one a line, as whole numbers and back."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.errors import DataError
from zoo.modality import Text

#: stands for a character that is not known, where a model is to fill it in
UNKNOWN = "?"


def texts(samples: NDArray[Any], modality: Text) -> list[str]:
    """Samples ``[n, length]``, whose floors are places in the alphabet, each up to its end."""
    places = np.floor(samples).clip(0, len(modality.alphabet) - 1).astype(int)
    symbols = np.array(list(modality.alphabet))
    return ["".join(symbols[row]).partition(modality.alphabet[0])[0] for row in places]


def numbers(lines: Sequence[str], modality: Text, length: int, source: str) -> NDArray[np.int64]:
    """Texts as places in the alphabet ``[n, length]``, 0 behind their ends, -1 for :data:`UNKNOWN`.

    Args:
        lines: the texts.
        modality: their alphabet.
        length: of an event.
        source: where they come from, for errors.

    Raises:
        DataError: a text is too long, or has other characters.
    """
    places = {symbol: i for i, symbol in enumerate(modality.alphabet)}
    if UNKNOWN not in places:
        places[UNKNOWN] = -1
    found = np.zeros((len(lines), length), np.int64)
    for row, line in enumerate(lines):
        if len(line) > length:
            raise DataError(f"{source}: {line[:40]!r} has {len(line)} characters, and there is room for {length}")
        for i, symbol in enumerate(line):
            if symbol not in places:
                raise DataError(
                    f"{source}: {line!r} has the character {symbol!r}, which the model does not know",
                    hint=f"It knows {modality.alphabet[1:]}"
                    + (f", and {UNKNOWN} for any." if places[UNKNOWN] < 0 else "."),
                )
            found[row, i] = places[symbol]
    return found
