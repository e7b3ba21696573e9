"""Samples that stay in their files until they are asked for: what looks like an array and reads rows."""

from __future__ import annotations

from abc import ABC, abstractmethod
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array


class Lazy(ABC):
    """Samples ``[n, *event]`` of which rows are read when they are indexed.

    A :class:`~zoo.data.Split` keeps one as it is. What needs all samples at once, such as a metric, gets them by
    ``numpy.asarray``.

    Attributes:
        shape: as of an array.
        dtype: likewise.
    """

    shape: tuple[int, ...]
    dtype: np.dtype[Any]

    @abstractmethod
    def rows(self, indices: NDArray[np.int64]) -> Array:
        """The samples at these places, ``[len(indices), *event]``, in memory."""

    @property
    def ndim(self) -> int:
        """The number of axes."""
        return len(self.shape)

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, key: Any) -> Array:
        """Some samples, by a slice, an array of places or of booleans, or one place; further axes are indexed after."""
        first, *rest = key if isinstance(key, tuple) else (key,)
        chosen = np.arange(len(self), dtype=np.int64)[first]
        read = self.rows(np.atleast_1d(chosen))
        read = read if np.ndim(chosen) else read[0]
        inner = (slice(None), *rest) if np.ndim(chosen) else tuple(rest)
        indexed: Array = read[inner] if rest else read
        return indexed

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> Array:
        every = self.rows(np.arange(len(self), dtype=np.int64))
        return every if dtype is None else every.astype(dtype)


class Chosen(Lazy):
    """Some rows of an array that is too large for memory, or of other lazy samples.

    Args:
        source: a memory-mapped array or a :class:`Lazy`, ``[m, *event]``.
        places: of the rows in it.
    """

    def __init__(self, source: Array | Lazy, places: NDArray[np.int64]) -> None:
        self.source, self.places = source, places
        self.shape, self.dtype = (len(places), *source.shape[1:]), source.dtype

    def __getstate__(self) -> dict[str, Any]:
        """For another process: where the numbers of a mapped file are, instead of the numbers."""
        source = self.source
        if isinstance(source, np.memmap) and source.flags.c_contiguous and source.filename is not None:
            where = {
                "filename": source.filename,
                "dtype": source.dtype,
                "offset": _offset(source),
                "shape": source.shape,
            }
            return {**self.__dict__, "source": where}
        return dict(self.__dict__)

    def __setstate__(self, state: dict[str, Any]) -> None:
        source = state["source"]
        if isinstance(source, dict):
            state = {**state, "source": np.memmap(mode="r", **source)}
        self.__dict__.update(state)

    def rows(self, indices: NDArray[np.int64]) -> Array:
        """The samples at these places, read in the order of the file and put into that of ``indices``."""
        places = self.places[indices]
        if isinstance(self.source, Lazy):
            return self.source.rows(places)
        order = np.argsort(places, kind="stable")
        read = np.empty((len(places), *self.shape[1:]), self.dtype)
        read[order] = self.source[places[order]]
        return read


def _offset(array: np.memmap[Any, Any]) -> int:
    """Where in its file a mapped array begins; a part of one has the attribute of the whole."""
    whole: Any = array
    while isinstance(whole.base, np.memmap):
        whole = whole.base
    return int(whole.offset + array.ctypes.data - whole.ctypes.data)


def chosen(source: Array | Lazy, places: NDArray[np.int64]) -> Array | Lazy:
    """Rows of samples: in memory if the samples are, else read as needed."""
    if isinstance(source, (Lazy, np.memmap)):
        return Chosen(source, places)
    return source[places]
