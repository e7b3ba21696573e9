"""The 8×8 digits that come with scikit-learn: the test set of UCI's optical recognition of handwritten digits."""

from __future__ import annotations

import numpy as np

from zoo.data import Dataset, Split
from zoo.errors import MissingDependencyError

#: training, validation, test
_SIZES = (1257, 180, 360)
_SPLIT_SEED = 0


def digits() -> Dataset:
    """1,797 images, shuffled once and for all and split into 1,257, 180 and 360.

    Images are uint8 ``[n, 1, 8, 8]`` with levels 0 … 16 (each counts the set pixels of a 4×4 block of a bitmap),
    classes int32 ``[n]``.

    Raises:
        MissingDependencyError: scikit-learn is not installed.
    """
    try:
        from sklearn.datasets import load_digits
    except ImportError as error:
        raise MissingDependencyError("scikit-learn", "load the data set digits", extra="data") from error
    images, labels = load_digits(return_X_y=True)
    order = np.random.default_rng(_SPLIT_SEED).permutation(len(images))
    images = images[order].astype(np.uint8).reshape(-1, 1, 8, 8)
    labels = labels[order].astype(np.int32)
    ends = np.cumsum(_SIZES)[:-1]
    splits = (Split(i, c) for i, c in zip(np.split(images, ends), np.split(labels, ends), strict=True))
    train, validation, test = splits
    return Dataset("digits", train, validation, test, levels=17, labels=tuple("0123456789"))
