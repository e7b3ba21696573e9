"""What readers make of users' files, as users have them, and what is said where nothing can be made of them."""

import csv
import datetime
import wave
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from zoo.cli import cli
from zoo.data.lazy import Chosen, Lazy
from zoo.errors import ConfigError, DataError, PluginError
from zoo.reading import building, finding, options
from zoo.reading.formats import arrays, pictures
from zoo.registry import Registry
from zoo.registry.cards import DataReader
from zoo.render import Extras, write
from zoo.render.read import read_samples

REGISTRY = Registry.discover(allowed=())


def opened(path, **given):
    return finding.opened(str(path), given, REGISTRY)


def data_of(path, **given):
    return opened(path, **given).built().data


def people(path, *, rows=200, gaps=(), **changes):
    """A file as a spreadsheet writes it: with a byte order mark, headings with spaces, quoted commas and dates."""
    random = np.random.default_rng(0)
    table = [["person id", "Height (cm)", "age", "city", "member", "joined", "income", "country"]]
    for i in range(rows):
        day = datetime.date(2020, 1, 1) + datetime.timedelta(days=int(random.integers(1500)))
        table.append(
            [
                *(str(1000 + i), f"{random.normal(170, 9):.1f}", str(random.integers(18, 80))),
                *(("Bern", "Genève, CH", "Zürich")[random.integers(3)], ("yes", "no")[random.integers(2)]),
                *(day.strftime("%d.%m.%Y"), str(random.integers(20, 90) * 500), "CH"),
            ]
        )
    for row, column, text in gaps:
        table[row][column] = text
    with path.open("w", encoding="utf-8-sig", newline="") as file:
        csv.writer(file, **changes).writerows(table)
    return path


@pytest.mark.parametrize("delimiter", [",", ";", "\t"])
def test_the_kinds_of_columns_are_recognised_whatever_separates_them(tmp_path, delimiter):
    found = opened(people(tmp_path / "people.csv", delimiter=delimiter))
    kinds = {c.name: (c.kind, c.grain) for c in building.recognised(found.content, found.options)}
    assert kinds == {
        "person id": ("id", None),
        "Height (cm)": ("continuous", 0.1),
        "age": ("integer", 1.0),
        "city": ("categorical", None),
        "member": ("boolean", None),
        "joined": ("date", 1.0),
        "income": ("integer", 500.0),
        "country": ("constant", None),
    }
    told = found.built().notes
    assert [note.split(":")[0] for note in told] == [
        "column 'person id' is left out",
        "column 'country' is left out",
    ]


def test_rows_come_back_in_the_words_dates_and_decimals_of_the_file(tmp_path):
    path = people(tmp_path / "people.csv")
    data = data_of(path)
    write(data.train.x, tmp_path / "back.csv", Extras(modality=data.modality))
    with path.open(encoding="utf-8-sig") as first, (tmp_path / "back.csv").open(encoding="utf-8") as second:
        before, after = list(csv.DictReader(first)), list(csv.DictReader(second))
    names = list(after[0])
    assert names == ["Height (cm)", "age", "city", "member", "joined", "income"]
    assert {tuple(row.values()) for row in after} <= {tuple(row[name] for name in names) for row in before}
    # the other reader of the same bytes, which scoring uses, agrees
    x, _ = read_samples(path, data.event_shape, data.modality)
    assert {tuple(row) for row in data.test.x.tolist()} <= {tuple(row) for row in x.astype(np.float32).tolist()}


GAPS = [(3, 1, ""), (7, 3, "NA"), (9, 1, "nan")]


