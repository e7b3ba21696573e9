"""First names, for models of texts."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.data import Dataset, Split
from zoo.data.fetch import Remote, fetch
from zoo.errors import DataError
from zoo.files import reason_of
from zoo.modality import Text
from zoo.render.text import numbers

#: the names as they are used by makemore, which put them together from the files of the Social Security Administration
_FILE = Remote(
    "names.txt",
    ("https://raw.githubusercontent.com/karpathy/makemore/master/names.txt",),
    sha256="0a30b5557f192f32ab962680889aac5f6fda0f4cecf40a6d0b5694f58ea8cc4d",
)
ALPHABET = Text(".abcdefghijklmnopqrstuvwxyz")
#: the longest has 15 letters, and every name an end
LENGTH = 16
_SPLIT_SEED = 0
_VALIDATION, _TEST = 0.05, 0.1


def names() -> Dataset:
    """Names of the letters a to z, as whole numbers uint8 ``[n, 16]``: 1 to 26, then 0 to the end.

    A name is in one split only, drawn once and for all: a tenth for testing, a twentieth for validation.

    Raises:
        DataError: the file cannot be had, or is not the published one.
    """
    whole = _read(fetch("names", _FILE))
    rows = np.random.default_rng(_SPLIT_SEED).permutation(len(whole))
    test, validation, train = np.split(rows, [int(len(rows) * _TEST), int(len(rows) * (_TEST + _VALIDATION))])
    splits = [Split(whole[chosen].astype(np.uint8)) for chosen in (train, validation, test)]
    return Dataset("names", *splits, levels=len(ALPHABET.alphabet), modality=ALPHABET)  # type: ignore[misc, arg-type]


def _read(path: Path) -> NDArray[np.int64]:
    try:
        lines = path.read_text("utf-8").split()
    except (OSError, UnicodeDecodeError) as error:
        raise DataError(f"cannot read {path}: {reason_of(error)}") from error
    return numbers(sorted(set(lines)), ALPHABET, LENGTH, str(path))
