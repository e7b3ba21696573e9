"""What readers once read as other numbers, other classes or fewer rows, and told nobody."""

import datetime

import numpy as np
import pytest

from zoo.errors import ConfigError, DataError
from zoo.reading import building, finding, objects, options
from zoo.reading.cells import of_values, typed
from zoo.reading.columns import described
from zoo.reading.content import Rows
from zoo.reading.formats import folders, huggingface
from zoo.reading.objects import content_of
from zoo.registry import Registry
from zoo.training.data import TrainedOn, data_of_model

REGISTRY = Registry.discover(allowed=())


def built(content, **settings):
    return building.build("data", content, options.read(settings, "here")[0])


def cells_of(values, heading="a"):
    return of_values(np.asarray(values), heading)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_the_grain_is_that_of_all_numbers(dtype):
    values = np.round(np.random.default_rng(0).uniform(0, 100, 5000), 1).astype(dtype)
    assert cells_of(values).digits == 1
    values[-1] = 3.125  # the last of many
    assert cells_of(values).digits == 3


def test_numbers_that_float32_does_not_keep_apart_are_told():
    days = 2_460_000.0 + np.arange(400) / 1440  # Julian days, minute by minute
    notes = built(content_of({"day": days, "b": np.linspace(0, 1, 400)})).notes
    assert any("'day' has 400 different numbers, of which float32 keeps" in note for note in notes)
    assert not any("'b'" in note for note in notes)
    large = 2**60 + np.arange(400) * 7
    assert any("float32 keeps 1 apart" in note for note in built(content_of({"n": large, "m": days - days[0]})).notes)


def test_unsigned_numbers_beyond_64_bits_stay_positive():
    cells = cells_of(np.array([2**64 - 1, 5, 2**63], np.uint64))
    assert (cells.values > 0).all()
    assert "rounded" in cells.note


def test_moments_of_time_zones_are_compared_in_one():
    zone = datetime.timezone(datetime.timedelta(hours=2))
    same = [
        datetime.datetime(2024, 1, 1, 12, tzinfo=zone),
        datetime.datetime(2024, 1, 1, 10, tzinfo=datetime.UTC),
    ]
    cells = of_values(same, "t")
    assert cells.values[0] == cells.values[1]
    assert "UTC" in cells.note
    with pytest.raises(DataError, match="column 't' holds moments with a time zone, and others without"):
        of_values([same[0], datetime.datetime(2024, 1, 1)], "t")


def test_a_point_is_no_decimal_beside_a_decimal_comma():
    assert typed(["1,5", "2,25"], decimal=",").values.tolist() == [1.5, 2.25]
    assert typed(["1,5", "1.234"], decimal=",").values.dtype.kind == "U"


@pytest.mark.parametrize(
    ("low", "high", "grain"), [(0.0, 0.1, 0.0), (0.1, 0.7, 0.1), (-0.3, 1e6 + 0.1, 0.0), (0, 3, 1)]
)
def test_bounds_hold_every_number_and_its_noise_in_float32(low, high, grain):
    bottom, top = building._held((low, high), grain)
    x = np.array([low, high], np.float32)
    u = np.float32(1) - np.float32(2.0**-24)
    assert bottom <= float(x[0])
    assert float(x[1]) <= top
    assert float(x[1] + u * np.float32(grain)) < top or not grain


@pytest.mark.parametrize(
    "words", [("Train", "Test"), ("training", "testing"), ("TRAIN", "Validation"), ("fit", "eval")]
)
def test_folders_named_by_splits_are_not_classes(tmp_path, words):
    for word in words:
        for kind in "ab":
            (tmp_path / word / kind).mkdir(parents=True)
            (tmp_path / word / kind / "x.png").write_bytes(b"")
    listed = folders.listing(tmp_path, {".png"})
    assert listed.labels == ("a", "b")
    assert set(listed.splits) <= {"train", "validation", "test"}
    assert len(set(listed.splits)) == 2


def saved(folder, splits, features):
    """A folder as ``datasets.DatasetDict.save_to_disk`` writes it."""
    import json

    arrow = pytest.importorskip("pyarrow")
    for name, columns in splits.items():
        (folder / name).mkdir(parents=True)
        table = arrow.table(columns)
        with (
            arrow.OSFile(str(folder / name / "data.arrow"), "wb") as sink,
            arrow.ipc.new_stream(sink, table.schema) as writer,
        ):
            writer.write_table(table)
        (folder / name / "state.json").write_text(json.dumps({"_data_files": [{"filename": "data.arrow"}]}))
        (folder / name / "dataset_info.json").write_text(json.dumps({"features": features}))
    (folder / "dataset_dict.json").write_text(json.dumps({"splits": list(splits)}))
    return folder