def test_missing_cells_are_refused_dropped_or_marked(tmp_path):
    path = people(tmp_path / "people.csv", gaps=GAPS)
    with pytest.raises(DataError, match=r"missing in 3 of 200 rows: 'Height \(cm\)' 2, 'city' 1"):
        data_of(path)
    dropped, marked = data_of(path, missing="drop"), data_of(path, missing="indicator")
    assert sum(len(getattr(dropped, s)) for s in options.SPLITS) == 197
    assert sum(len(getattr(marked, s)) for s in options.SPLITS) == 200
    assert dropped.event_shape == (6,)
    names = [column.name for column in marked.modality.columns]
    assert names[:2] == ["Height (cm)", "Height (cm) is missing"]
    assert marked.modality.columns[names.index("city")].values[-1] == ""
    every = np.concatenate([getattr(marked, s).x for s in options.SPLITS])
    assert every[:, 1].sum() == 2
    # a gap is written as a gap, and stays out of the file as a column
    write(every, tmp_path / "back.csv", Extras(modality=marked.modality))
    with (tmp_path / "back.csv").open(encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert "Height (cm) is missing" not in rows[0]
    assert sum(row["Height (cm)"] == "" for row in rows) == 2
    assert sum(row["city"] == "" for row in rows) == 1


@pytest.mark.parametrize(
    ("texts", "kind"),
    [
        (["01234", "01235", "01234", "01236"] * 5, "categorical"),  # a postal code is no number
        (["1/2/2024", "3/4/2024", "5/6/2024", "1/2/2024"] * 5, "categorical"),  # which of the two is the day?
        (["31/12/2024", "3/4/2024", "5/6/2024", "1/2/2024"] * 5, "date"),
        (["1.5", "?", "2.25", "-"] * 5, "continuous"),
        (["1e3", "2e3", "5", "7"] * 5, "continuous"),
        (["2024-01-01 05:00:00", "2024-01-02 05:30:00"] * 10, "date"),
        (["", "", "", ""] * 5, "constant"),
        (["7"] * 20, "constant"),
        ([f"word {i} of many" for i in range(20)], "id"),
        (["0", "1"] * 10, "boolean"),
    ],
)
def test_the_kind_of_a_column_of_texts(texts, kind):
    from zoo.reading.cells import typed
    from zoo.reading.columns import described

    found = described("column", typed(texts))
    assert found.kind == kind
    if texts[0].startswith("1/2"):
        assert "YYYY-MM-DD" in found.note
    if ":30" in texts[1]:
        assert found.grain == pytest.approx(1 / 1440)


def test_given_columns_are_the_condition_and_ranges_are_held(tmp_path):
    path = people(tmp_path / "people.csv")
    data = data_of(path, given=["city"], bounds={"Height (cm)": [100, 230]})
    assert data.extra["condition"] == {
        "kind": "classes", "size": 3, "labels": ["Bern", "Genève, CH", "Zürich"], "required": True,
    }  # fmt: skip
    assert data.extra["bounds"] == {"0": [100.0, pytest.approx(230.1)]}
    both = data_of(path, given=["age", "city"])
    assert {name: part.shape[1:] for name, part in both.train.condition.items()} == {"city": (), "numbers": (1,)}
    with pytest.raises(DataError, match=r"did you mean 'age'.*did you mean 'income'"):
        data_of(path, given=["aeg"], bounds={"incom": [0, 1]})
    with pytest.raises(DataError, match="200 numbers outside its period"):
        data_of(path, circular={"age": [-3.1, 3.1]})
    with pytest.raises(DataError, match=r"'country' cannot be given.*constant"):
        data_of(path, given=["country"])


def test_a_column_says_how_rows_are_split(tmp_path):
    path = tmp_path / "x.csv"
    words = ["train"] * 30 + ["val"] * 6 + ["test"] * 4
    random = np.random.default_rng(0)
    path.write_text("v,part\n" + "".join(f"{v:.6f},{w}\n" for v, w in zip(random.normal(size=40), words, strict=True)))
    data = data_of(path, split="part")
    assert [len(data.train), len(data.validation), len(data.test)] == [30, 6, 4]
    assert data.event_shape == (1,)
    again, other = data_of(path, split_seed=3, kinds={"part": "id"}), data_of(path, split_seed=4, kinds={"part": "id"})
    assert not np.array_equal(again.train.x, other.train.x)
    np.testing.assert_array_equal(again.train.x, data_of(path, split_seed=3, kinds={"part": "id"}).train.x)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        ("", "is empty"),
        ("a,b\n", "no rows"),
        ("a,b\n1,2\n3\n", "line 3 has 1 columns"),
        ("a,a\n1,2\n", "two columns with the heading 'a'"),
        ("a,b\n1,x\n", "too few|constant|left"),
        (b"a,b\n1,\xff\n", "not text in utf-8"),
    ],
)
def test_a_bad_table_is_refused_in_one_sentence(tmp_path, content, told):
    path = tmp_path / "bad.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(DataError, match=told):
        data_of(path)


