"""Recipes: what is written is read back, and every mistake is named."""

import pytest

from zoo.errors import ConfigError, UnknownNameError
from zoo.registry import Registry
from zoo.registry.cards import Architecture
from zoo.registry.discovery import Plugin, PluginRecord
from zoo.training.recipe import Recipe

RECIPE = {
    "name": "tiny",
    "summary": "a test",
    "model": {"architecture": "nsf-coupling", "config": {"event_shape": [2]}},
    "data": {"name": "moons", "options": {"noise": 0.1}},
    "training": {"steps": 5, "learning_rate": 1, "betas": [0.9, 0.99]},
}


def test_a_recipe_comes_back():
    recipe = Recipe.from_dict(RECIPE)
    assert recipe.training.learning_rate == 1.0
    assert recipe.training.betas == (0.9, 0.99)
    assert Recipe.from_dict(recipe.describe()) == recipe


def test_changes_come_back_and_are_made_from_their_steps_on():
    written = [{"step": 2, "learning_rate": 0.5}, {"step": 4, "gradient_clip": 1.0, "learning_rate": 0.1}]
    recipe = Recipe.from_dict({**RECIPE, "training": {**RECIPE["training"], "changes": written}})
    assert recipe.describe()["training"]["changes"] == written
    assert Recipe.from_dict(recipe.describe()) == recipe
    found = [(recipe.training.at(i).learning_rate, recipe.training.at(i).gradient_clip) for i in range(6)]
    assert found == [(1.0, 0.0), (1.0, 0.0), (0.5, 0.0), (0.5, 0.0), (0.1, 1.0), (0.1, 1.0)]
    assert "changes" not in Recipe.from_dict(RECIPE).describe()["training"]


def test_a_table_of_distillation_comes_back_and_is_left_out_when_there_is_none():
    teacher = {"teacher": "moons-rectified-flow", "method": "reflow", "options": {"pairs": 100}}
    recipe = Recipe.from_dict({**RECIPE, "distillation": teacher})
    assert recipe.distillation is not None
    assert recipe.distillation.start == "teacher"
    assert Recipe.from_dict(recipe.describe()) == recipe
    assert "distillation" not in Recipe.from_dict(RECIPE).describe()


def test_a_recipe_is_read_from_toml(tmp_path):
    path = tmp_path / "r.toml"
    path.write_text('name = "x"\n[model]\narchitecture = "unet"\n[data]\nname = "mnist"\n')
    assert Recipe.from_file(path).training.seed == 0


@pytest.mark.parametrize(
    ("table", "key", "value", "says"),
    [
        ("training", "steps", 0, "training.steps = 0 is out of range"),
        ("training", "steps", "many", "steps must be int"),
        ("training", "steps", True, "steps must be int"),
        ("training", "ema", 1.0, "training.ema"),
        ("training", "betas", [0.9], "betas must be a list of 2"),
        ("training", "changes", 3, "changes must be a list of tables"),
        ("training", "changes", [3], "changes, entry 0 must be a table"),
        ("training", "changes", [{"step": 2}], "nothing changes at step 2"),
        ("training", "changes", [{"learning_rate": 0.1}], "entry 0: step is missing"),
        ("training", "changes", [{"step": 2, "ema": 0.1}], "no key named 'ema'"),
        ("training", "changes", [{"step": 2, "learning_rate": -1}], "training.learning_rate = -1.0 is out of range"),
        ("training", "changes", [{"step": -2, "learning_rate": 1}], "step = -2 is out of range"),
        ("training", "changes", [{"step": 2, "gradient_clip": 1}] * 2, r"at the steps \[2, 2\], which must increase"),
        ("training", "stepz", 3, "no key named 'stepz'"),
        ("training", "keep", "best", "evaluate_every"),
        ("model", "config", [1], "config must be a table"),
        (None, "data", 3, "data must be a table"),
        (None, "distillation", "mnist-unet", "distillation must be a table"),
        (None, "distillation", {"teacher": "mnist-unet"}, "method is missing"),
        (None, "colour", 3, "no key named 'colour'"),
    ],
)
def test_mistakes_are_named(table, key, value, says):
    changed = {k: dict(v) if isinstance(v, dict) else v for k, v in RECIPE.items()}
    (changed[table] if table else changed)[key] = value
    with pytest.raises(ConfigError, match=says):
        Recipe.from_dict(changed)


@pytest.mark.parametrize(("key", "value"), [("precision", "float8"), ("schedule", "step"), ("keep", "worst")])
def test_unknown_choices_are_refused(key, value):
    with pytest.raises(UnknownNameError, match=value):
        Recipe.from_dict({**RECIPE, "training": {key: value}})


