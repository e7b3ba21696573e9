"""Samples written and read back; files appear whole or not at all."""

import json

import numpy as np
import pytest
from safetensors import safe_open

from zoo.conditions import Condition, Part
from zoo.errors import DataError, OutputError, UsageError
from zoo.render import FORMATS, check_output, default_suffix, write
from zoo.render.files import Extras
from zoo.render.read import read_arrays, read_condition, read_samples

ABOUT = {"model": "m", "seed": 3, "sampler": None}


@pytest.fixture(scope="module")
def samples():
    return np.random.default_rng(0).normal(size=(7, 2, 3)).astype(np.float32) * np.float32(1e3)


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".csv", ".safetensors"])
def test_what_is_written_reads_back_exactly(samples, suffix, tmp_path):
    condition = np.arange(7, dtype=np.int32) % 3
    path = tmp_path / f"x{suffix}"
    write(samples, path, Extras(condition=condition, about=ABOUT))
    x, found = read_samples(path, (2, 3))
    np.testing.assert_array_equal(x.astype(np.float32), samples)
    if suffix != ".npy":
        np.testing.assert_array_equal(found, condition)
        np.testing.assert_array_equal(read_condition(path), condition)
    beside = [] if suffix in (".npz", ".safetensors") else [f"{path.name}.about.json"]
    assert sorted(p.name for p in tmp_path.iterdir()) == [path.name, *beside]


def test_extremes_survive_csv(tmp_path):
    values = np.array([[0.0, -0.0, 1e-38, -3.4e38, 1.0, 1 / 3, 123456.79, 1e-5]], np.float32)
    write(values, tmp_path / "x.csv")
    np.testing.assert_array_equal(read_samples(tmp_path / "x.csv", (8,))[0].astype(np.float32), values)


def test_csv_has_a_header_and_labels(tmp_path):
    extras = Extras(condition=np.array([1, 0]), labels=("cat", "dog"))
    write(np.array([[[1, 2]], [[3, 4]]], np.float32), tmp_path / "x.csv", extras)
    assert (tmp_path / "x.csv").read_text() == "x0_0,x0_1,condition\n1,2,dog\n3,4,cat\n"
    np.testing.assert_array_equal(read_samples(tmp_path / "x.csv", (1, 2))[1], ["dog", "cat"])


def test_vectors_as_condition(tmp_path):
    condition = np.array([[0.5, 1.0], [2.0, 3.0]], np.float32)
    for suffix in (".csv", ".npz", ".safetensors"):
        write(np.zeros((2, 1), np.float32), tmp_path / f"x{suffix}", Extras(condition=condition))
        np.testing.assert_array_equal(read_condition(tmp_path / f"x{suffix}"), condition)


def test_parts_for_all_samples_are_told_from_those_of_each(tmp_path):
    """A class is a single number, and two numbers for two samples are not one for each."""
    condition = Condition(
        (Part("arm", "classes", size=3), Part("state", "numbers", (2,)), Part("wind", "numbers", (1,)))
    )
    value = {"arm": 2, "state": [0.5, 1.5], "wind": [[3.0], [4.0]]}
    for suffix in (".csv", ".npz", ".safetensors"):
        path = tmp_path / f"x{suffix}"
        write(np.zeros((2, 1), np.float32), path, Extras(condition=condition.stored(value, 2)))
        _, found = read_samples(path, (1,))
        arrays = condition.arrays(condition.restored(found), 2)
        for name, wanted in condition.arrays(value, 2).items():
            np.testing.assert_array_equal(np.broadcast_to(arrays[name], wanted.shape), wanted, suffix)
    header, *rows = (tmp_path / "x.csv").read_text().splitlines()
    assert header == "x0,condition/arm,condition/state/0,condition/state/1,condition/wind/0"
    assert rows == ["0.0,2,0.5,1.5,3", "0.0,2,0.5,1.5,4"]


def test_origin_is_kept(samples, tmp_path):
    write(samples, tmp_path / "x.npz", Extras(about=ABOUT))
    write(samples, tmp_path / "x.safetensors", Extras(about=ABOUT))
    assert json.loads(str(np.load(tmp_path / "x.npz")["about"])) == ABOUT
    with safe_open(tmp_path / "x.safetensors", "numpy") as file:
        assert {k: json.loads(v) for k, v in file.metadata().items()} == ABOUT


def test_an_unknown_extension_lists_the_known(samples, tmp_path):
    with pytest.raises(UsageError, match=r"'.gif' of x\.gif") as caught:
        write(samples, tmp_path / "x.gif")
    assert all(suffix in caught.value.hint for suffix in FORMATS)
    with pytest.raises(UsageError, match="no extension"):
        write(samples, tmp_path / "x")


def test_existing_files_give_way_only_when_told(samples, tmp_path):
    path = tmp_path / "x.npy"
    path.write_text("mine")
    with pytest.raises(OutputError, match="exists already"):
        write(samples, path)
    assert path.read_text() == "mine"
    write(samples, path, replace=True)
    np.testing.assert_array_equal(np.load(path), samples)


@pytest.mark.parametrize(
    ("shape", "suffix"),
    [
        ((), ".png"),
        ((1,), ".png"),
        ((2,), ".png"),
        ((1, 8, 8), ".png"),
        ((3, 8, 8), ".png"),
        ((7,), ".npy"),
        ((2, 8, 8), ".npy"),
    ],
)
def test_events_have_a_picture_or_not(shape, suffix, tmp_path):
    assert default_suffix(shape) == suffix
    if suffix == ".npy":
        with pytest.raises(UsageError, match="cannot be drawn"):
            check_output(tmp_path / "x.png", shape)
    else:
        check_output(tmp_path / "x.png", shape)


def test_columns_must_fit_the_event(tmp_path):
    (tmp_path / "x.csv").write_text("1,2,3\n4,5,6\n")
    x, found = read_samples(tmp_path / "x.csv", (3,))
    assert (x.tolist(), x.dtype.kind, found) == ([[1, 2, 3], [4, 5, 6]], "i", None)
    with pytest.raises(DataError, match="3 columns of data; an event of shape"):
        read_samples(tmp_path / "x.csv", (2, 2))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "empty"),
        ("x0,x1\n1,2\n3\n", "line 3 has 1 columns"),
        ("x0,x1\n1,two\n", "'two' is not a number"),
    ],
)
def test_bad_csv_is_told(text, message, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=message):
        read_arrays(tmp_path / "x.csv")


def test_several_arrays_need_a_name(tmp_path):
    np.savez(tmp_path / "x.npz", a=np.zeros(2), b=np.zeros(2))
    with pytest.raises(DataError, match="a, b; a single array is expected"):
        read_samples(tmp_path / "x.npz", (2,))


def test_nothing_is_unpickled(tmp_path):
    np.save(tmp_path / "x.npy", np.array([print], object), allow_pickle=True)
    np.savez(tmp_path / "x.npz", x=np.array([print], object))
    for name in ("x.npy", "x.npz"):
        with pytest.raises(DataError, match="Python objects"):
            read_arrays(tmp_path / name)
