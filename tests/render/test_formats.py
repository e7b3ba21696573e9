"""Formats of plugins go through the door that the built-in ones use: written, read, refused and listed alike."""

import importlib
import sys

import numpy as np
import pytest

import zoo
from zoo.errors import ConditionError, DataError, NameConflictError, PluginError, UsageError
from zoo.modality import Audio, Text
from zoo.registry import Registry, extensions
from zoo.registry.discovery import Plugin, PluginRecord
from zoo.render import FORMATS, check_output, write
from zoo.render.files import check_numbers
from zoo.render.formats import format_of, is_picture, known
from zoo.render.read import read_arrays, read_condition, read_samples

SOURCE = """
import numpy as np
from zoo.errors import DataError

def write(samples, extras):
    lines = ["\\t".join(map(repr, map(float, row.reshape(-1)))) for row in samples]
    return ("\\n".join(lines) + "\\n").encode()

def read(path, event_shape, modality):
    rows = np.array([line.split("\\t") for line in path.read_text().splitlines()], float)
    return {"samples": rows if event_shape is None else rows.reshape(-1, *event_shape)}

def fits(event_shape, modality):
    return None if len(event_shape) < 2 else "a .tsv holds no pictures"

def shades(path, event_shape, modality):
    return {"samples": np.full((1, *event_shape), 255, np.uint8)}

def text(samples, extras):
    return "not bytes"

def fail(*arguments):
    raise ValueError("surprise")

def refuse(*arguments):
    raise DataError("not like this")

def nothing(*arguments):
    return [1, 2]
"""


@pytest.fixture
def bring(tmp_path, monkeypatch):
    """Let plugins bring formats, as discovery would."""
    (tmp_path / "a_tsv.py").write_text(SOURCE)
    monkeypatch.syspath_prepend(str(tmp_path))
    importlib.invalidate_caches()
    monkeypatch.setattr(extensions, "_claims", {})

    def bring(*formats, names=("tsv-plugin",)):
        plugins = []
        for name in names:
            record = PluginRecord(name=name, distribution=name, version="1.0", module="a_tsv")
            plugins.append(Plugin(record, {"format": formats}))
        extensions.bring(plugins)
        return plugins

    yield bring
    sys.modules.pop("a_tsv", None)


def tsv(name="tsv", **parts):
    parts = parts or {"writer": "write", "reader": "read", "fits": "fits"}
    given = {key: f"a_tsv:{value}" if key in ("writer", "reader", "fits") else value for key, value in parts.items()}
    return zoo.Format(name=name, summary="numbers between tabs", **given)


def test_a_plugins_format_is_written_and_read(bring, tmp_path):
    bring(tsv())
    samples = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    write(samples, tmp_path / "x.TSV")
    np.testing.assert_array_equal(read_samples(tmp_path / "x.TSV", (3,))[0].astype(np.float32), samples)
    np.testing.assert_array_equal(read_arrays(tmp_path / "x.TSV")["samples"].astype(np.float32), samples)
    assert read_condition(tmp_path / "x.TSV").shape == (5, 3)
    check_numbers(tmp_path / "y.tsv")
    assert not is_picture(tmp_path / "x.tsv")


def test_what_does_not_fit_is_refused_before_anything_is_drawn(bring, tmp_path):
    bring(tsv())
    with pytest.raises(UsageError, match=r"a \.tsv holds no pictures"):
        check_output(tmp_path / "x.tsv", (1, 8, 8))


def test_an_unknown_extension_lists_all_that_there_are(bring, tmp_path):
    bring(tsv(), tsv("onlyread", reader="read"))
    with pytest.raises(UsageError, match=r"the extension '\.xyz' of x\.xyz is not a known format") as caught:
        write(np.zeros((1, 2)), tmp_path / "x.xyz")
    for suffix in (*FORMATS, ".tsv"):
        assert f"{suffix} (" in caught.value.hint
    assert ".onlyread" not in caught.value.hint
    with pytest.raises(UsageError, match=r"'\.onlyread' of x\.onlyread is not a format for this"):
        write(np.zeros((1, 2)), tmp_path / "x.onlyread")
    with pytest.raises(UsageError, match="has no extension"):
        format_of(tmp_path / "x")
    assert set(known()) == {*FORMATS, ".tsv", ".onlyread"}


