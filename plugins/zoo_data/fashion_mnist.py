"""Fashion-MNIST: 70,000 pictures of clothing of 28×28 pixels (Xiao, Rasul & Vollgraf 2017, arXiv:1708.07747)."""

from __future__ import annotations

import numpy as np

from zoo.data import Dataset, Split
from zoo.data.fetch import Remote, fetch
from zoo_data.mnist import read_idx

_HOST = "http://fashion-mnist.s3-website.eu-central-1.amazonaws.com"
#: file name -> MD5 of the file, as published
_FILES = {
    "train-images-idx3-ubyte.gz": "8d4fb7e6c68d591d4c3dfef9ec88bf0d",
    "train-labels-idx1-ubyte.gz": "25c81989df183df01b3e8a0aad5dffbe",
    "t10k-images-idx3-ubyte.gz": "bef4ecab320f06d8554ea6380940ec79",
    "t10k-labels-idx1-ubyte.gz": "bb300cfdad3c16e7a12a480ee83cd310",
}
LABELS = (
    *("T-shirt/top", "Trouser", "Pullover", "Dress", "Coat"),
    *("Sandal", "Shirt", "Sneaker", "Bag", "Ankle boot"),
)
_VALIDATION = 5_000


def fashion_mnist() -> Dataset:
    """The standard split, with the last 5,000 training images set apart for validation.

    Images are uint8 ``[n, 1, 28, 28]`` with levels 0 … 255, classes int32 ``[n]``.

    Raises:
        DataError: the files cannot be had, or are not the published ones.
    """
    arrays = [
        read_idx(fetch("fashion-mnist", Remote(name, (f"{_HOST}/{name}",), md5=digest)))
        for name, digest in _FILES.items()
    ]
    images, labels = arrays[0::2], arrays[1::2]
    train, test = ((i[:, None], c.astype(np.int32)) for i, c in zip(images, labels, strict=True))
    return Dataset(
        "fashion-mnist",
        train=Split(train[0][:-_VALIDATION], train[1][:-_VALIDATION]),
        validation=Split(train[0][-_VALIDATION:], train[1][-_VALIDATION:]),
        test=Split(*test),
        levels=256,
        labels=LABELS,
    )
