"""Values that were read or written as others without a word: years, shades that do not fit, ends of periods."""

import struct
import zlib

import numpy as np
import pytest
from click.testing import CliRunner

from zoo.cli import _group
from zoo.cli._conditions import condition_from
from zoo.errors import DataError
from zoo.reading import building, finding
from zoo.reading.cells import of_values
from zoo.reading.content import Rows
from zoo.reading.matching import Wanted
from zoo.reading.options import Options
from zoo.registry import installed
from zoo.render.delimited import read
from zoo.render.tables import texts


def written(path, text):
    path.write_text(text, "utf-8")
    return path


@pytest.mark.parametrize("rows", ["12,15,18\n13,18,20\n", "1.5,2.5,3.5\n", "-4,7,9\n"])
def test_years_above_other_numbers_are_no_row(tmp_path, rows):
    with pytest.raises(DataError, match="counts from 2019 to 2021 in whole numbers, as headings do"):
        read(written(tmp_path / "a.csv", "2019,2020,2021\n" + rows))


@pytest.mark.parametrize("text", ["2019,2020\n2021,2022\n", "2019,2021\n12,13\n", "12,13\n5,6\n", "2019\n12\n"])
def test_numbers_that_are_no_headings_are_a_row(tmp_path, text):
    assert not read(written(tmp_path / "a.csv", text)).headed


