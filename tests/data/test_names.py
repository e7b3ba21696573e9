"""First names as whole numbers."""

import os
from pathlib import Path

import numpy as np
import pytest

from zoo.errors import DataError
from zoo.modality import Text
from zoo.render.text import numbers, texts
from zoo_data import names

KIND = Text(".abc")


def test_texts_go_there_and_back():
    lines = ["abc", "", "a", "cc"]
    places = numbers(lines, KIND, 4, "here")
    assert places.tolist() == [[1, 2, 3, 0], [0, 0, 0, 0], [1, 0, 0, 0], [3, 3, 0, 0]]
    assert texts(places + 0.7, KIND) == lines


def test_a_text_ends_at_its_end():
    assert texts(np.array([[1, 0, 2, 3], [9, -4, 1, 1]]), KIND) == ["a", "c"]


def test_gaps_are_told_from_letters():
    assert numbers(["a?c"], KIND, 4, "here").tolist() == [[1, -1, 3, 0]]
    assert numbers(["a?"], Text(".a?"), 2, "here").tolist() == [[1, 2]]


@pytest.mark.parametrize(("line", "told"), [("abcab", "at most 4 fit"), ("axe", "'x'")])
def test_what_does_not_fit_is_refused(line, told):
    with pytest.raises(DataError, match=told):
        numbers([line], KIND, 4, "here")


@pytest.fixture(scope="module")
def data():
    if not (Path(os.environ.get("ZOO_DATA", "missing")) / "names" / "names.txt").is_file():
        pytest.skip("ZOO_DATA names no folder with names/names.txt")
    return names.names()


def test_every_name_is_in_one_split(data):
    splits = [set(texts(split.x, data.modality)) for split in (data.train, data.validation, data.test)]
    assert [len(split) for split in splits] == [len(s) for s in (data.train, data.validation, data.test)]
    assert sum(map(len, splits)) == len(set.union(*splits)) == 29_494
    assert "emma" in set.union(*splits)
    assert data.levels == 27
    assert data.event_shape == (16,)
    assert (data.train.x[:, -1] == 0).all()


def test_another_file_is_refused(monkeypatch, tmp_path):
    (tmp_path / "names").mkdir()
    (tmp_path / "names" / "names.txt").write_text("anna\n")
    monkeypatch.setenv("ZOO_DATA", str(tmp_path))
    with pytest.raises(DataError):
        names.names()
