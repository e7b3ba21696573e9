"""Numbers and splits that would change, leak or vanish without a word while data are read."""

import numpy as np
import pytest
from PIL import Image

from zoo.errors import DataError
from zoo.reading import building, cells, objects, options
from zoo.reading.content import Rows, Samples
from zoo.reading.formats import huggingface, pictures
from zoo_data import emoji


def built(rows, **given):
    return building.build("data", rows, options.Options(**given))


def test_numbers_beyond_float32_are_refused():
    with pytest.raises(DataError, match="beyond float32"):
        built(Rows({"a": cells.of_values(np.array([1.5, 2.5, 1e39] * 9), "a")}))


def test_large_whole_numbers_do_not_wrap():
    assert cells.of_values(np.array([2**64 - 1, 5], np.uint64), "a").values.min() == 5
    assert cells.of_values([2**70, 5], "a").values.tolist() == [2.0**70, 5.0]
    with pytest.raises(DataError, match="2\\^31"):
        objects.with_condition(Samples(np.zeros((2, 1))), np.array([0, 2**32]))


def test_every_split_is_used_or_told(tmp_path):
    pq, pa = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow")
    for place, name in enumerate(("train-0", "dev-0", "unlabeled-0")):
        pq.write_table(pa.table({"a": np.arange(20.0) + 100 * place + 0.5}), tmp_path / f"{name}.parquet")
    made = built(huggingface.read(tmp_path))
    assert (made.data.validation.x > 100).all()
    assert any("20 rows of the split 'unlabeled' are left out" in note for note in made.notes)


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
    assert len(set(map(emoji.base_of, variants))) == 1


def test_different_emoji_have_different_bases():
    codes = ("1F468", "1F468-200D-2695", "1F468-200D-1F33E", "1F491", "1F48F", "1F46B", "1F91D", "2764")
    assert len(set(map(emoji.base_of, codes))) == len(codes)


def test_gaps_and_ranges_are_those_of_the_training_rows():
    values = np.r_[np.arange(50.0), np.full(10, 1000.0), np.full(10, np.nan)]
    column = cells.of_values(values, "a")
    splits = np.array(["train"] * 50 + ["test"] * 10 + ["train"] * 5 + ["validation"] * 5)
    data = built(Rows({"a": column}, splits), missing="indicator").data
    assert data.train.x[:, 0].max() < 1000
    assert data.validation.x[:, 0].max() < 1000
    assert (data.modality.columns[0].minimum, data.modality.columns[0].maximum) == (0, 49)


def test_pictures_of_floats_are_refused_and_turned_ones_have_the_size_they_are_seen_in(tmp_path):
    Image.fromarray(np.full((4, 4), 0.5, np.float32)).save(tmp_path / "a.tiff")
    with pytest.raises(DataError, match="floating-point"):
        pictures.read(tmp_path)
    (tmp_path / "a.tiff").unlink()
    turned = Image.Exif()
    turned[0x0112] = 6
    Image.new("L", (6, 4)).save(tmp_path / "a.jpg", exif=turned)
    Image.new("L", (4, 6)).save(tmp_path / "b.jpg")
    assert pictures.read(tmp_path).x.shape == (2, 1, 6, 4)