def test_typed_tables_are_read_as_the_same_table(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    feather = pytest.importorskip("pyarrow.feather")
    random = np.random.default_rng(0)
    days = [datetime.date(2024, 1, 1) + datetime.timedelta(days=int(i)) for i in random.integers(0, 99, 60)]
    table = pa.table(
        {
            "value": random.normal(size=60),
            "count": pa.array([None if i == 3 else int(i % 7) for i in range(60)]),
            "day": days,
            "kind": pa.array(["a", "b"] * 30).dictionary_encode(),
        }
    )
    pq.write_table(table, tmp_path / "t.parquet")
    feather.write_feather(table, str(tmp_path / "t.feather"))
    first, second = (data_of(tmp_path / name, missing="drop") for name in ("t.parquet", "t.feather"))
    np.testing.assert_array_equal(first.train.x, second.train.x)
    assert [c.date for c in first.modality.columns] == ["", "", "%Y-%m-%d", ""]
    assert [c.grain for c in first.modality.columns] == [None, 1.0, 1.0, 1.0]


def test_a_folder_of_hugging_face_is_read_with_its_splits_and_classes(tmp_path):
    pa, pq = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    (tmp_path / "hub" / "data").mkdir(parents=True)
    for split, rows in (("train", 30), ("validation", 5), ("test", 6)):
        table = pa.table({"x": np.random.default_rng(rows).normal(size=rows)})
        pq.write_table(table, tmp_path / "hub" / "data" / f"{split}-00000-of-00001.parquet")
    data = data_of(tmp_path / "hub")
    assert [len(data.train), len(data.validation), len(data.test)] == [30, 5, 6]
    saved = tmp_path / "saved"
    saved.mkdir()
    table = pa.table({"x": np.random.default_rng(0).normal(size=40), "label": [0, 1] * 20})
    with pa.OSFile(str(saved / "data-00000-of-00001.arrow"), "wb") as file, pa.ipc.new_stream(file, table.schema) as w:
        w.write_table(table)
    (saved / "state.json").write_text('{"_data_files": [{"filename": "data-00000-of-00001.arrow"}]}')
    (saved / "dataset_info.json").write_text(
        '{"features": {"x": {"dtype": "float64", "_type": "Value"}, '
        '"label": {"names": ["cat", "dog"], "_type": "ClassLabel"}}}'
    )
    data = data_of(saved, given=["label"])
    assert data.labels == ("cat", "dog")
    assert len(data.train) == 32


def photos(folder, sizes=((20, 30), (31, 18))):
    random = np.random.default_rng(0)
    for kind in ("cats", "dogs"):
        (folder / kind).mkdir(parents=True)
        for i, mode in enumerate(("L", "RGB", "RGBA", "P", "RGB", "1")):
            size = sizes[i % len(sizes)]
            image = Image.fromarray(random.integers(0, 255, (*size, 3), dtype=np.uint8))
            image.convert(mode).save(folder / kind / f"{i}.png")
    return folder


def test_a_folder_of_pictures_of_any_size_and_kind(tmp_path, monkeypatch):
    folder = photos(tmp_path / "photos")
    with pytest.raises(DataError, match="2 different sizes") as refused:
        data_of(folder)
    assert "--resize" in refused.value.hint
    built = opened(folder, resize=16).built()
    data = built.data
    assert data.train.x.shape[1:] == (3, 16, 16)
    assert (data.levels, data.labels, data.train.x.dtype) == (256, ("cats", "dogs"), np.uint8)
    assert "laid on white" in built.notes[0]
    assert data_of(folder, resize=[8, 12], channels=1).event_shape == (1, 8, 12)
    # what does not fit into memory is read as it is needed, and is the same
    monkeypatch.setattr(pictures, "IN_MEMORY", 0)
    lazy = data_of(folder, resize=16)
    assert isinstance(lazy.train.x, Lazy)
    np.testing.assert_array_equal(lazy.train.x[np.array([3, 1])], data.train.x[np.array([3, 1])])
    np.testing.assert_array_equal(np.asarray(lazy.test.x), data.test.x)
    (folder / "cats" / "0.png").write_bytes(b"no picture")
    with pytest.raises(DataError, match=r"0\.png"):
        data_of(folder, resize=16)


def test_sixteen_bits_stay_sixteen_bits(tmp_path):
    deep = np.random.default_rng(0).integers(0, 65_536, (6, 10, 10)).astype(np.uint16)
    for i, each in enumerate(deep):
        Image.fromarray(each).save(tmp_path / f"{i}.png")
    data = data_of(tmp_path)
    assert data.levels == 65_536
    every = np.concatenate([getattr(data, s).x for s in options.SPLITS])[:, 0]
    assert sorted(map(bytes, every.astype(np.uint16))) == sorted(map(bytes, deep))


def test_recordings_of_any_rate_in_stereo_become_one_rate_and_channel(tmp_path):
    pytest.importorskip("scipy")
    for kind, rate, channels in (("high", 44_100, 2), ("low", 16_000, 1)):
        (tmp_path / kind).mkdir()
        for i in range(4):
            tone = 8000 * np.sin(2 * np.pi * 440 * np.arange(rate // 4) / rate)
            with wave.open(str(tmp_path / kind / f"{i}.wav"), "wb") as file:
                file.setnchannels(channels)
                file.setsampwidth(2)
                file.setframerate(rate)
                file.writeframes(np.repeat(tone, channels).astype("<i2").tobytes())
    with pytest.raises(DataError, match="different rates: "):
        data_of(tmp_path)
    built = opened(tmp_path, rate=8000).built()
    assert built.data.event_shape == (1, 2000)
    assert built.data.modality.sample_rate == 8000
    assert built.data.labels == ("high", "low")
    assert len(built.notes) == 2
    # a tone of 440 Hz is one whatever it was recorded with
    spectrum = np.abs(np.fft.rfft(built.data.train.x[:, 0], axis=1))
    assert (spectrum.argmax(1) == 110).all()
    level = np.sqrt((built.data.train.x**2).mean((1, 2)))
    np.testing.assert_allclose(level, 8000 / 32768 / np.sqrt(2), rtol=0.02)


def test_lines_of_a_text_make_their_alphabet(tmp_path):
    (tmp_path / "names.txt").write_text("anna\nbob\n\ncléo\n" * 10, "utf-8")
    data = data_of(tmp_path / "names.txt")
    assert data.modality.alphabet == ".abclnoé"
    assert data.event_shape == (5,)
    assert data.levels == 8


def test_arrays_by_one_name_or_many_and_larger_than_memory(tmp_path, monkeypatch):
    x = np.random.default_rng(0).normal(size=(100, 3)).astype(np.float32)
    np.save(tmp_path / "x.npy", x)
    np.savez(tmp_path / "pair.npz", samples=x, condition=np.arange(100) % 3)
    np.savez(tmp_path / "columns.npz", a=x[:, 0], b=x[:, 1])
    assert data_of(tmp_path / "x.npy").modality is None
    assert data_of(tmp_path / "x.npy", given=["x1"]).event_shape == (2,)
    assert data_of(tmp_path / "pair.npz").extra["condition"]["size"] == 3
    assert [c.name for c in data_of(tmp_path / "columns.npz").modality.columns] == ["a", "b"]
    monkeypatch.setattr(arrays, "IN_MEMORY", 0)
    lazy = data_of(tmp_path / "x.npy")
    assert isinstance(lazy.train.x, Chosen)
    rows = {tuple(row) for row in x.tolist()}
    assert {tuple(row) for row in lazy.train.x[np.array([5, 2, 70])].tolist()} <= rows
    np.save(tmp_path / "objects.npy", np.array([{}], object), allow_pickle=True)
    with pytest.raises(DataError, match="Python objects"):
        data_of(tmp_path / "objects.npy")


def test_parts_of_a_condition_are_arrays_beside_the_samples(tmp_path):
    x, ids = np.zeros((20, 3), np.float32), np.ones((20, 4), np.int32)
    ends = 1 + np.arange(20) % 4
    beside = {"condition/prompt": ids, "condition/prompt_mask": (np.arange(4) < ends[:, None]).astype(np.float32)}
    np.savez(tmp_path / "parts.npz", samples=x, other=x, **beside)
    built = opened(tmp_path / "parts.npz").built()
    assert sum(len(row) for row in built.data.train.condition["prompt"]) < ids[: len(built.data.train)].size
    assert any("the arrays other are not used" in note for note in built.notes)
    told = CliRunner().invoke(cli, ["data", str(tmp_path / "parts.npz")])
    assert "parts        prompt of lengths of their own\n" in told.stdout
    wrong = {
        "is \\[n, length\\], and 1 up to an end": {
            **beside,
            "condition/prompt_mask": 1 - beside["condition/prompt_mask"],
        },
        "20 samples come with 3 of part arm": {"condition/arm": np.zeros(3)},
        "part kind of the conditions of a split": {"condition/kind": np.array(1)},
    }
    for told, arrays_beside in wrong.items():
        np.savez(tmp_path / "wrong.npz", samples=x, **arrays_beside)
        with pytest.raises(DataError, match=told):
            data_of(tmp_path / "wrong.npz")


def test_a_function_is_run_only_where_it_is_named(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    Path("my_points.py").write_text(
        "import numpy as np\n"
        "def points(n=50):\n    return np.random.default_rng(0).normal(size=(n, 2)), np.arange(n) % 2\n"
        "def broken():\n    raise ValueError('no luck')\n"
    )
    assert len(data_of("my_points:points", n=60).train) == 48
    with pytest.raises(DataError, match="my_points:broken fails: ValueError: no luck"):
        data_of("my_points:broken")
    with pytest.raises(ConfigError, match="no function 'nothing'"):
        data_of("my_points:nothing")


def test_a_reader_that_fails_is_named_with_its_plugin(tmp_path, monkeypatch):
    (tmp_path / "x.csv").write_text("a\n1\n2\n")

    def fails(path):
        raise KeyError("surprise")

    monkeypatch.setattr("zoo.reading.formats.delimited.read", fails)
    with pytest.raises(PluginError, match=r"the data reader delimited of genzoo .* fails on .*KeyError"):
        data_of(tmp_path / "x.csv")


def test_options_that_nobody_takes_and_paths_that_nobody_reads(tmp_path):
    (tmp_path / "x.csv").write_text("a\n1\n2\n")
    with pytest.raises(ConfigError, match="no option named 'delimeter'") as refused:
        data_of(tmp_path / "x.csv", delimeter=";")
    assert "delimiter" in refused.value.hint
    with pytest.raises(DataError, match="no file or folder"):
        data_of(tmp_path / "nothing.csv")
    (tmp_path / "x.xyz").write_text("?")
    with pytest.raises(DataError, match=r"no reader reads files that end with \.xyz"):
        data_of(tmp_path / "x.xyz")
    (tmp_path / "empty").mkdir()
    with pytest.raises(DataError, match="no reader recognises the folder"):
        data_of(tmp_path / "empty")
    with pytest.raises(ConfigError, match="neither suffixes nor recognises"):
        DataReader(name="x", entry="a:b")


def test_the_digest_is_that_of_what_is_there(tmp_path):
    folder = photos(tmp_path / "photos")
    before = finding.digest(str(folder))
    assert before == finding.digest(str(folder))
    (folder / "cats" / "0.png").rename(folder / "cats" / "9.png")
    assert finding.digest(str(folder)) != before


def test_ranges_of_columns_are_written_out():
    assert options.expanded(["a", "x_08..x_10"]) == ("a", "x_08", "x_09", "x_10")
    assert options.ranges(["b=0:3,c=-pi:2pi"], "--bounds") == {"b": [0.0, 3.0], "c": [-np.pi, 2 * np.pi]}
    assert options.ranges(["phi"], "--circular", turn=True) == {"phi": [-np.pi, np.pi]}
    for wrong in ("b", "b=3", "b=x:y"):
        with pytest.raises(ConfigError, match="--bounds"):
            options.ranges([wrong], "--bounds")
    with pytest.raises(ConfigError, match="lower first"):
        options.Options(bounds={"b": (3.0, 0.0)})
