"""Rows of tables written and read back: headings, categories, decimals, ranges."""

import numpy as np
import pytest

from zoo.errors import ConfigError, DataError
from zoo.modality import Audio, Column, Table, Text, describe, modality_from
from zoo.render import default_suffix, write
from zoo.render.files import Extras
from zoo.render.read import read_samples
from zoo.render.tables import rounding, values

TABLE = Table(
    (
        Column.categories("sex", ("female", "male")),
        Column("age", grain=1.0, minimum=19.0, maximum=79.0),
        Column("height", grain=0.01),
        Column("free"),
    )
)


def test_kinds_survive_json():
    for modality in (TABLE, Audio(8000), Text("\0abc"), None):
        assert modality_from(describe(modality)) == modality


@pytest.mark.parametrize(
    "make",
    [
        lambda: Audio(0),
        lambda: Audio(8000.0),
        lambda: Text("aab"),
        lambda: Text("ab\n"),
        lambda: Table(()),
        lambda: Table((Column("x"), Column("x"))),
        lambda: Column("x", grain=0.0),
        lambda: Column("x", minimum=2.0, maximum=1.0),
        lambda: Column("x", ("a", "b")),
        lambda: Column("x", ("a", "a"), 1.0, 0.0, 1.0),
        lambda: modality_from({"kind": "smell"}),
        lambda: modality_from({"kind": "audio", "rate": 1}),
        lambda: modality_from({"kind": "table", "columns": [{"title": "x"}]}),
        lambda: modality_from({"kind": "table", "columns": 3}),
    ],
)
def test_what_is_no_kind_is_refused(make):
    with pytest.raises(ConfigError):
        make()


def test_only_shapes_that_fit():
    assert TABLE.misfit((4,), None) is None
    assert TABLE.misfit((3,), None)
    assert Audio(8000).misfit((1, 100), None) is None
    assert Audio(8000).misfit((100,), None)
    assert Text("abc").misfit((5,), 3) is None
    assert Text("abc").misfit((5,), 4)
    assert Text("abc").misfit((1, 5), 3)


def test_samples_are_rounded_into_their_columns(tmp_path):
    samples = np.array([[0.7, 33.9, 1.759, 1 / 3], [1.2, 12.0, -0.001, -2.0], [5.0, 99.0, 1.75, 0.0]], np.float32)
    assert default_suffix((4,), TABLE) == ".csv"
    write(samples, tmp_path / "x.csv", Extras(modality=TABLE))
    assert (tmp_path / "x.csv").read_text().splitlines() == [
        "sex,age,height,free",
        "female,33,1.75,0.33333334",
        "male,19,-0.01,-2.0",
        "male,79,1.75,0.0",
    ]
    read, condition = read_samples(tmp_path / "x.csv", (4,), TABLE)
    np.testing.assert_allclose(read, values(samples, TABLE), atol=1e-12)
    assert condition is None


def test_what_is_read_and_dequantised_is_written_again(tmp_path):
    text = "sex,age,height,free\nmale,40,1.80,0.5\nfemale,79,-1.07,1.5\n"
    (tmp_path / "x.csv").write_text(text)
    x, _ = read_samples(tmp_path / "x.csv", (4,), TABLE)
    noisy = (x + rounding(x, TABLE, seed=1)).astype(np.float32)
    assert (noisy[:, :3] != x[:, :3]).all()
    write(noisy, tmp_path / "y.csv", Extras(modality=TABLE))
    assert (tmp_path / "y.csv").read_text() == text


def test_columns_are_found_by_their_headings(tmp_path):
    (tmp_path / "x.csv").write_text("free,more,height,condition,age,sex\n1,9,2,1,3,male\n")
    x, condition = read_samples(tmp_path / "x.csv", (4,), TABLE)
    np.testing.assert_array_equal(x, [[1, 3, 2, 1]])
    np.testing.assert_array_equal(condition, [1])


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("sex,age,height\nmale,1,2\n", "no column 'free'"),
        ("sex,age,height,free\nother,1,2,3\n", "'other' is not one of female, male"),
        ("sex,age,height,free\nmale,old,2,3\n", "'old' is not a number"),
        ("sex,age,height,free\nmale,1,2\n", "line 2 has 3 columns"),
        ("", "empty"),
    ],
)
def test_what_cannot_stand_there_is_refused(text, told, tmp_path):
    (tmp_path / "x.csv").write_text(text)
    with pytest.raises(DataError, match=told):
        read_samples(tmp_path / "x.csv", (4,), TABLE)