def test_an_unknown_start_is_refused():
    with pytest.raises(UnknownNameError, match="middle"):
        Recipe.from_dict({**RECIPE, "distillation": {"teacher": "a", "method": "b", "start": "middle"}})


def test_missing_tables_are_named():
    with pytest.raises(ConfigError, match="model is missing"):
        Recipe.from_dict({"name": "x", "data": {"name": "moons"}})


def test_a_file_that_is_no_recipe_is_refused(tmp_path):
    (tmp_path / "r.toml").write_text("name = ")
    with pytest.raises(ConfigError, match="cannot read the recipe"):
        Recipe.from_file(tmp_path / "r.toml")
    with pytest.raises(ConfigError, match="cannot read the recipe"):
        Recipe.from_file(tmp_path / "none.toml")


def test_parts_are_texts_by_name():
    values = {
        "name": "x",
        "model": {"architecture": "a", "parts": {"codec.autoencoder": "runs/one"}},
        "data": {"name": "d"},
    }
    recipe = Recipe.from_dict(values)
    assert recipe.model.parts == {"codec.autoencoder": "runs/one"}
    assert Recipe.from_dict(recipe.describe()) == recipe
    assert "parts" not in Recipe.from_dict({**values, "model": {"architecture": "a"}}).describe()["model"]
    for wrong in ("runs/one", {"network": 3}):
        with pytest.raises(ConfigError, match="parts"):
            Recipe.from_dict({**values, "model": {"architecture": "a", "parts": wrong}})


def test_the_keywords_of_train_are_the_settings_of_a_recipe():
    from dataclasses import fields

    from zoo.training.quick import TrainingOptions
    from zoo.training.recipe import TrainingRecipe

    assert set(TrainingOptions.__annotations__) == {each.name for each in fields(TrainingRecipe)}


#: settings that are right together, and would not be alone
TOGETHER = {
    "optimizer": "schedule-free",
    "schedule": "constant",
    "patience": 3,
    "evaluate_every": 2,
    "batch_size": 256,
    "accumulate": 200,
    "ema_snapshots": 2,
    "ema_length": 0.1,
}


def test_settings_that_need_each_other_are_no_mistakes_and_all_that_contradict_are_told_at_once():
    from zoo.registry import installed
    from zoo.training.checking import mistakes

    def told(**training):
        values = {
            "name": "t",
            "model": {"architecture": "nsf-coupling", "config": {"event_shape": [2], "transforms": 1}},
            "data": {"name": "moons", "options": {"train": 40, "validation": 20, "test": 20}},
            "training": training,
        }
        return mistakes(values, installed())

    assert told(**TOGETHER) == []
    alone = {name: TOGETHER[name] for name in ("optimizer", "patience", "accumulate", "ema_length")}
    found = told(**alone, shard=True, compile=True)
    assert len(found) == 6
    for says in (
        "training.accumulate = 200 is more",
        "training.patience needs",
        "averages the weights",
        "ema_length needs",
        'the optimizer "schedule-free" needs whole parameters',
        "training.compile needs whole parameters",
    ):
        assert sum(says in each for each in found) == 1, says


@pytest.mark.parametrize(("stated", "license"), [("License-Expression: MIT\n", "MIT"), ("", ""), (None, "")])
def test_the_code_of_a_plugin_has_the_licence_of_its_package_and_not_ours(stated, license, tmp_path, monkeypatch):
    pytest.importorskip("torch")
    from zoo.training.run import _code_license

    if stated is not None:
        folder = tmp_path / "zoo_rings-0.1.0.dist-info"
        folder.mkdir()
        (folder / "METADATA").write_text(f"Metadata-Version: 2.4\nName: zoo-rings\nVersion: 0.1.0\n{stated}")
        monkeypatch.syspath_prepend(str(tmp_path))
    ours, theirs = (
        Plugin(
            PluginRecord(name=name, distribution=distribution, version="0.1.0", module=module), {"architecture": [a]}
        )
        for name, distribution, module, a in (
            ("flows", "genzoo", "zoo_flows", Architecture(name="nice", family="flow", entry="zoo_flows.nice:NICE")),
            ("rings", "zoo-rings", "zoo_rings", Architecture(name="rings", family="flow", entry="zoo_rings:Rings")),
        )
    )
    registry = Registry([ours, theirs])
    assert _code_license(registry, "nice") == "Apache-2.0"
    assert _code_license(registry, "rings") == license
