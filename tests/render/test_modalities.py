"""Modalities of plugins go through the door of the built-in ones: described, read back, written, drawn, and missed."""

import importlib
import io
import json
import shutil
import sys
from pathlib import Path

import numpy as np
import pytest

import zoo
from zoo.bundle import read_manifest
from zoo.errors import BundleError, ConfigError, DataError, NameConflictError, PluginError, UsageError
from zoo.modality import BUILTIN, Audio, Foreign, Modality, describe, misfit_of, modality_from
from zoo.registry import Registry, extensions
from zoo.registry.cards import ModelCard
from zoo.registry.discovery import Plugin, PluginRecord
from zoo.render import Extras, check_output, default_suffix, write
from zoo.render.files import picture_of
from zoo.render.modalities import MODALITIES, rounding
from zoo.render.read import read_samples

ROOT = Path(__file__).parents[2]
BUNDLE = ROOT / "plugins" / "zoo_models" / "moons-nsf" / "bundle"
BOARD = {"kind": "board", "package": "zoo-doors", "rows": 3, "columns": 3, "pieces": ".XO"}
MORE = """
from dataclasses import dataclass
from typing import ClassVar
from zoo_doors.board import Board

@dataclass(frozen=True)
class Odd(Board):
    kind: ClassVar[str] = "odd"

    def misfit(self, event_shape, levels):
        raise RuntimeError("surprise")

@dataclass(frozen=True)
class Loud(Board):
    def __post_init__(self):
        raise RuntimeError("surprise")

class Plain:
    kind = "board"

def fail(*arguments):
    raise RuntimeError("surprise")

def short(x, modality, seed):
    return x[:1]

def half(x, modality, seed):
    import numpy as np
    return np.full(x.shape, 0.5)
"""


@pytest.fixture
def bring(tmp_path, monkeypatch):
    """Let the package zoo-doors bring its modality, formats and path, as discovery would."""
    (tmp_path / "more_boards.py").write_text(MORE)
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.syspath_prepend(str(ROOT / "tests" / "third_party" / "zoo-doors"))
    importlib.invalidate_caches()
    monkeypatch.setattr(extensions, "_claims", {})

    def bring(*kinds, names=("zoo-doors",)):
        doors = importlib.import_module("zoo_doors")
        plugins = []
        for name in names:
            record = PluginRecord(name=name, distribution=name, version="0.1.0", module="zoo_doors")
            brought = {"modality": tuple(kinds or doors.zoo_modalities()), "format": tuple(doors.zoo_formats())}
            plugins.append(Plugin(record, brought))
        extensions.bring(plugins)
        return plugins

    yield bring
    for name in [name for name in sys.modules if name.partition(".")[0] in ("zoo_doors", "more_boards")]:
        del sys.modules[name]


def kind(name="board", entry="zoo_doors.board:Board", **parts):
    return zoo.ModalityKind(name=name, entry=entry, **parts)


def test_the_built_in_ones_are_described_by_the_same_hook():
    from zoo.render.plugin import zoo_modalities

    assert {each.name: each.entry for each in zoo_modalities()} == {
        name: f"zoo.modality:{cls.__name__}" for name, cls in BUILTIN.items()
    }
    assert set(MODALITIES) == set(BUILTIN)


def test_a_plugins_modality_is_described_and_comes_back(bring):
    bring()
    board = modality_from(BOARD)
    assert isinstance(board, Modality)
    assert (board.rows, board.pieces, describe(board)) == (3, ".XO", BOARD)
    assert misfit_of(board, (3, 3), 3) is None
    assert misfit_of(board, (3, 4), 3) == "boards have shape [3, 3]"
    for wrong, told in (
        ({"rows": "3"}, "rows must be int"),
        ({"colour": 1}, "there is no key named 'colour'"),
    ):
        with pytest.raises(ConfigError, match=told):
            modality_from({**BOARD, **wrong})


