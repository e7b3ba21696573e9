"""MNIST: 70,000 handwritten digits of 28×28 pixels (LeCun, Cortes & Burges)."""

from __future__ import annotations

import gzip
import math
import struct
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.data import Dataset, Split
from zoo.data.fetch import Remote, fetch
from zoo.errors import DataError
from zoo.files import reason_of

_HOST = "https://ossci-datasets.s3.amazonaws.com/mnist"
#: file name -> MD5 of the uncompressed file, as published
_FILES = {
    "train-images-idx3-ubyte.gz": "6bbc9ace898e44ae57da46a324031adb",
    "train-labels-idx1-ubyte.gz": "a25bea736e30d166cdddb491f175f624",
    "t10k-images-idx3-ubyte.gz": "2646ac647ad5339dbf082846283269ea",
    "t10k-labels-idx1-ubyte.gz": "27ae3e4e09519cfbb04c329615203637",
}
_VALIDATION = 5_000


def mnist() -> Dataset:
    """The standard split, with the last 5,000 training images set apart for validation.

    Images are uint8 ``[n, 1, 28, 28]`` with levels 0 … 255, classes int32 ``[n]``.

    Raises:
        DataError: the files cannot be had, or are not the published ones.
    """
    arrays = [read_idx(_fetch(name)) for name in _FILES]
    images, labels = arrays[0::2], arrays[1::2]
    train, test = ((i[:, None], c.astype(np.int32)) for i, c in zip(images, labels, strict=True))
    return Dataset(
        "mnist",
        train=Split(train[0][:-_VALIDATION], train[1][:-_VALIDATION]),
        validation=Split(train[0][-_VALIDATION:], train[1][-_VALIDATION:]),
        test=Split(*test),
        levels=256,
        labels=tuple("0123456789"),
    )


def _fetch(name: str) -> Path:
    return fetch("mnist", Remote(name, (f"{_HOST}/{name}",), md5_uncompressed=_FILES[name]))


def read_idx(path: Path) -> NDArray[np.uint8]:
    """An idx file of unsigned bytes: two zero bytes, type 8, rank, big-endian sizes, data.

    Raises:
        DataError: not gzip, not idx, of another type, or with more or fewer bytes than its sizes say.
    """
    try:
        data = gzip.decompress(path.read_bytes())
        zeros, kind, rank = struct.unpack_from(">HBB", data)
        shape = struct.unpack_from(f">{rank}I", data, 4)
    except (OSError, EOFError, zlib.error, struct.error) as error:
        raise DataError(f"{path} is not a gzipped idx file: {reason_of(error)}") from error
    content = data[4 + 4 * rank :]
    if zeros or kind != 8 or len(content) != math.prod(shape):
        raise DataError(f"{path} is not an idx file of {'×'.join(map(str, shape))} bytes")
    return np.frombuffer(content, np.uint8).reshape(shape)
