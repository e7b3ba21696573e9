"""``zoo train`` with a teacher: from recipe to card, interrupted or not."""

import json
import sys
import textwrap
from importlib.metadata import EntryPoint

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from zoo.cli import _group  # noqa: E402
from zoo.errors import ConfigError, PluginError, UnknownNameError  # noqa: E402
from zoo.models import building  # noqa: E402
from zoo.registry import Registry  # noqa: E402
from zoo.registry.cards import CARD_FILE  # noqa: E402 - after the check for torch
from zoo.registry.discovery import PluginRecord, discover, load_plugin  # noqa: E402
from zoo.training.kept import STATE_FILE  # noqa: E402
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
        assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [
            "card.json",
            "log.jsonl",
            STATE_FILE,
            WEIGHTS_FILE,
        ]
        assert building.load(REGISTRY, tmp_path / "out").sample(3, seed=0).shape == (3, 2)

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
        ({"architecture": "nsf-coupling", "config": {"event_shape": [2]}}, None, "reflow", "NSFCoupling is not one"),
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
    with pytest.raises(ConfigError, match="has no loss to be trained by"):
        run(recipe(FEW), tmp_path / "out")
    assert not (tmp_path / "out" / CARD_FILE).exists()


PLUGIN = """
    from zoo.training.distillation import Distillation
    import zoo

    class Imitation(Distillation):
        measures = "how far the student's samples of one noise are from its teacher's"

        def __init__(self, student, teacher, *, seed=0, how="well"):
            if how == "badly":
                raise KeyError("how")
            self.teacher, self.seed = teacher, seed

        def loss(self, student, x, condition, *, done):
            z = student.noise(self.seed, len(x), student.noise_shape)
            return (student.inverse(z) - self.teacher.inverse(z)).square().mean()

    def nothing(student, teacher):
        return None

    @zoo.hookimpl
    def zoo_distillations():
        return [
            zoo.DistillationMethod(name="imitation", entry="zoo_imitation:Imitation", paper="Nobody 2026, Imitation"),
            zoo.DistillationMethod(name="nothing", entry="zoo_imitation:nothing"),
        ]
"""
AFFINE = {"architecture": "realnvp", "config": {"event_shape": [2], "transforms": 2, "hidden": 8, "blocks": 1}}


@pytest.fixture
def plugged(tmp_path, monkeypatch):
    """A registry that has the built-in plugins, and one of a method for flows."""
    folder = tmp_path / "site"
    folder.mkdir()
    (folder / "zoo_imitation.py").write_text(textwrap.dedent(PLUGIN), "utf-8")
    monkeypatch.syspath_prepend(str(folder))
    record = PluginRecord(name="imitation", distribution="zoo-imitation", version="1.0", module="zoo_imitation")
    yield Registry([*discover(allowed=[]), load_plugin(record, EntryPoint("imitation", "zoo_imitation", "zoo"))])
    sys.modules.pop("zoo_imitation", None)


@pytest.fixture(scope="module")
def flow(tmp_path_factory):
    folder = tmp_path_factory.mktemp("flow")
    train_recipe(Recipe.from_dict(recipe(AFFINE)), folder, REGISTRY)
    return folder


def test_a_plugin_brings_a_method_and_flows_learn_by_it(plugged, flow, tmp_path):
    table = recipe(AFFINE, flow, method="imitation", options={"seed": 3}, start="fresh")
    table["training"] = {**TRAINING, "steps": 40, "learning_rate": 0.01, "ema": 0.0}
    card = train_recipe(Recipe.from_dict(table), tmp_path / "out", plugged)
    assert card.papers[-1] == "Nobody 2026, Imitation"
    z = torch.from_numpy(np.random.default_rng(0).standard_normal((200, 2))).float()
    teacher, student = (building.load(plugged, folder).inverse(z) for folder in (flow, tmp_path / "out"))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        fresh = building.build(plugged, AFFINE["architecture"], AFFINE["config"]).eval().inverse(z)
    assert (student - teacher).square().mean() < 0.5 * (fresh - teacher).square().mean()


@pytest.mark.parametrize(
    ("method", "options", "error", "says"),
    [
        ("imitation", {"sede": 3}, ConfigError, "options of imitation: .*unexpected keyword argument 'sede'"),
        (
            "imitation",
            {"how": "badly"},
            PluginError,
            "method imitation cannot be used with these options: KeyError: 'how'",
        ),
        ("nothing", {}, PluginError, "zoo_imitation:nothing of the distillation method nothing is not a Distillation"),
        ("imitate", {}, UnknownNameError, "there is no distillation method named 'imitate'"),
    ],
)
def test_what_is_wrong_with_a_method_is_said(plugged, flow, tmp_path, method, options, error, says):
    table = recipe(AFFINE, flow, method=method, options=options)
    with pytest.raises(error, match=says):
        train_recipe(Recipe.from_dict(table), tmp_path / "out", plugged)