def test_its_files_are_written_read_and_drawn(bring, tmp_path):
    from PIL import Image

    bring()
    board, x = modality_from(BOARD), np.arange(18).reshape(2, 3, 3) % 3
    extras = Extras(levels=3, modality=board)
    assert default_suffix((3, 3), board) == ".brd"
    write(x + 0.5, tmp_path / "x.brd", extras)
    assert (tmp_path / "x.brd").read_text() == ".XO\n.XO\n.XO\n\n.XO\n.XO\n.XO\n"
    np.testing.assert_array_equal(read_samples(tmp_path / "x.brd", (3, 3), board)[0], x)
    assert picture_of((3, 3), board) == "own"
    write(x + 0.5, tmp_path / "x.png", extras)
    pixels = np.asarray(Image.open(io.BytesIO((tmp_path / "x.png").read_bytes())))
    assert pixels.shape == (28, 56)
    assert pixels[2 + 4, [2 + 4, 2 + 12, 2 + 20]].tolist() == [0, 127, 254]
    write(x + 0.5, tmp_path / "x.svg", extras)
    assert (tmp_path / "x.svg").read_text().count("<text") == 18
    for path in ("y.brd", "y.svg"):
        with pytest.raises(UsageError, match="these samples are not boards"):
            check_output(tmp_path / path, (3, 3), Audio(8000))
    with pytest.raises(DataError, match="holds boards, but this is not a model of boards"):
        read_samples(tmp_path / "x.brd", (3, 3), None)


def test_without_the_plugin_samples_are_plain_numbers(bring, tmp_path):
    extensions.bring([])
    modality = modality_from(BOARD)
    assert modality == Foreign(BOARD)
    assert describe(modality) == BOARD
    assert str(modality) == (
        "samples are plain numbers here: their modality 'board' is of the package 'zoo-doors', which is not installed "
        "as a plugin, or disabled"
    )
    assert misfit_of(modality, (5,), None) is None
    assert default_suffix((3, 3), modality) == ".npy"
    assert default_suffix((2,), modality) == ".png"
    assert rounding(modality, np.zeros(3), 0) is None
    write(np.ones((2, 3)), tmp_path / "x.csv", Extras(modality=modality))
    assert read_samples(tmp_path / "x.csv", (3,), modality)[0].tolist() == [[1, 1, 1]] * 2
    with pytest.raises(UsageError, match=r"'\.brd' of x\.brd is not a known format"):
        check_output(tmp_path / "x.brd", (3, 3), modality)


@pytest.mark.parametrize(
    "values",
    [
        {"kind": "board"},
        {"kind": "board", "package": ""},
        {"kind": "board", "package": 3},
        {"kind": "board", "package": "p" * 101},
        {"kind": "board", "package": "a\nb"},
        {"kind": "Board", "package": "zoo-doors"},
        {"kind": "b" * 101, "package": "zoo-doors"},
        {"kind": "audio", "package": "zoo-doors", "sample_rate": 8000},
    ],
)
def test_an_unknown_kind_that_names_no_package_is_refused(bring, values):
    extensions.bring([])
    with pytest.raises(ConfigError):
        modality_from(values)


def _of_version_2(folder):
    """The values of a bundle's manifest, as the oldest version that knows kinds of plugins states them."""
    values = json.loads((folder / "manifest.json").read_text("utf-8"))
    return {**values, "format": {**values["format"], "version": 2}}


def test_a_manifest_of_version_1_has_no_kinds_of_plugins(bring, tmp_path):
    bring()
    folder = Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))
    values = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert values["format"]["version"] == 1
    (folder / "manifest.json").write_text(json.dumps({**values, "kind": BOARD}))
    with pytest.raises(BundleError, match="the kind 'board' is not one of audio, text, table"):
        read_manifest(folder)


def test_a_manifest_and_a_card_keep_what_they_do_not_know(bring, tmp_path):
    extensions.bring([])
    folder = Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))
    values = _of_version_2(folder)
    described = {**BOARD, "more": {"any": [1, None, "thing"]}}
    (folder / "manifest.json").write_text(json.dumps({**values, "kind": described}))
    manifest = read_manifest(folder)
    assert manifest.modality == Foreign(described)
    stated = json.loads(manifest.to_json())
    assert (stated["kind"], stated["format"]["version"]) == (described, 2)
    for wrong in ({"kind": "board"}, {**BOARD, "package": ""}, {**BOARD, "kind": "a b"}, {"kind": "audio"}):
        (folder / "manifest.json").write_text(json.dumps({**values, "kind": wrong}))
        with pytest.raises(BundleError):
            read_manifest(folder)
    card = json.loads((BUNDLE.parent / "card.json").read_text("utf-8"))
    card["data"]["kind"] = described
    assert modality_from(ModelCard.from_description(card).data["kind"]) == Foreign(described)