CLASSES = {"label": {"_type": "ClassLabel", "names": ["no", "yes"]}, "x": {"_type": "Value"}}


def test_the_class_minus_one_is_none_and_others_outside_are_refused(tmp_path):
    columns = {"label": [0, 1, -1, 1], "x": [0.5, 1.5, 2.5, 3.25]}
    rows = huggingface.read(saved(tmp_path / "a", {"train": columns}, CLASSES))
    assert rows.columns["label"].missing.tolist() == [False, False, True, False]
    assert rows.columns["label"].present.tolist() == ["no", "yes", "yes"]
    with pytest.raises(DataError, match="column 'label' has classes outside its 2 names"):
        huggingface.read(saved(tmp_path / "b", {"train": {**columns, "label": [0, 1, 2, 1]}}, CLASSES))


def test_splits_of_other_names_are_told(tmp_path):
    columns = {"label": [0, 1] * 4, "x": np.linspace(0, 1, 8).tolist()}
    splits = {"train": columns, "dev": columns, "unsupervised": columns}
    rows = huggingface.read(saved(tmp_path / "a", splits, CLASSES))
    assert len(rows) == 16
    assert sorted(set(rows.splits)) == ["train", "validation"]
    assert rows.notes == ("8 rows of the split 'unsupervised' are left out: it is not one of train, validation, test",)
    assert rows.notes[0] in built(rows).notes


def test_arrays_that_are_not_used_are_named():
    x = np.random.default_rng(0).normal(size=(20, 3))
    content = content_of({"x": x, "y": np.arange(20) % 2, "mask": x, "weights": x[:, 0]})
    assert content.notes == ("the arrays mask, weights are not used",)


def test_whole_numbers_are_rounded_in_memory_on_disk_and_with_conditions(tmp_path):
    x = np.random.default_rng(0).integers(0, 50, (64, 3))
    np.save(tmp_path / "x.npy", x)
    stored = np.load(tmp_path / "x.npy", mmap_mode="r")
    grains = {
        name: np.unique(built(content).data.grain).tolist()
        for name, content in {
            "memory": content_of(x),
            "disk": objects.of_array(stored),
            "given": content_of(x, condition=np.linspace(0, 1, 64)),
        }.items()
    }
    assert grains == {"memory": [1.0], "disk": [1.0], "given": [1.0]}
    mixed = np.column_stack([x[:, 0], np.random.default_rng(1).normal(size=64)])
    assert "rounded to different steps, and 'x0' get no noise" in built(content_of(mixed, condition=x[:, 1])).notes[0]


def mapped(path, x):
    np.save(path, x)
    return np.load(path, mmap_mode="r")


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_decimals_on_disk_are_those_in_memory(dtype, tmp_path):
    """Found on some rows, and true of all: one number between the steps is enough for none."""
    x = np.random.default_rng(0).normal(size=(500_000, 4)).round(2).astype(dtype)
    grain = np.float32(0.01)
    assert np.all(built(objects.of_array(mapped(tmp_path / "a.npy", x))).data.grain == grain)
    assert np.all(built(content_of(x[:500])).data.grain == grain)
    assert built(objects.of_array(mapped(tmp_path / "one.npy", x[:, 0]))).data.grain == grain
    x[123_457, 2] += 0.003
    assert built(objects.of_array(mapped(tmp_path / "b.npy", x))).data.grain is None
    x[123_457, 2] = np.nan  # which is told elsewhere
    assert np.all(built(objects.of_array(mapped(tmp_path / "c.npy", x))).data.grain == grain)
    x[:, 1] = np.random.default_rng(1).normal(size=len(x))
    told = built(objects.of_array(mapped(tmp_path / "d.npy", x)))
    assert told.data.grain is None
    assert told.notes == ("columns are rounded to different steps, and 'x0', 'x2', 'x3' get no noise within theirs",)


def test_large_mapped_arrays_of_pythons_stay_in_their_files(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(50, 3))
    assert isinstance(content_of(mapped(tmp_path / "a.npy", x)), Rows)
    monkeypatch.setattr(objects, "IN_MEMORY", 0)
    large = content_of(mapped(tmp_path / "b.npy", x), condition=np.arange(50) % 2)
    assert isinstance(large.x, np.memmap)


