"""Types of arrays: of any dtype, and of float64, in which everything but networks is computed.

Values of different lengths, one for each sample, are an array ``[n]`` of arrays, which is cut and indexed as any is.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, TypeAlias, TypeGuard

import numpy as np
from numpy.typing import NDArray

#: an array of any dtype
Array: TypeAlias = NDArray[Any]
#: paths, samplers and likelihoods are computed in float64
Float64Array: TypeAlias = NDArray[np.float64]


def is_ragged(values: object) -> TypeGuard[Array]:
    """Whether this is an array ``[n]`` of arrays, or of lists, which may be of lengths of their own."""
    if not isinstance(values, np.ndarray) or values.dtype.kind != "O" or values.ndim != 1 or not len(values):
        return False
    return all(isinstance(row, (np.ndarray, list, tuple)) for row in values)


def array_of_rows(rows: Sequence[Array]) -> Array:
    """Arrays as one array ``[n]`` of Python objects, even where all are of one shape."""
    array = np.empty(len(rows), object)
    for i, row in enumerate(rows):
        array[i] = row
    return array
