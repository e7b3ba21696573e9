"""The table of diamonds: its columns, what is left out, and files that are not it."""

import numpy as np
import pytest

from zoo.errors import DataError
from zoo_data import diamonds

HEADINGS = "carat,cut,color,clarity,depth,table,price,x,y,z"
ROWS = [
    "0.23,Ideal,E,SI2,61.5,55.0,326,3.95,3.98,2.43",
    "0.21,Premium,J,IF,59.8,61.0,326,3.89,3.84,2.31",
    "1.07,Ideal,F,SI2,61.6,56.0,4954,0.0,6.62,0.0",
    "2.0,Premium,H,SI2,58.9,57.0,12210,8.09,58.9,8.06",
]


@pytest.fixture
def written(tmp_path):
    def write(*lines):
        path = tmp_path / "diamonds.csv"
        path.write_text("\n".join(lines) + "\n", "utf-8")
        return path

    return write


def test_categories_are_counted_from_the_worst_and_stones_without_a_size_left_out(written):
    rows = diamonds._read(written(HEADINGS, *ROWS))
    np.testing.assert_allclose(
        rows,
        [[0.23, 4, 5, 1, 61.5, 55, 326, 3.95, 3.98, 2.43], [0.21, 3, 0, 7, 59.8, 61, 326, 3.89, 3.84, 2.31]],
    )


@pytest.mark.parametrize(
    ("lines", "told"),
    [
        ([HEADINGS, ROWS[0].replace("Ideal", "Best")], "Best"),
        ([HEADINGS.replace("carat", "weight"), ROWS[0]], "carat"),
        ([HEADINGS, "0.23,Ideal"], "not the table"),
        ([HEADINGS, ROWS[0].replace("326", "cheap")], "cheap"),
    ],
)
def test_another_table_is_refused(written, lines, told):
    with pytest.raises(DataError, match=told):
        diamonds._read(written(*lines))


def test_the_published_table_is_split_once_and_for_all(monkeypatch):
    monkeypatch.setenv("ZOO_OFFLINE", "1")
    try:
        data = diamonds.diamonds()
    except DataError as error:
        pytest.skip(str(error))
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [37_742, 5_392, 10_783]
    rows = np.concatenate([split.x for split in splits])
    assert rows.shape == (53_917, 10)
    np.testing.assert_allclose(rows[:, 6].astype(np.float64).mean(), 3930.9, atol=0.1)
    columns = {column.name: column for column in data.modality.columns}
    assert columns["clarity"].values[-1] == "IF"
    assert columns["price"].grain == 1.0
    assert set(np.unique(data.train.x[:, 1])) == set(range(5))