@pytest.mark.parametrize(
    ("parts", "error", "told"),
    [
        ({"writer": "text"}, PluginError, r"the writer of \.tsv of tsv-plugin 1\.0 returned a str, not bytes"),
        ({"writer": "fail"}, PluginError, r"the writer of \.tsv of tsv-plugin 1\.0 failed: ValueError: surprise"),
        ({"writer": "refuse"}, DataError, "not like this"),
        ({"writer": "missing"}, PluginError, r"format 'tsv' of tsv-plugin 1\.0 cannot be loaded: AttributeError"),
    ],
)
def test_a_writer_that_fails_leaves_no_file(bring, tmp_path, parts, error, told):
    bring(tsv(**parts))
    with pytest.raises(error, match=told):
        write(np.zeros((1, 2)), tmp_path / "x.tsv")
    assert not (tmp_path / "x.tsv").exists()


@pytest.mark.parametrize(
    ("parts", "error", "told"),
    [
        ({"reader": "fail"}, DataError, r"cannot read .*x\.tsv: surprise"),
        ({"reader": "refuse"}, DataError, "not like this"),
        ({"reader": "nothing"}, PluginError, r"the reader of \.tsv of tsv-plugin 1\.0 returned no arrays by name"),
    ],
)
def test_a_reader_that_fails_is_told(bring, tmp_path, parts, error, told):
    bring(tsv(**parts))
    (tmp_path / "x.tsv").write_text("1\t2\n")
    with pytest.raises(error, match=told):
        read_samples(tmp_path / "x.tsv", (2,))


def test_a_format_of_a_modality_holds_only_that(bring, tmp_path):
    bring(tsv(writer="write", reader="read", modality="audio"))
    check_output(tmp_path / "x.tsv", (1, 8), Audio(8000))
    for modality in (None, Text("\nab")):
        with pytest.raises(UsageError, match="these samples are not recordings"):
            check_output(tmp_path / "x.tsv", (1, 8), modality)
    (tmp_path / "x.tsv").write_text("1\t2\n")
    with pytest.raises(DataError, match="holds recordings, but this is not a model of recordings"):
        read_samples(tmp_path / "x.tsv", (2,))
    with pytest.raises(UsageError, match="is not a format for this"):
        check_numbers(tmp_path / "y.tsv")


def test_a_picture_is_read_as_shades_where_pictures_are_wanted(bring, tmp_path):
    from zoo.cli._editing import read_data, read_mask

    bring(tsv(writer="write", reader="shades", picture=True))
    (tmp_path / "x.tsv").write_text("")
    assert read_data(tmp_path / "x.tsv", (1, 2, 2))[0].dtype == np.uint8
    np.testing.assert_array_equal(read_mask(tmp_path / "x.tsv", (1, 2, 2)), np.ones((1, 1, 2, 2)))
    for use in (lambda path: read_samples(path, (1, 2, 2)), check_numbers):
        with pytest.raises(UsageError, match="is not a format for this"):
            use(tmp_path / "x.tsv")
    # a part of a condition, in its range
    from zoo.cli._conditions import condition_from
    from zoo.conditions import Condition, Part

    seen = Condition((Part("seen", "image", (1, 2, 2), minimum=-1.0, maximum=1.0), Part("arm", "numbers", (2,))))
    value = condition_from(seen, [f"seen={tmp_path / 'x.tsv'}", "arm=1,2"])
    shades = read_data(tmp_path / "x.tsv", (1, 2, 2))[0][0].astype(np.float32)
    np.testing.assert_allclose(value["seen"], shades / 127.5 - 1, atol=1e-6)
    with pytest.raises(ConditionError, match=r"x\.tsv is an image, and part arm is numbers"):
        condition_from(seen, [f"arm={tmp_path / 'x.tsv'}"])


def test_names_are_claimed_as_of_every_other_kind(bring, tmp_path):
    plugins = bring(tsv(), names=("one", "two"))
    with pytest.raises(NameConflictError, match=r"the format 'tsv' is claimed by one 1\.0 .* and two 1\.0"):
        write(np.zeros((1, 2)), tmp_path / "x.tsv")
    assert "neither can be used" in Registry(plugins).plugins[0].conflicts[0]
    # a built-in one keeps its name
    bring(tsv("npy"))
    write(np.zeros((1, 2)), tmp_path / "x.npy")
    assert np.load(tmp_path / "x.npy").shape == (1, 2)


@pytest.mark.parametrize(
    "fields", [{"name": "tsv"}, {"name": ".tsv", "writer": "a:b"}, {"name": "TSV", "writer": "a:b"}]
)
def test_a_format_that_can_be_nothing_is_refused(fields):
    with pytest.raises(zoo.ConfigError):
        zoo.Format(**fields)


def test_the_built_in_ones_are_registered_through_the_same_door():
    pytest.importorskip("pluggy")
    registry = Registry.discover(allowed=())
    assert {f".{item.description.name}" for item in registry.items("format")} == set(FORMATS)
    assert all(item.plugin.builtin for item in registry.items("format"))
