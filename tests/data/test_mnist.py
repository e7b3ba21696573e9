"""MNIST's idx files: read as they are specified, refused when they are not, and split as documented."""

import gzip
import struct

import numpy as np
import pytest

from zoo.errors import DataError
from zoo_data import mnist


def idx(array, *, kind=8, zeros=0):
    header = struct.pack(f">HBB{array.ndim}I", zeros, kind, array.ndim, *array.shape)
    return gzip.compress(header + array.tobytes())


def test_an_idx_file_is_read(tmp_path):
    array = np.arange(24, dtype=np.uint8).reshape(2, 3, 4)
    (tmp_path / "x.gz").write_bytes(idx(array))
    np.testing.assert_array_equal(mnist.read_idx(tmp_path / "x.gz"), array)


IMAGE = np.zeros((2, 3), np.uint8)
DAMAGED = {
    "another type": idx(IMAGE, kind=13),
    "no magic": idx(IMAGE, zeros=1),
    "cut off inside gzip": idx(IMAGE)[:-4],
    "cut off before gzip": gzip.compress(gzip.decompress(idx(IMAGE))[:-1]),
    "too long": gzip.compress(gzip.decompress(idx(IMAGE)) + b"!"),
    "header cut off": gzip.compress(gzip.decompress(idx(IMAGE))[:7]),
    "empty": gzip.compress(b""),
    "not gzip": b"<html>not found</html>",
}


@pytest.mark.parametrize("content", DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_idx_file_is_refused(tmp_path, content):
    (tmp_path / "x.gz").write_bytes(content)
    with pytest.raises(DataError, match=r"x\.gz is not "):
        mnist.read_idx(tmp_path / "x.gz")


def test_the_split(tmp_path, monkeypatch):
    """With files of the right form; the published ones are too large to carry."""
    sizes = {"train": 5_010, "t10k": 7}
    for name in mnist._FILES:
        n = sizes[name.partition("-")[0]]
        shape = (n, 28, 28) if "images" in name else (n,)
        (tmp_path / name).write_bytes(idx((np.arange(np.prod(shape)) % 251 % 10).astype(np.uint8).reshape(shape)))
    monkeypatch.setattr(mnist, "_fetch", lambda name: tmp_path / name)
    data = mnist.mnist()
    assert [len(s) for s in (data.train, data.validation, data.test)] == [10, 5_000, 7]
    assert data.event_shape == (1, 28, 28)
    assert data.levels == 256
    assert data.train.condition.dtype == np.int32


def test_files_must_be_the_published_ones(tmp_path, monkeypatch):
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    (tmp_path / "mnist").mkdir()
    for name in mnist._FILES:
        (tmp_path / "mnist" / name).write_bytes(idx(IMAGE))
    with pytest.raises(DataError, match="is not the published file"):
        mnist.mnist()
