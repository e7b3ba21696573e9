"""NumPy and safetensors files: one array of samples, samples with their condition, or columns by name."""

from __future__ import annotations

import zipfile
from pathlib import Path

import numpy as np

from zoo.arrays import Array
from zoo.errors import DataError
from zoo.reading import objects
from zoo.reading.content import Rows, Samples
from zoo.render import readers
from zoo.render.read import guarded

#: arrays that take more bytes than this stay in their file
IN_MEMORY = 1 << 28


def npy(path: Path) -> Rows | Samples:
    """One array ``[n, ...]``; a large one stays in its file and is read as needed.

    Raises:
        DataError: damaged, no array, or Python objects.
    """
    array: Array = guarded(path, lambda: np.load(path, mmap_mode="r", allow_pickle=False))
    if not isinstance(array, np.ndarray):
        raise DataError(f"{path} is not a .npy file; its content looks like .npz")
    return objects.of_array(array if array.nbytes > IN_MEMORY else np.array(array))


def npz(path: Path, *, samples: str = "", condition: str = "") -> Rows | Samples:
    """Arrays by name; ``samples`` and ``condition`` say which are which, where their names do not.

    Raises:
        DataError: damaged, or arrays that are not clearly one or the other.
    """
    if not zipfile.is_zipfile(path):
        raise DataError(f"{path} is not a .npz file")
    return objects.of_arrays(guarded(path, lambda: readers.npz(path)), samples=samples, condition=condition)


def safetensors(path: Path, *, samples: str = "", condition: str = "") -> Rows | Samples:
    """Tensors by name. Arguments and exceptions are those of :func:`npz`."""
    return objects.of_arrays(guarded(path, lambda: readers.safetensors(path)), samples=samples, condition=condition)