def test_whole_numbers_on_disk_that_differ_in_their_steps_are_whole(tmp_path):
    x = np.random.default_rng(0).integers(0, 50, (300, 2)) * np.array([1, 100])
    assert (built(objects.of_array(mapped(tmp_path / "a.npy", x))).data.grain == 1.0).all()
    assert (built(objects.of_array(mapped(tmp_path / "b.npy", x[:, 1:]))).data.grain == 100.0).all()


def test_a_cell_that_keeps_a_column_from_being_numbers_is_shown():
    numbers = [f"0.{i}" for i in range(40)]
    assert typed([*numbers, "inf"]).note == "of its 41 cells 1 is no number, such as 'inf'"
    assert typed([*numbers, "x", "y"]).note == "of its 42 cells 2 are no numbers, such as 'x'"
    assert typed(["0123", "4567", "1"]).note == typed(["a", "b", "1"]).note == typed(numbers).note == ""


def test_infinite_numbers_are_called_so():
    x = np.random.default_rng(0).normal(size=(50, 2))
    x[3, 1] = np.inf
    with pytest.raises(DataError, match="column 'x1' has infinite numbers, 1 of them: leave their cells or rows out"):
        built(content_of(x))


def test_headings_that_count_are_not_a_sample(tmp_path):
    path = tmp_path / "a.csv"
    path.write_text("0,1,2\n" + "0.5,1.5,2.5\n" * 20)
    with pytest.raises(DataError, match="counts from 0 to 2 in whole numbers, as headings do"):
        finding.opened(str(path), {}, REGISTRY)
    # as good a sample as those below it
    for first, rest in (("0,1", "3,4\n5,2\n7,7\n"), ("0.0,1.0", "0.5,1.5\n2.5,0.5\n")):
        path.write_text(f"{first}\n{rest}")
        content = finding.opened(str(path), {}, REGISTRY).content
        assert len(content) == 1 + len(rest.splitlines())


def test_options_of_readers_have_types(tmp_path):
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "x.png").write_bytes(b"")
    with pytest.raises(ConfigError, match="the data reader pictures: classes is true or false, not 'False'"):
        finding.opened(str(tmp_path / "a"), {"classes": "False"}, REGISTRY)
    path = tmp_path / "a.csv"
    path.write_text("a,b\n1,2\n")
    with pytest.raises(ConfigError, match="encoding is a text, not 3"):
        finding.opened(str(path), {"encoding": 3}, REGISTRY)


def test_hidden_files_are_no_part_of_what_is_there(tmp_path):
    (tmp_path / "x.png").write_bytes(b"1")
    before = finding.digest(str(tmp_path))
    (tmp_path / ".DS_Store").write_bytes(b"2")
    assert finding.digest(str(tmp_path)) == before


def test_measuring_on_a_file_that_changed_is_told(tmp_path):
    path, said = tmp_path / "a.csv", []
    rows = "".join(f"{i * 0.37:.2f},{i * 1.11:.2f}\n" for i in range(40))
    path.write_text("a,b\n" + rows)
    known = TrainedOn("a.csv", {}, str(path), finding.digest(str(path)))
    data_of_model(known, {}, REGISTRY, said.append)
    assert not any("has changed" in each for each in said)
    path.write_text("a,b\n9.5,9.25\n" + rows)
    data_of_model(known, {}, REGISTRY, said.append)
    assert any(f"{path} has changed since the training" in each for each in said)


def test_a_frame_is_described_by_all_of_its_rows():
    column = described("a", cells_of(np.r_[np.arange(2000) / 200.0, 0.125]))
    assert column.grain == pytest.approx(1e-3)
    assert isinstance(content_of({"a": np.arange(3.0), "b": np.arange(3.0)}), Rows)


def test_columns_of_an_array_are_bounded_beside_given_ones_too():
    x = np.random.default_rng(0).uniform(0, 3, (64, 2))
    given = np.random.default_rng(1).normal(size=(64, 1))
    alone = built(content_of(x), bounds={"x0": [0.0, 3.5]}).data.extra["bounds"]
    beside = built(content_of(x, condition=given), bounds={"x0": [0.0, 3.5]}).data.extra["bounds"]
    assert alone == beside == {"0": [0.0, 3.5]}
    with pytest.raises(DataError, match="outside its bounds from 0 to 1"):
        built(content_of(x, condition=given), bounds={"x0": [0.0, 1.0]})
    with pytest.raises(DataError, match="data has no column 'b': there are x0, x1"):
        built(content_of(x, condition=given), bounds={"b": [0.0, 1.0]})
