"""NumPy and safetensors files: one array of samples, samples with their condition, or columns by name."""

from __future__ import annotations

import json
import math
import zipfile
from pathlib import Path

import numpy as np

from zoo.arrays import Array
from zoo.errors import DataError
from zoo.reading import objects
from zoo.reading.content import Rows, Samples
from zoo.reading.objects import IN_MEMORY
from zoo.render import readers
from zoo.render.read import guarded

#: types of tensors as NumPy has them
_DTYPES = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "BOOL": "?"} | {
    f"{kind.upper()}{8 * size}": f"<{kind}{size}" for kind in "iu" for size in (1, 2, 4, 8)
}


def npy(path: Path) -> Rows | Samples:
    """One array ``[n, ...]``; a large one stays in its file and is read as needed.

    Raises:
        DataError: the file is damaged, is not an array, or holds Python objects.
    """
    array: Array = guarded(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path} is not a .npy file; its content looks like .npz")
    return objects.of_array(array if array.nbytes > IN_MEMORY else np.array(array))


def npz(path: Path, *, samples: str = "", condition: str = "") -> Rows | Samples:
    """Arrays by name; ``samples`` and ``condition`` say which are which, where their names do not.

    Raises:
        DataError: the file is damaged, or it is not clear which array is which.
    """
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is not a .npz file")
    return objects.of_arrays(guarded(path, lambda: readers.npz(path)), samples=samples, condition=condition)


def safetensors(path: Path, *, samples: str = "", condition: str = "") -> Rows | Samples:
    """Tensors by name; those of a large file stay in it. Arguments and exceptions are those of :func:`npz`."""
    large = path.stat().st_size > IN_MEMORY
    arrays = guarded(path, lambda: _mapped(path)) if large else None
    arrays = guarded(path, lambda: readers.safetensors(path)) if arrays is None else arrays
    return objects.of_arrays(arrays, samples=samples, condition=condition)


def _mapped(path: Path) -> dict[str, Array] | None:
    """The tensors of a file, mapped into memory; None if NumPy does not have the type of one, or one has no numbers."""
    from safetensors import SafetensorError, safe_open

    try:
        with safe_open(path, "numpy"):  # which checks the head
            pass
    except SafetensorError as error:
        raise DataError(f"{path} is not a safetensors file that can be read: {error}") from error
    with path.open("rb") as file:
        size = int.from_bytes(file.read(8), "little")
        head = json.loads(file.read(size))
    head.pop("__metadata__", None)
    if not all(each["dtype"] in _DTYPES and math.prod(each["shape"]) and each["shape"] for each in head.values()):
        return None
    return {
        name: np.memmap(path, _DTYPES[each["dtype"]], "r", 8 + size + each["data_offsets"][0], tuple(each["shape"]))
        for name, each in head.items()
    }
