"""``zoo train`` from the outside: a recipe becomes a model folder, interrupted or not."""

import inspect
import json
import os
import signal
import subprocess
import sys
import time

import pytest
from click.testing import CliRunner

pytest.importorskip("torch")

from zoo import weights
from zoo.cli import _group
from zoo.registry.cards import ModelCard
from zoo.training.kept import CHECKPOINT_FILE, STATE_FILE
from zoo.training.log import LOG_FILE
from zoo.training.run import WEIGHTS_FILE

RECIPE = """
name = "tiny"
[model]
architecture = "nsf-coupling"
config = { event_shape = [2], transforms = 1, hidden = 8, blocks = 1, bins = 4 }
[data]
name = "checkerboard"
options = { train = 500, validation = 100, test = 100 }
[training]
steps = 12
batch_size = 50
evaluate_every = 6
checkpoint_every = 4
"""


@pytest.fixture
def recipe(tmp_path):
    (tmp_path / "tiny.toml").write_text(RECIPE)
    return tmp_path / "tiny.toml"


def zoo(*args):
    return CliRunner().invoke(_group.cli, [str(a) for a in args])


def test_a_recipe_becomes_a_model_folder(tmp_path, recipe):
    result = zoo("train", recipe, "-o", tmp_path / "out", "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout)
    card = ModelCard.from_folder(tmp_path / "out")
    assert told["model"] == card.name == "tiny"
    assert told["metrics"].keys() == card.metrics.keys() >= {"test_nll", "test_gap"}
    assert card.weights.sha256 == weights.sha256(tmp_path / "out" / WEIGHTS_FILE)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == ["card.json", LOG_FILE, STATE_FILE, WEIGHTS_FILE]


def test_a_card_is_a_recipe_too(tmp_path, recipe):
    assert zoo("train", recipe, "-o", tmp_path / "first").exit_code == 0
    assert zoo("train", tmp_path / "first", "-o", tmp_path / "second").exit_code == 0
    first, second = ((tmp_path / name / WEIGHTS_FILE).read_bytes() for name in ("first", "second"))
    assert first == second
    assert zoo("train", tmp_path / "first", "-o", tmp_path / "third", "--seed", 1).exit_code == 0
    assert (tmp_path / "third" / WEIGHTS_FILE).read_bytes() != first


def test_a_finished_model_is_not_overwritten_unless_asked(tmp_path, recipe):
    assert zoo("train", recipe, "-o", tmp_path / "out").exit_code == 0
    again = zoo("train", recipe, "-o", tmp_path / "out")
    assert again.exit_code == 1
    assert "contains a finished model" in again.stderr
    assert zoo("train", recipe, "-o", tmp_path / "out", "--restart", "--steps", 3).exit_code == 0


@pytest.mark.parametrize(
    ("change", "code", "says"),
    [
        (('"checkerboard"', '"chessboard"'), 2, "no data set named 'chessboard'"),
        (('"nsf-coupling"', '"nsf-couplin"'), 2, "no architecture named 'nsf-couplin'"),
        (("steps = 12", "steps = -1"), 1, "training.steps"),
        (("test = 100", "tests = 100"), 1, "data set checkerboard"),
        (("bins = 4", "bin = 4"), 1, "bin"),
        (("event_shape = [2]", "event_shape = [3]"), 1, "events of shape (2,), the model of (3,)"),
    ],
)
def test_mistakes_in_a_recipe_are_told_before_training(tmp_path, recipe, change, code, says):
    recipe.write_text(RECIPE.replace(*change))
    result = zoo("train", recipe, "-o", tmp_path / "out")
    assert result.exit_code == code
    assert says in result.stderr
    assert "Traceback" not in result.stderr


def test_a_device_that_is_not_there_is_one_sentence(tmp_path, recipe):
    result = zoo("train", recipe, "-o", tmp_path / "out", "--device", "abacus")
    assert result.exit_code == 2
    assert "abacus" in result.stderr


@pytest.mark.slow
def test_an_interrupted_run_goes_on(tmp_path, recipe):
    """Ctrl-C in the middle of a run exits 130 with a checkpoint; the same command ends with the same weights."""
    long = RECIPE.replace("steps = 12", "steps = 400")
    recipe.write_text(long)
    assert zoo("train", recipe, "-o", tmp_path / "whole").exit_code == 0
    out = tmp_path / "parts"
    with subprocess.Popen(
        [sys.executable, "-m", "zoo", "train", str(recipe), "-o", str(out)],
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(sys.path)},
    ) as process:
        deadline = time.monotonic() + 120
        while not (out / CHECKPOINT_FILE).exists() and time.monotonic() < deadline:
            time.sleep(0.01)
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=120)
    assert process.returncode == 130, said
    assert "run the same command to resume" in said
    assert not (out / "card.json").exists()
    assert zoo("train", recipe, "-o", out).exit_code == 0
    assert (out / WEIGHTS_FILE).read_bytes() == (tmp_path / "whole" / WEIGHTS_FILE).read_bytes()


