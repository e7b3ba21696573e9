"""Weights files: what fits, what does not, and what only pretends to be one."""

import numpy as np
import pytest

from zoo import weights
from zoo.errors import WeightsError

torch = pytest.importorskip("torch")

ARRAYS = {"weight": np.arange(6, dtype=np.float32).reshape(2, 3), "bias": np.zeros(2, np.float32)}


@pytest.fixture
def path(tmp_path):
    weights.write(tmp_path / "w.safetensors", ARRAYS)
    return tmp_path / "w.safetensors"


def test_arrays_come_back(path):
    back = weights.read(path)
    assert back.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(back[name], array)


def test_the_same_arrays_give_the_same_bytes(tmp_path, path):
    digest = weights.write(tmp_path / "again.safetensors", dict(reversed(ARRAYS.items())))
    assert (tmp_path / "again.safetensors").read_bytes() == path.read_bytes()
    assert weights.read(path, digest=digest).keys() == ARRAYS.keys()


def test_one_flipped_bit_is_noticed(path):
    digest = weights.sha256(path)
    data = bytearray(path.read_bytes())
    data[-1] ^= 1
    path.write_bytes(data)
    with pytest.raises(WeightsError, match="altered or damaged") as caught:
        weights.read(path, digest=digest)
    assert str(path) in str(caught.value)


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "not a safetensors file"),
        (b"\x00" * 7, "not a safetensors file"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:00\nsize 134\n", "Git LFS pointer"),
        (b"<!DOCTYPE html><html><body>404</body></html>", "web page"),
        (b"\x80\x02}q\x00.", "pickle"),
        (b"PK\x03\x04" + b"\x00" * 40, "pickle"),
    ],
)
def test_pretenders_are_named(tmp_path, content, says):
    path = tmp_path / "w.safetensors"
    path.write_bytes(content)
    with pytest.raises(WeightsError, match=says):
        weights.read(path)


def test_a_truncated_file_is_refused(path):
    path.write_bytes(path.read_bytes()[:-4])
    with pytest.raises(WeightsError, match="not a safetensors file"):
        weights.read(path)


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(WeightsError, match="does not exist"):
        weights.read(tmp_path / "none.safetensors")


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_values_that_are_not_finite_are_refused(tmp_path, bad):
    weights.write(tmp_path / "w.safetensors", {"good": np.ones(2, np.float32), "bad": np.array([1, bad], np.float32)})
    with pytest.raises(WeightsError, match="not finite in bad"):
        weights.read(tmp_path / "w.safetensors")


def test_load_into_a_module():
    module = torch.nn.Linear(3, 2)
    derived = {weights.DERIVED + "inverse": np.ones(1, np.float32)}
    weights.load_into(module, {**ARRAYS, **derived}, source="here")
    np.testing.assert_array_equal(module.weight.detach().numpy(), ARRAYS["weight"])


def test_all_mismatches_are_told_at_once_and_nothing_is_loaded():
    module = torch.nn.Linear(3, 2)
    before = module.weight.detach().clone()
    with pytest.raises(WeightsError) as caught:
        weights.load_into(module, {"weight": np.ones((3, 2), np.float32), "scale": np.ones(2)}, source="here")
    message = str(caught.value)
    for part in ("missing bias", "unexpected scale", "weight is float32[3, 2], expected float32[2, 3]"):
        assert part in message
    assert torch.equal(module.weight, before)


def test_a_wrong_dtype_is_a_mismatch():
    with pytest.raises(WeightsError, match=r"bias is float64\[2\], expected float32\[2\]"):
        weights.load_into(torch.nn.Linear(3, 2), {**ARRAYS, "bias": np.zeros(2)}, source="here")
