"""CIFAR-10: 60,000 photographs of 32×32 pixels in ten classes (Krizhevsky 2009)."""

from __future__ import annotations

import tarfile
import zlib
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from zoo.data import Dataset, Split
from zoo.data.fetch import Remote, fetch
from zoo.errors import DataError
from zoo.files import reason_of

#: the binary version, which needs no unpickling; its MD5 as published
_FILE = Remote(
    "cifar-10-binary.tar.gz",
    ("https://www.cs.toronto.edu/~kriz/cifar-10-binary.tar.gz",),
    md5="c32a1d4ab5d03f1284b67883e8d87530",
)
LABELS = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
_TRAIN = tuple(f"data_batch_{i}.bin" for i in range(1, 6))
_TEST = "test_batch.bin"
_VALIDATION = 5_000
_ROWS, _PIXELS = 10_000, 3 * 32 * 32


def cifar10() -> Dataset:
    """The standard split, with the last 5,000 training images set apart for validation.

    Images are uint8 ``[n, 3, 32, 32]`` with levels 0 … 255, classes int32 ``[n]``.

    Raises:
        DataError: the file cannot be had, or is not the published one.
    """
    batches = read_batches(fetch("cifar-10", _FILE))
    images = np.concatenate([batches[name][0] for name in _TRAIN])
    classes = np.concatenate([batches[name][1] for name in _TRAIN])
    return Dataset(
        "cifar-10",
        train=Split(images[:-_VALIDATION], classes[:-_VALIDATION]),
        validation=Split(images[-_VALIDATION:], classes[-_VALIDATION:]),
        test=Split(*batches[_TEST]),
        levels=256,
        labels=LABELS,
    )


def read_batches(path: Path, rows: int = _ROWS) -> dict[str, tuple[NDArray[np.uint8], NDArray[np.int32]]]:
    """Images ``[rows, 3, 32, 32]`` and classes of each of the six files in the archive.

    A row is one byte of the class and then the red, green and blue pixels.

    Raises:
        DataError: no such archive, or a file that is missing or of another size.
    """
    contents = {}
    try:
        with tarfile.open(path, "r:gz") as archive:
            members = {Path(member.name).name: member for member in archive.getmembers() if member.isfile()}
            for name in (*_TRAIN, _TEST):
                opened = archive.extractfile(members[name]) if name in members else None
                if opened is None:
                    raise DataError(f"{path} has no file {name}")
                contents[name] = opened.read(rows * (1 + _PIXELS) + 1)
    except (OSError, EOFError, tarfile.TarError, zlib.error) as error:
        raise DataError(f"{path} is not an archive that can be read: {reason_of(error)}") from error
    batches = {}
    for name, content in contents.items():
        if len(content) != rows * (1 + _PIXELS):
            raise DataError(f"{name} in {path} does not hold {rows:,} pictures of 32×32 pixels")
        table = np.frombuffer(content, np.uint8).reshape(rows, 1 + _PIXELS)
        if table[:, 0].max() >= len(LABELS):
            raise DataError(f"{name} in {path} has the class {table[:, 0].max()}, and there are {len(LABELS)}")
        batches[name] = table[:, 1:].reshape(rows, 3, 32, 32).copy(), table[:, 0].astype(np.int32)
    return batches
