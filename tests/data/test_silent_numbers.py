"""Numbers, classes and splits that would change or vanish without a word while data are read."""

import datetime

import numpy as np
import pytest
from PIL import Image

from zoo.errors import DataError
from zoo.reading import building, cells, columns, objects, options
from zoo.reading.content import Rows, Samples
from zoo.reading.formats import delimited, folders, huggingface
from zoo_data import emoji


def built(rows, **given):
    return building.build("data", rows, options.Options(**given))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_grain_is_that_of_all_values(dtype):
    late = np.r_[np.arange(3000) % 50, 0.25, 7.125].astype(dtype)
    assert cells.of_values(late, "a").digits == 3
    assert (
        columns.described("a", cells.of_values(np.r_[np.arange(3000) % 50 / 10, 1.1].astype(dtype), "a")).grain == 0.1
    )


def test_numbers_that_float32_merges_are_told():
    julian = 2_460_000 + np.arange(2000) / 1000
    assert any("of which float32 keeps" in note for note in built(Rows({"day": cells.of_values(julian, "day")})).notes)
    near = built(Rows({"day": cells.of_values(julian - 2_460_000, "day")}))
    assert not any("float32" in note for note in near.notes)


def test_numbers_beyond_float32_are_refused():
    with pytest.raises(DataError, match="beyond float32"):
        built(Rows({"a": cells.of_values(np.array([1.5, 2.5, 1e39] * 9), "a")}))


def test_large_whole_numbers_do_not_wrap():
    assert cells.of_values(np.array([2**64 - 1, 5], np.uint64), "a").values.min() == 5
    assert cells.of_values([2**70, 5], "a").values.tolist() == [2.0**70, 5.0]
    with pytest.raises(DataError, match="2\\^31"):
        objects.with_condition(Samples(np.zeros((2, 1))), np.array([0, 2**32]))


def test_times_of_different_zones_are_compared_in_one():
    east = datetime.timezone(datetime.timedelta(hours=2))
    noon = datetime.datetime(2024, 1, 1, 12, tzinfo=datetime.UTC)
    read = cells.of_values([noon, noon.astimezone(east)], "t")
    assert read.values[0] == read.values[1]
    assert "UTC" in read.note
    with pytest.raises(DataError, match="with and without a time zone"):
        cells.of_values([noon, noon.replace(tzinfo=None)], "t")


def test_a_column_has_one_decimal_separator(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("a;b\n1,5;2,5\n1.234;3,5\n2,5;1,5\n")
    rows = delimited.read(path)
    assert rows.columns["a"].values.dtype.kind == "U"
    assert rows.columns["b"].values.tolist() == [2.5, 3.5, 1.5]


def test_bounds_hold_in_float32_with_the_noise_of_the_grain():
    values = np.arange(0.7, 1.3, 0.1).round(1).repeat(10)
    data = built(Rows({"a": cells.of_values(values, "a")}), bounds={"a": (0.7, 1.3)}).data
    low, high = data.extra["bounds"]["0"]
    x = np.concatenate([data.train.x, data.validation.x, data.test.x])
    assert low <= x.min()
    assert (x + np.float32(0.1)).max() < high


def test_a_class_that_is_not_there_is_missing():
    feature = {"_type": "ClassLabel", "names": ["cat", "dog"]}
    read = huggingface._named(cells.of_values(np.array([0, -1, 1]), "label"), feature)
    assert read.missing.tolist() == [False, True, False]
    with pytest.raises(DataError, match="class 2"):
        huggingface._named(cells.of_values(np.array([0, 2]), "label"), feature)


def test_every_split_is_used_or_told(tmp_path):
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    for place, name in enumerate(("train-0", "dev-0", "unlabeled-0")):
        pq.write_table(pa.table({"a": np.arange(20.0) + 100 * place + 0.5}), tmp_path / f"{name}.parquet")
    made = built(huggingface.read(tmp_path))
    assert (made.data.validation.x > 100).all()
    assert any("20 rows of the split 'unlabeled' are left out" in note for note in made.notes)


def test_pictures_without_a_class_are_left_out_and_told(tmp_path):
    pa = pytest.importorskip("pyarrow")
    for i in range(4):
        Image.new("L", (4, 4), i).save(tmp_path / f"{i}.png")
    table = pa.table({"image": [{"bytes": None, "path": f"{i}.png"} for i in range(4)], "label": [0, 1, -1, None]})
    features = {"label": {"_type": "ClassLabel", "names": ["cat", "dog"]}}
    samples = huggingface._pictures(tmp_path, table, features, "image", None, resize=0, fit="crop", channels=0)
    assert samples.condition.tolist() == [0, 1]
    assert samples.notes[-1] == "2 pictures without a class are left out"


@pytest.mark.parametrize("names", [("Train", "Test"), ("training", "testing"), ("train", "holdout")])
def test_folders_name_splits_in_any_case(tmp_path, names):
    for name in names:
        for kind in ("cat", "dog"):
            (tmp_path / name / kind).mkdir(parents=True)
            (tmp_path / name / kind / "a.png").touch()
    found = folders.listing(tmp_path, {".png"})
    assert found.labels == ("cat", "dog")
    assert set(found.splits) == {"train", "test"}


@pytest.mark.parametrize(
    "variants",
    [
        ("1F468-200D-2695-FE0F", "1F469-1F3FF-200D-2695-FE0F", "1F9D1-200D-2695"),
        ("1F3C3", "1F3C3-1F3FB-200D-2642-FE0F", "1F3C3-200D-2640"),
        ("1F491", "1F469-200D-2764-FE0F-200D-1F468", "1F9D1-1F3FB-200D-2764-FE0F-200D-1F9D1-1F3FF"),
        ("1F48F", "1F469-200D-2764-FE0F-200D-1F48B-200D-1F468"),
        ("1F46B", "1F46D", "1F9D1-1F3FB-200D-1F91D-200D-1F9D1-1F3FC"),
    ],
)
def test_variants_of_an_emoji_have_one_base(variants):
    assert len(set(map(emoji._base, variants))) == 1


def test_different_emoji_have_different_bases():
    codes = ("1F468", "1F468-200D-2695", "1F468-200D-1F33E", "1F491", "1F48F", "1F46B", "1F91D", "2764")
    assert len(set(map(emoji._base, codes))) == len(codes)
