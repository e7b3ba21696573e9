"""Text tables as people have them, read alike as training data, as data to score, and as a condition."""

import numpy as np
import pytest

from zoo.cli._conditions import condition_from, unread_columns
from zoo.conditions import Condition, Part
from zoo.errors import DataError
from zoo.modality import Column, Table, Text
from zoo.reading.formats import delimited as formats
from zoo.render import delimited
from zoo.render.files import Extras, write
from zoo.render.read import read_condition, read_samples

TABLE = Table((Column("Body height, cm"), Column.categories("city", ("", "Bern", "Genève, CH"))))
HEIGHTS = [170.5, 181.25, 165.0]
FILES = {
    "a byte order mark and quotes": ("﻿", ",", '"{0}"', '170.5,Bern\n181.25,"Genève, CH"\n165,\n'),
    "blanks after commas": ("", ",", '"{0}"', '170.5, Bern\n181.25, "Genève, CH"\n165, NA\n'),
    "decimal commas": ("﻿", ";", "{0}", "170,5;Bern\n181,25;Genève, CH\n165;\n"),
    "tabs": ("", "\t", "{0}", "170.5\tBern \n181.25\tGenève, CH\n\n165\tNULL\n"),
    "lines that end as on Windows": ("", ";", "{0}", "170.5;Bern\r\n181.25;Genève, CH\r\n165;\r\n"),
}


def saved(tmp_path, name, suffix=".csv"):
    mark, separator, heading, rows = FILES[name]
    path = tmp_path / f"x{suffix}"
    path.write_bytes(f"{mark}{heading.format('Body height, cm')}{separator}city\n{rows}".encode())
    return path


@pytest.mark.parametrize("name", FILES)
def test_a_file_says_the_same_to_each_of_its_readers(name, tmp_path):
    path = saved(tmp_path, name)
    columns = formats.read(path).columns
    assert list(columns) == ["Body height, cm", "city"]
    np.testing.assert_array_equal(columns["Body height, cm"].values, HEIGHTS)
    assert columns["city"].values[:2].tolist() == ["Bern", "Genève, CH"]
    assert columns["city"].missing.tolist() == [False, False, True]
    scored, _ = read_samples(path, (2,), TABLE)
    np.testing.assert_array_equal(scored, np.stack([HEIGHTS, [1, 2, 0]], 1))
    condition = Condition.vector(1, labels=("Body height, cm",))
    np.testing.assert_array_equal(condition_from(condition, [str(path)]), np.array(HEIGHTS)[:, None])
    said = unread_columns(condition, [str(path)])
    assert said == f"{path}: 'city' is no part of the condition, and not read"
    assert unread_columns(condition, [str(path)], own=["city"]) == ""
    parts = Condition((Part("city", "classes", size=3, labels=("", "Bern", "Genève, CH")),
                       Part("age", "numbers", (1,))))  # fmt: skip
    assert "'Body height, cm' is no part" in unread_columns(parts, [str(path)])


def test_headings_may_go_on_in_the_next_line(tmp_path):
    (tmp_path / "x.csv").write_text('"height\n(cm)";"a, b"\n1,5;2\n2,5;3\n')
    table = delimited.read(tmp_path / "x.csv")
    assert (table.header, table.delimiter) == (("height\n(cm)", "a, b"), ";")
    assert table.columns(table.header)["height\n(cm)"] == ["1.5", "2.5"]


def test_numbers_without_headings_have_decimal_commas_too(tmp_path):
    (tmp_path / "x.csv").write_text("1,5;2,5\n2,5;3\n")
    assert read_samples(tmp_path / "x.csv", (2,))[0].tolist() == [[1.5, 2.5], [2.5, 3.0]]
    np.testing.assert_array_equal(read_condition(tmp_path / "x.csv"), [[1.5, 2.5], [2.5, 3.0]])
    assert not formats.read(tmp_path / "x.csv").headed
    # a point among decimal commas may be one of thousands
    (tmp_path / "x.csv").write_text("a;b\n1,5;2\n1.500;3\n1,5;2\n")
    assert formats.read(tmp_path / "x.csv").columns["a"].values.dtype.kind == "U"


def test_tabs_separate_the_cells_of_a_tsv_file(tmp_path):
    path = saved(tmp_path, "tabs", ".tsv")
    assert delimited.read(path).delimiter == "\t"
    (tmp_path / "y.tsv").write_text("0\n2\n")
    assert read_condition(tmp_path / "y.tsv").tolist() == [0, 2]


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        (b"1,Bern\n,Bern\n", "column 'Body height, cm': row 2 is empty, where a number is wanted"),
        (b"1_000,Bern\n", "'1_000' is not a number"),
        (b"1,Genf\n", "'Genf' is not one of , Bern, Gen"),
        (b"1,Bern\n2\n", "line 3 has 1 columns, the first line has 2"),
        (b"1,Z\xfcrich\n", "is not text in utf-8"),
    ],
)
def test_what_cannot_be_read_is_told_by_file_and_place(rows, says, tmp_path):
    path = tmp_path / "x.csv"
    path.write_bytes(b'"Body height, cm",city\n' + rows)
    with pytest.raises(DataError, match=says) as error:
        read_samples(path, (2,), TABLE)
    # zoo run has no option for an encoding, and training data have
    assert "-D encoding" not in str(error.value.hint)


def test_blanks_of_texts_are_kept(tmp_path):
    modality = Text("\n ab,")
    x = np.array([[1, 2, 0], [2, 1, 0], [0, 0, 0], [1, 0, 0], [4, 2, 0]])
    write(x, tmp_path / "x.csv", Extras(modality=modality))
    np.testing.assert_array_equal(read_samples(tmp_path / "x.csv", (3,), modality)[0], x)


def test_a_column_of_a_table_whose_name_begins_with_condition_is_its_own(tmp_path):
    (tmp_path / "x.csv").write_text("condition of the house,condition\n1.5,2\n")
    x, condition = read_samples(tmp_path / "x.csv", (1,), Table((Column("condition of the house"),)))
    assert (x.tolist(), condition.tolist()) == ([[1.5]], [2])