@pytest.mark.parametrize(("name", "code"), [("SIGINT", 130), ("SIGTERM", 143), ("SIGHUP", 129)])
def test_each_signal_that_ends_a_run_saves_it_and_has_its_own_code(tmp_path, recipe, monkeypatch, name, code):
    """A terminal that is closed, a machine that is shut down: as for Ctrl-C, there is a checkpoint."""
    from zoo.training import loop

    number, steps = getattr(signal, name), loop._step
    before = signal.getsignal(number)
    # what started the tests may ignore it; the run leaves what is ignored as it is
    signal.signal(number, signal.default_int_handler if name == "SIGINT" else signal.SIG_DFL)

    def step(*args, **kwargs):
        os.kill(os.getpid(), number)
        return steps(*args, **kwargs)

    monkeypatch.setattr(loop, "_step", step)
    try:
        result = zoo("train", recipe, "-o", tmp_path / "out")
    finally:
        signal.signal(number, before)
    assert result.exit_code == code
    assert result.stderr.count("run the same command to resume") == 1
    assert "Error" not in result.stderr
    monkeypatch.undo()
    assert (tmp_path / "out" / CHECKPOINT_FILE).exists()
    assert "resuming" in zoo("train", recipe, "-o", tmp_path / "out").stderr


def test_a_run_that_is_not_to_hear_of_its_terminal_goes_on(tmp_path, recipe, monkeypatch):
    """``nohup zoo train``."""
    from zoo.training import loop

    before, steps = signal.signal(signal.SIGHUP, signal.SIG_IGN), loop._step

    def step(*args, **kwargs):
        os.kill(os.getpid(), signal.SIGHUP)
        return steps(*args, **kwargs)

    monkeypatch.setattr(loop, "_step", step)
    try:
        assert zoo("train", recipe, "-o", tmp_path / "out", "--steps", 3).exit_code == 0
    finally:
        signal.signal(signal.SIGHUP, before)


DIVERGING = RECIPE.replace("[training]", "[training]\nchanges = [{ step = 8, learning_rate = 1e30 }]")


def said(result):
    """What stands on standard error, whatever the lines are broken at."""
    return " ".join(result.stderr.split())


def test_a_run_that_diverges_says_how_to_go_on_and_does(tmp_path, recipe):
    recipe.write_text(DIVERGING)
    result = zoo("train", recipe, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "the training diverges: the " in said(result)
    assert "Lower training.learning_rate, or set training.gradient_clip, and start over with" in said(result)
    assert "changes = [{ step = 8, learning_rate = 1e+29 }] into [training], and run the same command" in said(result)
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == [CHECKPOINT_FILE, LOG_FILE]
    # the same again fails at the same step
    assert said(zoo("train", recipe, "-o", tmp_path / "out")).endswith(said(result).partition("diverges: ")[2])
    recipe.write_text(DIVERGING.replace("1e30", "1e-4"))
    result = zoo("train", recipe, "-o", tmp_path / "out")
    assert result.exit_code == 0, result.stderr
    assert "resuming from " in result.stderr
    assert zoo("train", recipe, "-o", tmp_path / "whole").exit_code == 0
    first, second = ((tmp_path / name / WEIGHTS_FILE).read_bytes() for name in ("out", "whole"))
    assert first == second
    # the card remembers the change, so that it is a recipe of these weights
    assert ModelCard.from_folder(tmp_path / "out").recipe["training"]["changes"] == [{"step": 8, "learning_rate": 1e-4}]


def test_another_recipe_is_told_by_what_differs(tmp_path, recipe):
    recipe.write_text(DIVERGING)
    assert zoo("train", recipe, "-o", tmp_path / "out").exit_code == 1
    recipe.write_text(RECIPE.replace("batch_size = 50", "batch_size = 25"))
    result = zoo("train", recipe, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert "belongs to a run of another recipe: training.batch_size was 50 and is 25 " in f"{said(result)} "
    assert zoo("train", recipe, "-o", tmp_path / "out", "--restart").exit_code == 0


@pytest.mark.parametrize("value", ["nan", "inf"])
def test_data_that_is_not_finite_is_not_blamed_on_the_learning_rate(tmp_path, recipe, monkeypatch, value):
    from zoo_data import densities

    def broken(**options):
        data = unbroken(**options)
        data.train.x[7, 1] = float(value)
        return data

    unbroken = densities.checkerboard
    broken.__signature__ = inspect.signature(unbroken)
    monkeypatch.setattr(densities, "checkerboard", broken)
    result = zoo("train", recipe, "-o", tmp_path / "out")
    assert result.exit_code == 1
    assert f"the train split of data set checkerboard have the value {value} in row 7, column 1" in said(result)
    assert "learning_rate" not in result.stderr
    assert "diverges" not in result.stderr
    assert not (tmp_path / "out" / CHECKPOINT_FILE).exists()
