"""``zoo train`` with a teacher: from recipe to card, interrupted or not."""

import json

import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from zoo.cards import CARD_FILE  # noqa: E402 - after the check for torch
from zoo.cli import _group  # noqa: E402
from zoo.errors import ConfigError  # noqa: E402
from zoo.registry import Registry  # noqa: E402
from zoo.training.recipe import Recipe  # noqa: E402
from zoo.training.run import WEIGHTS_FILE, train_recipe  # noqa: E402

REGISTRY = Registry.discover(allowed=[])
MODEL = {"architecture": "mlp", "config": {"event_shape": [2], "hidden": 8, "blocks": 1}}
FEW = {"architecture": "mlp", "config": {**MODEL["config"], "sampling": {"sampler": "consistency", "steps": 2}}}
DATA = {"name": "moons", "options": {"train": 400, "validation": 100, "test": 100}}
TRAINING = {"steps": 12, "batch_size": 50, "ema": 0.9, "evaluate_every": 6, "checkpoint_every": 4}
METHODS = {
    "consistency": (FEW, {"steps": [2, 4]}),
    "reflow": (MODEL, {"pairs": 60, "sampler": "ddim", "steps": 2}),
}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory):
    folder = tmp_path_factory.mktemp("teacher")
    train_recipe(Recipe.from_dict(recipe(MODEL)), folder, REGISTRY)
    return folder


def recipe(model, teacher=None, **distillation):
    table = {"name": "tiny", "model": model, "data": DATA, "training": TRAINING}
    return {**table, **({"distillation": {"teacher": str(teacher), **distillation}} if teacher else {})}


def run(table, folder, **options):
    return train_recipe(Recipe.from_dict(table), folder, REGISTRY, **options)


@pytest.mark.parametrize("method", METHODS)
class TestAStudent:
    def table(self, method, teacher, **changes):
        model, options = METHODS[method]
        return recipe(model, teacher, method=method, options=options, **changes)

    def test_its_card_says_whom_it_learned_from_and_how(self, method, teacher, tmp_path):
        card = run(self.table(method, teacher), tmp_path / "out")
        assert card.recipe["distillation"]["teacher"] == str(teacher)
        assert len(card.papers) == 2
        assert card.metrics["test_loss"]["of"] != "the training objective"
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["card.json", WEIGHTS_FILE]
        assert REGISTRY.load(tmp_path / "out").sample(3, seed=0).shape == (3, 2)

    def test_an_interrupted_run_ends_with_the_same_weights(self, method, teacher, tmp_path):
        table = self.table(method, teacher)
        run(table, tmp_path / "whole")
        calls = iter(range(100))
        assert run(table, tmp_path / "parts", stop=lambda: next(calls) == 5) is None
        assert run(table, tmp_path / "parts") is not None
        whole, parts = ((tmp_path / name / WEIGHTS_FILE).read_bytes() for name in ("whole", "parts"))
        assert whole == parts

    def test_a_fresh_start_is_another(self, method, teacher, tmp_path):
        run(self.table(method, teacher), tmp_path / "teacher")
        run(self.table(method, teacher, start="fresh"), tmp_path / "fresh")
        one, other = ((tmp_path / name / WEIGHTS_FILE).read_bytes() for name in ("teacher", "fresh"))
        assert one != other


@pytest.mark.parametrize(
    ("model", "teacher_name", "method", "says"),
    [
        (FEW, "moons-rectified-floe", "consistency", "moons-rectified-floe"),
        (FEW, None, "progressive", "progressive"),
        ({"architecture": "nsf-coupling", "config": {"event_shape": [2]}}, None, "reflow", "family flow cannot be"),
    ],
)
def test_mistakes_end_in_one_clear_error(tmp_path, teacher, model, teacher_name, method, says):
    table = recipe(model, teacher_name or teacher, method=method)
    lines = [f"name = {json.dumps(table['name'])}"]
    lines += [f"{key} = {toml(table[key])}" for key in ("model", "data", "training", "distillation")]
    (tmp_path / "r.toml").write_text("\n".join(lines))
    result = CliRunner().invoke(_group.cli, ["train", str(tmp_path / "r.toml"), "-o", str(tmp_path / "out")])
    assert result.exit_code in (1, 2)
    assert says in result.stderr
    assert result.stderr.count("Error") == 1


def toml(value):
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{key} = {toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value)


def test_a_model_without_a_teacher_says_that_it_needs_one(tmp_path):
    with pytest.raises(ConfigError, match="not trained by a loss of its own"):
        run(recipe(FEW), tmp_path / "out")
    assert not (tmp_path / "out" / CARD_FILE).exists()