def png(pixels):
    """A PNG of 16 bits for each of three channels, which Pillow cannot write."""
    lines = b"".join(b"\0" + line.astype(">u2").tobytes() for line in pixels)

    def chunk(kind, content):
        checksum = struct.pack(">I", zlib.crc32(kind + content))
        return struct.pack(">I", len(content)) + kind + content + checksum

    head = struct.pack(">IIBBBBB", pixels.shape[1], pixels.shape[0], 16, 2, 0, 0, 0)
    chunks = chunk(b"IHDR", head) + chunk(b"IDAT", zlib.compress(lines)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunks


def test_bits_that_are_left_out_are_told_and_shades_beyond_sixteen_bits_are_refused(tmp_path):
    Image = pytest.importorskip("PIL.Image")
    (tmp_path / "colours").mkdir()
    (tmp_path / "deep").mkdir()
    for name in "abc":
        (tmp_path / "colours" / f"{name}.png").write_bytes(png(np.full((2, 2, 3), 0x1234)))
    notes = finding.opened(str(tmp_path / "colours"), {}, installed()).content.notes
    assert notes == ("3 pictures with 16 bits per channel are reduced to 8 bits",)
    for value in (65_535, 70_000, -1):
        Image.fromarray(np.full((2, 2), value, np.int32)).save(tmp_path / "deep" / "a.tiff")
        if value == 65_535:
            content = finding.opened(str(tmp_path / "deep"), {}, installed()).content
            assert np.asarray(content.x).max() == value
            assert content.notes == ()
        else:
            with pytest.raises(DataError, match=f"from {value} to {value}, beyond 16 bits: save it as .npy"):
                finding.opened(str(tmp_path / "deep"), {}, installed())


def test_samples_of_rounded_angles_are_written_within_their_period():
    angles = np.round(np.random.default_rng(0).uniform(-np.pi, np.pi, 300), 1)
    rows = Rows({"phi": of_values(angles, "phi"), "b": of_values(np.random.default_rng(1).normal(size=300), "b")})
    data = building.build("d", rows, Options(circular={"phi": (-np.pi, np.pi)})).data
    ends = np.array([[-3.1415, 0.0], [-3.11, 0.0], [3.1415, 0.0], [0.04, 0.0]])
    _, cells = texts(ends, data.modality)
    assert [row[0] for row in cells] == ["-3.1", "-3.1", "3.1", "0.0"]  # -3.2 is beyond the period
    # bounds are still those that were stated
    data = building.build("d", rows, Options(bounds={"phi": (-4.0, 4.0)})).data
    assert (data.modality.columns[0].minimum, data.modality.columns[0].maximum) == (-4.0, 4.0)


def test_a_row_of_dates_and_classes_is_the_condition_that_it_was_in_training(tmp_path):
    random = np.random.default_rng(0)
    lines = ["x,when,city,n"]
    for i in range(60):
        lines.append(f"{random.normal()!r},2024-0{i % 9 + 1}-11,{('Bern', 'Basel')[i % 2]},{random.normal()!r}")
    path = written(tmp_path / "data.csv", "\n".join(lines))
    for names in (["when"], ["city"], ["n", "city", "when"]):
        opened = finding.opened(str(path), {"given": names, "split_seed": 3}, installed())
        data = opened.built().data
        condition = building.Condition.from_description(data.extra["condition"])
        columns = Wanted.stated(
            "m", {"given": data.extra["given"]}, event_shape=(1,), condition=condition
        ).condition_columns
        for rows in (1, 3):
            part = written(tmp_path / "row.csv", "\n".join(lines[: rows + 1]))
            read_back = condition.arrays(condition_from(condition, [str(part)], columns=columns), rows)
            for row in range(rows):
                one = {name: values[row] for name, values in read_back.items()}
                place = int(np.flatnonzero(np.isclose(data_x(data), np.float32(lines[row + 1].split(",")[0])))[0])
                wanted = conditions(data, condition, place)
                for name, value in one.items():
                    np.testing.assert_array_equal(value, wanted[name])
    bad = written(tmp_path / "bad.csv", lines[0] + "\n0,2024-01-11,Genf,1")
    with pytest.raises(DataError, match="'Genf' is not one of"):
        condition_from(condition, [str(bad)], columns=columns)


@pytest.mark.parametrize("names", [["income"], ["income", "city"]])
def test_a_row_with_a_missing_cell_is_a_condition_where_training_had_such(names, tmp_path):
    random = np.random.default_rng(0)
    lines = ["x,income,city"]
    for i in range(60):
        income = "" if i % 7 == 0 else repr(5000 + 100 * random.normal())
        lines.append(f"{random.normal()!r},{income},{('Bern', 'Basel')[i % 2]}")
    path = written(tmp_path / "data.csv", "\n".join(lines))
    data = finding.opened(str(path), {"given": names, "missing": "indicator"}, installed()).built().data
    condition = building.Condition.from_description(data.extra["condition"])
    columns = Wanted.stated(
        "m", {"given": data.extra["given"]}, event_shape=(1,), condition=condition
    ).condition_columns
    for missing in ("", "NA"):
        row = written(tmp_path / "row.csv", f"city;income\nBern;{missing}")
        value = condition.arrays(condition_from(condition, [str(row)], columns=columns), 1)
        numbers = next(each for each in value.values() if each.dtype.kind == "f")[0]
        assert numbers[-1] == 1.0
        assert 4500 < numbers[0] < 5500
    row = written(tmp_path / "row.csv", "city;income\nBern;4900,5\nBasel;")
    several = condition.arrays(condition_from(condition, [str(row)], columns=columns), 2)
    numbers = next(each for each in several.values() if each.dtype.kind == "f")
    assert numbers[:, -1].tolist() == [0.0, 1.0]
    assert numbers[0, 0] == 4900.5
    if "city" in names:
        assert several["city"].tolist() == [
            data.extra["condition"]["parts"][0]["labels"].index(c) for c in ("Bern", "Basel")
        ]


def data_x(data):
    return np.concatenate([np.asarray(split.x)[:, 0] for split in (data.train, data.validation, data.test)])


def conditions(data, condition, place):
    """The condition of a sample of any split, by the names of parts."""
    for split in (data.train, data.validation, data.test):
        if place < len(split):
            value = split.condition_at(np.array([place]))
            return {name: each[0] for name, each in condition.arrays(value, 1).items()}
        place -= len(split)
    raise AssertionError


def test_options_of_data_beside_a_recipe_are_not_read_past(tmp_path):
    recipe = written(tmp_path / "r.toml", 'name = "x"\n[model]\narchitecture = "nice"\n[data]\nname = "moons"\n')
    done = CliRunner().invoke(_group.cli, ["train", str(recipe), "--check", "--given", "nonsense"])
    assert done.exit_code == 2
    assert "leave --data, its options, --set and --from out" in done.stderr
