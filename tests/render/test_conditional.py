"""Conditions in files of rows come back as they went: in words, under the user's own headings."""

import csv
import datetime as dt

import numpy as np
import pytest

from zoo.cli._conditions import condition_of_file, rows_of_table
from zoo.conditions import Condition, Part
from zoo.modality import Column, Table
from zoo.reading.building import Numbers, condition_of
from zoo.render import read, write
from zoo.render.conditional import is_conditional
from zoo.render.files import Extras
from zoo.render.modalities import rounding
from zoo.render.read import read_samples

JOB = Column.categories("job", ("baker", "clerk, chief"))
CODE = Column.categories("post code", ("10", "2", "007"))
AGE = Column("age", (), 1.0, 18.0, 80.0)
LEFT = Column("left", (), 1 / 1440, 0.0, 400.0, date="%Y-%m-%d %H:%M", origin=19_000.0)
WEIGHT = Column("weight", (), 0.01, 16.0, 90.0)
GAPS = Column(**{**vars(Column.categories("weight is missing", ("no", "yes"))), "marks": "weight"})
TABLE = Table((Column("height", (), 0.5), Column.categories("condition of it", ("new", "used"))))
RANDOM = np.random.default_rng(0)
N = 12
VALUES = {
    JOB: RANDOM.integers(0, 2, N).astype(float),
    CODE: RANDOM.integers(0, 3, N).astype(float),
    AGE: RANDOM.integers(18, 80, N).astype(float),
    LEFT: RANDOM.integers(0, 400 * 1440, N) / 1440,
    WEIGHT: RANDOM.uniform(16, 90, N).round(2),
    GAPS: (np.arange(N) % 3 == 0).astype(float),
}
SAMPLES = np.stack([RANDOM.integers(0, 9, N) * 0.5, RANDOM.integers(0, 2, N)], 1).astype(np.float32)


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize(
    "given",
    [(JOB,), (CODE,), (AGE,), (LEFT,), (WEIGHT, GAPS), (AGE, JOB, LEFT), (JOB, CODE), (CODE, WEIGHT, GAPS, JOB)],
    ids=lambda given: "-".join(column.name for column in given),
)
def test_given_columns_come_back_under_their_headings(given, suffix, tmp_path):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    described, values = condition_of([Numbers(column, VALUES[column]) for column in given])
    path = tmp_path / f"x{suffix}"
    labels = described.labels
    write(SAMPLES, path, Extras(condition=values, labels=labels, modality=TABLE, given_columns=given))
    x, _ = read_samples(path, (2,), TABLE)
    np.testing.assert_array_equal(x, SAMPLES)
    back = rows_of_table(path, given)
    if back is None:  # plain numbers
        back = read.read_labelled(path, labels)
    for mine, its in zip(
        *([part.values() if isinstance(part, dict) else [part] for part in (values, back)]), strict=True
    ):
        mine, its = np.array(mine, float), np.array(its, float)
        if GAPS in given and mine.ndim == 2:  # what stands for a missing number means nothing
            mine[:, 0] *= 1 - mine[:, 1]
            its[:, 0] *= 1 - its[:, 1]
        np.testing.assert_allclose(its, mine, rtol=1e-6, atol=1e-5)
    if suffix == ".csv":
        with path.open(encoding="utf-8", newline="") as file:
            rows = list(csv.DictReader(file))
        assert list(rows[0]) == ["height", "condition of it", *(c.name for c in given if not c.marks)]
        if JOB in given:
            assert [row["job"] for row in rows] == [JOB.values[int(v)] for v in VALUES[JOB]]
        if LEFT in given:
            assert all(row["left"].startswith("202") for row in rows)
        if GAPS in given:
            assert [row["weight"] == "" for row in rows] == (VALUES[GAPS] == 1).tolist()


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
@pytest.mark.parametrize("labels", [("10", "2", "0"), ("ab", "c,d", "é")])
@pytest.mark.parametrize("several", [False, True])
def test_classes_come_back_by_their_labels_even_if_these_look_like_numbers(labels, suffix, several, tmp_path):
    if suffix == ".parquet":
        pytest.importorskip("pyarrow")
    x, classes = RANDOM.normal(size=(6, 2)).astype(np.float32), np.array([0, 1, 2, 2, 1, 0], np.int32)
    if several:
        arm = RANDOM.normal(size=(6, 2)).astype(np.float32)
        condition = Condition((Part("kind", "classes", size=3, labels=labels), Part("arm", "numbers", (2,))))
        extras = Extras(condition={"kind": classes, "arm": arm}, part_labels={"kind": labels})
    else:
        condition = Condition.classes(3, labels)
        extras = Extras(condition=classes, labels=labels)
    path = tmp_path / f"x{suffix}"
    write(x, path, extras)
    if suffix == ".csv":
        assert labels[1] in path.read_text("utf-8")
    _, stored = read_samples(path, (2,))
    back = condition_of_file(condition, stored, 6, path)
    arrays = condition.arrays(back, 6)
    np.testing.assert_array_equal(arrays["kind"] if several else arrays["condition"], classes)
    if several:
        np.testing.assert_allclose(arrays["arm"], arm, rtol=1e-6)


def test_what_is_called_a_condition():
    assert all(map(is_conditional, ("condition", "condition0", "condition12", "condition/arm", "condition/arm/3")))
    assert not any(map(is_conditional, ("conditions", "condition of it", "Condition", "x0")))


def test_typed_dates_of_parquet_are_read_as_the_model_has_them(tmp_path):
    """Moments, days, and moments of a time zone, for columns that are written in any way."""
    pyarrow = pytest.importorskip("pyarrow")
    utc = dt.timezone(dt.timedelta(hours=2))
    columns = {
        "moment": [dt.datetime(2024, 5, 6, 7, 8), dt.datetime(2024, 5, 7)],
        "day": [dt.date(2024, 5, 6), dt.date(2024, 5, 7)],
        "zoned": [dt.datetime(2024, 5, 6, 9, 8, tzinfo=utc), dt.datetime(2024, 5, 7, 2, tzinfo=utc)],
    }
    pyarrow.parquet.write_table(pyarrow.table(columns), tmp_path / "x.parquet")
    for name, written in (("moment", "%Y-%m-%d %H:%M:%S"), ("day", "%d.%m.%Y"), ("zoned", "%Y-%m-%d %H:%M")):
        column = Column(name, (), 1 / 1440, date=written, origin=19_000.0)
        expected = [849.0, 850.0] if name == "day" else [849.0 + (7 + 8 / 60) / 24, 850.0]
        x, _ = read_samples(tmp_path / "x.parquet", (1,), Table((column,)))
        np.testing.assert_allclose(x[:, 0], expected, rtol=0, atol=1e-9)
        np.testing.assert_allclose(rows_of_table(tmp_path / "x.parquet", [column])[:, 0], expected, rtol=1e-6)


def test_numbers_that_are_not_rounded_get_no_noise():
    x = RANDOM.normal(size=(3, 1))
    assert rounding(Table((Column("a"),)), x, 0) is None
    assert rounding(Table((Column("a", grain=0.5),)), x, 0).max() > 0