def test_a_manifest_is_checked_by_what_the_plugin_says(bring, tmp_path):
    bring()
    folder = Path(shutil.copytree(BUNDLE, tmp_path / "bundle"))
    (folder / "manifest.json").write_text(json.dumps({**_of_version_2(folder), "kind": BOARD}))
    with pytest.raises(BundleError, match=r"its samples are of shape \[2\], but boards have shape \[3, 3\]"):
        read_manifest(folder)


def test_a_modality_that_no_plugin_brings_is_not_stored(bring):
    bring()
    board = modality_from(BOARD)
    extensions.bring([])
    with pytest.raises(ConfigError, match="'board' is not one that a plugin brings") as caught:
        describe(board)
    assert "zoo_modalities" in caught.value.hint


@pytest.mark.parametrize(
    ("entry", "told"),
    [
        ("more_boards:Plain", "'board' of zoo-doors 0.1.0 is not a dataclass derived from zoo.modality.Modality"),
        ("more_boards:Odd", "is not a dataclass derived from zoo.modality.Modality with that kind"),
        ("more_boards:Loud", "'board' of zoo-doors 0.1.0 cannot be built: RuntimeError: surprise"),
        ("more_boards:missing", "modality 'board' of zoo-doors 0.1.0 cannot be loaded"),
    ],
)
def test_a_plugin_whose_modality_is_none_is_named(bring, entry, told):
    bring(kind(entry=entry))
    with pytest.raises(PluginError, match=told):
        modality_from(BOARD)


def test_functions_of_a_plugin_that_fail_are_named(bring, tmp_path):
    bring(
        kind(draw="more_boards:fail", rounding="more_boards:short"),
        kind("odd", "more_boards:Odd", rounding="more_boards:half"),
    )
    board, odd = modality_from(BOARD), modality_from({**BOARD, "kind": "odd"})
    with pytest.raises(PluginError, match=r"draw of the modality 'board' of zoo-doors 0\.1\.0 failed: RuntimeError"):
        write(np.zeros((2, 3, 3)), tmp_path / "x.png", Extras(modality=board))
    assert not (tmp_path / "x.png").exists()
    with pytest.raises(PluginError, match="the rounding of the modality 'board' does not have the shape of its data"):
        rounding(board, np.zeros((2, 3, 3)), 0)
    np.testing.assert_array_equal(rounding(odd, np.zeros((2, 3)), 0), np.full((2, 3), 0.5))
    with pytest.raises(PluginError, match="the modality 'odd' fails: RuntimeError: surprise"):
        misfit_of(odd, (3, 3), 3)


def test_a_kind_that_two_plugins_claim_is_an_error_that_names_them(bring):
    plugins = bring(names=("one", "two"))
    with pytest.raises(NameConflictError, match=r"the modality 'board' is claimed by one 0\.1\.0"):
        modality_from(BOARD)
    assert "the modality 'board' is also claimed by" in " ".join(Registry(plugins).warnings())


def test_an_extension_that_is_none_is_refused():
    for suffix in ("brd", ".BRD", ".b d", "."):
        with pytest.raises(ConfigError, match="an extension is of the form"):
            kind(suffix=suffix)


def test_a_modality_that_does_not_fit_is_refused_before_anything_is_trained(bring):
    pytest.importorskip("torch")
    from zoo.training.fit import _check_modality

    class Model:
        event_shape, length = (3, 3), None

    def data(modality, levels=3):
        splits = [zoo.Split(np.zeros((2, 3, 3), np.int64))] * 3
        return zoo.Dataset("games", *splits, levels=levels, modality=modality)

    bring()
    board = modality_from(BOARD)
    _check_modality(data(board), Model)
    _check_modality(data(None), Model)
    with pytest.raises(DataError, match="boards with 3 pieces have as many levels"):
        _check_modality(data(board, levels=4), Model)
    extensions.bring([])
    with pytest.raises(ConfigError, match="is not one that a plugin brings"):
        _check_modality(data(board), Model)
