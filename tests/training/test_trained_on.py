"""What a model was trained on, data set and options, is known of its bundle too, and `zoo eval` measures on that."""

import dataclasses
import json
import shutil
from pathlib import Path

import pytest
from click.testing import CliRunner

pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from zoo.bundle import MANIFEST, MODEL_CARD, open_bundle
from zoo.cli import _group
from zoo.errors import ConfigError, PluginError
from zoo.models.sources import resolve
from zoo.registry import installed
from zoo.registry.cards import ModelCard
from zoo.training.data import TrainedOn, load_data, trained_on
from zoo.training.recipe import Recipe
from zoo.training.run import train_recipe
from zoo_onnx.export import update_card
from zoo_onnx.precision import quality

ROOT = Path(__file__).parents[2]
OPTIONS = {"train": 60, "validation": 20, "test": 30, "noise": 0.3}


def zoo(*args):
    return CliRunner().invoke(_group.cli, [str(a) for a in args])


def said(*args):
    done = zoo("eval", *args, "--metric", "likelihood", "--json")
    assert done.exit_code == 0, done.stderr
    return json.loads(done.stdout), done.stderr


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model folder, its bundle, and that bundle as it was before options were stored."""
    root = tmp_path_factory.mktemp("trained")
    config = {"event_shape": [2], "transforms": 1, "hidden": 4, "blocks": 1, "bins": 4}
    recipe = {
        "name": "tiny",
        "model": {"architecture": "nsf-coupling", "config": config},
        "data": {"name": "moons", "options": OPTIONS},
        "training": {"steps": 1, "batch_size": 20},
    }
    train_recipe(Recipe.from_dict(recipe), root / "model", installed())
    done = zoo("export", root / "model", "-o", root / "bundle")
    assert done.exit_code == 0, done.stderr
    shutil.copytree(root / "bundle", root / "old")
    card = ModelCard.from_folder(root / "model")
    update_card(root / "old", dataclasses.replace(card, data={"name": "moons"}))
    return root


def test_card_and_manifest_state_data_set_and_options(folder):
    card = ModelCard.from_folder(folder / "model")
    assert card.data["name"] == "moons"
    assert card.data["options"] == OPTIONS
    assert open_bundle(folder / "bundle").manifest.model["data"] == card.data
    assert "noise = 0.3" in (folder / "bundle" / MODEL_CARD).read_text("utf-8")
    assert "noise = 0.3" in zoo("show", folder / "bundle").stdout


def test_a_bundle_is_measured_on_what_its_model_is_measured_on(folder):
    model, _ = said(folder / "model")
    assert model["metrics"]["test_nll"]["samples"] == 30
    for arguments in (["--data", "moons"], []):
        bundle, told = said(folder / "bundle", *arguments)
        assert bundle["options"] == OPTIONS
        assert bundle["metrics"] == model["metrics"]
        assert "moons with train = 60, validation = 20, test = 30, noise = 0.3, as tiny was trained\n" in told


def test_a_bundle_of_a_bundle_knows_them_too(folder, tmp_path):
    assert zoo("export", folder / "bundle", "-o", tmp_path / "again").exit_code == 0
    assert said(tmp_path / "again")[0]["options"] == OPTIONS


def test_options_given_by_hand_win(folder):
    found, told = said(folder / "bundle", "--data", "moons", "-D", "test=7", "-D", "noise=0.1")
    assert found["options"] == {**OPTIONS, "test": 7, "noise": 0.1}
    assert found["metrics"]["test_nll"]["samples"] == 7
    assert "; test, noise as given, the rest as tiny was trained\n" in told


@pytest.mark.parametrize(
    ("model", "arguments", "options", "says"),
    [
        ("old", [], {}, "moons with its defaults: tiny does not state the options that it was trained with"),
        ("old", ["-D", "test=7"], {"test": 7}, "moons with test = 7, else its defaults: tiny does not state"),
        ("bundle", ["--data", "circles"], {}, "circles with its defaults: tiny was trained on moons"),
    ],
)
def test_where_nothing_is_stored_the_defaults_are_taken_and_it_says_so(folder, model, arguments, options, says):
    found, told = said(folder / model, *arguments)
    assert found["options"] == options
    assert found["metrics"]["test_nll"]["samples"] == options.get("test", 20_000)
    assert says in told


def test_a_bundle_that_states_no_data_asks_for_them():
    done = zoo("eval", ROOT / "tests" / "bundles" / "before-parts" / "nothing")
    assert done.exit_code == 2
    assert "does not state its training data" in done.stderr


@pytest.mark.parametrize("data", [None, 3, [], {"name": 3}, {"name": "moons", "options": [1]}, {"options": {}}])
def test_a_manifest_may_state_anything(folder, tmp_path, data):
    shutil.copytree(folder / "bundle", tmp_path / "bundle")
    values = json.loads((tmp_path / "bundle" / MANIFEST).read_text("utf-8"))
    del values["model"]["data"]
    if data is not None:
        values["model"]["data"] = data
    (tmp_path / "bundle" / MANIFEST).write_text(json.dumps(values), "utf-8")
    done = zoo("eval", tmp_path / "bundle")
    assert done.exit_code in (1, 2)
    assert "Error: " in done.stderr
    assert "Traceback" not in done.stderr


def test_what_is_measured_of_rounded_weights_is_measured_on_the_same_data(folder):
    """Its figure stands beside that of the card, which is of these data."""
    bundle = open_bundle(folder / "bundle")
    card = dataclasses.replace(ModelCard.from_folder(folder / "model"), recipe=None)
    data, told = quality._data(card)
    assert (len(data.test), told) == (30, None)
    assert trained_on(resolve(installed(), bundle.folder)) == TrainedOn("moons", OPTIONS)
    data, told = quality._data(dataclasses.replace(card, data={"name": "moons"}))
    assert len(data.test) == 20_000
    assert told == "the card does not state the options of moons: its defaults are taken"
    with pytest.raises(ConfigError, match="does not state the data set"):
        quality._data(dataclasses.replace(card, data={}))


def test_a_data_set_that_fails_on_an_option_is_named():
    with pytest.raises(PluginError, match='the data set moons cannot be loaded with test = "x": TypeError'):
        load_data(installed().dataset("moons"), {"test": "x"}, installed())
