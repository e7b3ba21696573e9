"""Runs that go on: a finished run with more steps, and a model that starts with another's weights."""

import csv
import json
from itertools import count
from types import SimpleNamespace

import numpy as np
import pytest
from click.testing import CliRunner

torch = pytest.importorskip("torch")

from zoo import effort, weights  # noqa: E402 - after the check for torch
from zoo.cli import _group  # noqa: E402
from zoo.effort import Effort  # noqa: E402
from zoo.models import building  # noqa: E402
from zoo.registry import installed  # noqa: E402
from zoo.registry.cards import ModelCard  # noqa: E402
from zoo.training import clock  # noqa: E402
from zoo.training.data import trained_on  # noqa: E402
from zoo.training.extending import differences, extended  # noqa: E402
from zoo.training.kept import CHECKPOINT_FILE  # noqa: E402
from zoo.training.log import LOG_FILE, Log, read  # noqa: E402
from zoo.training.recipe import Recipe  # noqa: E402
from zoo.training.run import WEIGHTS_FILE, train_recipe  # noqa: E402

CONFIG = {"event_shape": [2], "transforms": 1, "hidden": 4, "blocks": 1, "bins": 4}


def zoo(*args):
    return CliRunner().invoke(_group.cli, [str(a) for a in args])


def ok(*args):
    done = zoo(*args)
    assert done.exit_code == 0, done.stderr
    return done.stderr


def recipe(**training):
    values = {
        "name": "tiny",
        "model": {"architecture": "nsf-coupling", "config": CONFIG},
        "data": {"name": "moons", "options": {"train": 60, "validation": 20, "test": 30}},
        "training": {"batch_size": 20, "schedule": "constant", "log_every": 1, **training},
    }
    return Recipe.from_dict(values)


@pytest.mark.parametrize("settings", [{"ema": 0.5, "warmup": 3}, {"evaluate_every": 2, "keep": "best"}])
def test_a_run_that_goes_on_is_the_longer_run(tmp_path, settings):
    train_recipe(recipe(steps=10, **settings), tmp_path / "whole", installed())
    train_recipe(recipe(steps=6, **settings), tmp_path / "parts", installed())
    said = ok("train", tmp_path / "parts", "--extend", 2)
    assert "differs" not in said
    train_recipe(extended(tmp_path / "parts", 2, print), tmp_path / "parts", installed())
    for name in (WEIGHTS_FILE, LOG_FILE):
        assert (tmp_path / "parts" / name).read_bytes() == (tmp_path / "whole" / name).read_bytes()
    assert ModelCard.from_folder(tmp_path / "parts").recipe["training"]["steps"] == 10


def test_the_same_command_after_an_interruption_does_not_extend_a_run_twice(tmp_path):
    train_recipe(recipe(steps=4), tmp_path / "run", installed())
    longer = extended(tmp_path / "run", 5, print)
    assert train_recipe(longer, tmp_path / "run", installed(), stop=lambda: True) is None
    assert (tmp_path / "run" / CHECKPOINT_FILE).exists()
    refused = zoo("train", tmp_path / "run", "--extend", 6)
    assert "is of a run that has not finished" in refused.stderr
    ok("train", tmp_path / "run", "--extend", 5)
    assert ModelCard.from_folder(tmp_path / "run").recipe["training"]["steps"] == 9


def test_a_card_says_what_all_sittings_took(tmp_path, monkeypatch):
    ticks = SimpleNamespace(monotonic=map(float, count(5)).__next__, process_time=map(float, count(7, 3)).__next__)
    monkeypatch.setattr(clock, "time", ticks)
    monkeypatch.setattr(clock, "machine", lambda device: "the first")
    left = iter([False, False, True])
    assert train_recipe(recipe(steps=7), tmp_path / "run", installed(), stop=lambda: next(left)) is None
    monkeypatch.setattr(clock, "machine", lambda device: "the second")
    card = train_recipe(recipe(steps=7), tmp_path / "run", installed())
    # a tick a step, and three of the processor
    assert card.training == Effort(7.0, 21.0, ("the first", "the second"))
    assert ModelCard.from_folder(tmp_path / "run").training == card.training
    assert str(card.training) == "0.1 minutes (0.3 of processor time) on the first and the second"
    assert "0.1 minutes" in zoo("show", tmp_path / "run").stdout
    train_recipe(recipe(steps=7), tmp_path / "whole", installed())
    weights_of = [(tmp_path / name / WEIGHTS_FILE).read_bytes() for name in ("run", "whole")]
    assert weights_of[0] == weights_of[1]


def test_a_machine_has_a_name(monkeypatch):
    assert clock.machine(torch.device("cpu")).endswith((" thread", " threads"))
    monkeypatch.setattr(effort, "Path", lambda name: SimpleNamespace(read_text=lambda encoding: "model name : \n"))
    monkeypatch.setattr(effort.platform, "processor", lambda: "")
    monkeypatch.setattr(effort.platform, "machine", lambda: "riscv64")
    assert effort.processor() == "riscv64"


def test_samples_of_a_run_do_not_change_it(tmp_path):
    train_recipe(recipe(steps=4), tmp_path / "plain", installed())
    train_recipe(recipe(steps=4), tmp_path / "watched", installed(), samples_every=2)
    assert sorted(p.name for p in (tmp_path / "watched" / "samples").iterdir()) == [
        "step-0000002.png",
        "step-0000004.png",
    ]
    for name in (WEIGHTS_FILE, LOG_FILE):
        assert (tmp_path / "plain" / name).read_bytes() == (tmp_path / "watched" / name).read_bytes()


def test_a_run_that_stopped_early_does_not_go_on_and_says_so(tmp_path):
    said = []
    early = recipe(steps=60, learning_rate=0.5, evaluate_every=1, patience=2)
    train_recipe(early, tmp_path / "run", installed(), say=said.append)
    assert any("the validation loss has not fallen since step" in line for line in said)
    assert "stopped early, at step" in zoo("train", tmp_path / "run", "--extend", 3).stderr


def test_what_makes_a_longer_run_differ_is_said(tmp_path):
    assert differences(recipe(steps=6)) == []
    assert "cosine" in differences(recipe(steps=6, schedule="cosine"))[0]
    assert "evaluated at its last step" in differences(recipe(steps=6, evaluate_every=4, keep="best"))[0]
    refused = zoo("train", tmp_path, "--extend", 3)
    assert "holds no finished run" in refused.stderr
    refused = zoo("train", "moons-nsf", "--extend", 3)
    assert "moons-nsf is not the folder of a run" in refused.stderr
    refused = zoo("train", tmp_path, "--extend", 3, "--seed", 1)
    assert "takes no option besides --device" in refused.stderr


def people(path, heights, cities, days):
    with path.open("w", encoding="utf-8", newline="") as file:
        rows = zip(heights, cities, days, strict=True)
        csv.writer(file).writerows([["height", "city", "joined"], *([f"{h:.1f}", c, d] for h, c, d in rows)])
    return path


def test_fine_tuning_keeps_weights_standardisation_and_the_meaning_of_columns(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    random = np.random.default_rng(0)
    first = people(
        tmp_path / "first.csv",
        random.normal(170, 9, 80),
        [("Basel", "Bern", "Chur")[i % 3] for i in range(80)],
        [f"2024-01-{i % 28 + 1:02d}" for i in range(80)],
    )
    # without the first category, and later dates: numbers of its own would be others
    second = people(
        tmp_path / "second.csv",
        random.normal(140, 3, 60),
        [("Chur", "Bern")[i % 2] for i in range(60)],
        [f"2024-03-{i % 28 + 1:02d}" for i in range(60)],
    )
    config = json.dumps({"hidden": 8, "blocks": 1, "bins": 4, "transforms": 1})
    ok("train", "nsf-coupling", "--data", first, "--set", "training.steps=2", "--set", f"model.config={config}")
    said = ok(
        "train",
        "nsf-coupling",
        "--data",
        second,
        "--from",
        "runs/first",
        "--set",
        "training.steps=1",
        "--set",
        "training.learning_rate=1e-12",
    )
    assert "the model starts with the weights of runs/first" in said
    old, new = (weights.state_arrays(building.load(installed(), f"runs/{name}")) for name in ("first", "second"))
    assert old.keys() == new.keys()
    for name in old:
        np.testing.assert_allclose(old[name], new[name], atol=1e-9, err_msg=name)
    before, after = (ModelCard.from_folder(tmp_path / "runs" / name) for name in ("first", "second"))
    assert after.data["kind"] == before.data["kind"]
    assert after.recipe["model"]["weights"] == "runs/first"
    # its own data are read so again
    own = ok("eval", "runs/second", "--metric", "likelihood")
    assert "measuring second by 6 of 6 test samples" in own
    assert trained_on(after).wanted.event == trained_on(after).wanted.modality.columns
    refused = zoo(
        "train", "nsf-coupling", "--data", second, "--from", "runs/first", "--set", "model.config.hidden=9", "-o", "x"
    )
    assert (
        "model.config.hidden is 9, and that of runs/first, whose weights the model starts with, is 8" in refused.stderr
    )
    refused = zoo("train", "realnvp", "--data", second, "--from", "runs/first", "-o", "x")
    assert "runs/first is of the architecture nsf-coupling, not realnvp" in refused.stderr
    other = people(tmp_path / "other.csv", [1.0] * 9 + [2.0], ["Bern", "Genf"] * 5, ["2024-01-02"] * 10)
    refused = zoo("train", "nsf-coupling", "--data", other, "--from", "runs/first", "-o", "x")
    assert "has 'Genf' in 5 rows, which first was not trained on" in refused.stderr


def test_a_log_goes_on_where_its_checkpoint_is_and_forgets_a_torn_line(tmp_path):
    path = tmp_path / LOG_FILE
    log = Log(path, 0)
    assert not path.exists()
    for step in range(1, 6):
        log.add({"step": step, "loss": 0.1 * step})
    with path.open("a") as file:
        file.write('{"step": 6, "lo')
    Log(path, 3).add({"step": 4, "loss": 9.0})
    assert [line["loss"] for line in read(path)] == [0.1, 0.2, pytest.approx(0.3), 9.0]
    Log(path, 0)
    assert read(path) == []


def test_an_average_that_is_made_afterwards_is_that_of_a_run_that_keeps_it(tmp_path):
    snapshots = {"steps": 30, "ema_snapshots": 3, "ema": 0.5}
    train_recipe(recipe(**snapshots), tmp_path / "run", installed())
    train_recipe(recipe(**snapshots, ema_length=0.12), tmp_path / "kept", installed())
    plain, keeps = (weights.read(tmp_path / each / WEIGHTS_FILE) for each in ("run", "kept"))
    assert any(np.abs(plain[name] - keeps[name]).max() > 1e-4 for name in plain)
    said = ok("train", tmp_path / "run", "--ema", 0.12, "-o", tmp_path / "made")
    assert "try `zoo export" in said
    assert (tmp_path / "made" / WEIGHTS_FILE).read_bytes() == (tmp_path / "kept" / WEIGHTS_FILE).read_bytes()
    made, kept = (ModelCard.from_folder(tmp_path / each) for each in ("made", "kept"))
    assert made.name == "made"
    assert made.metrics == kept.metrics
    assert made.recipe == kept.recipe
    assert building.load(installed(), str(tmp_path / "made")) is not None


def test_what_has_no_averages_is_refused_in_a_sentence(tmp_path):
    train_recipe(recipe(steps=4), tmp_path / "run", installed())
    told = {
        ("--ema", 0.1): "it needs -o",
        ("--ema", 0.1, "-o", tmp_path / "out", "--seed", 1): "only --device besides",
        ("--ema", 0.1, "-o", tmp_path / "out"): "there are no snapshots of averages",
        ("--ema", 3, "-o", tmp_path / "out"): "above 0 and at most 0.28",
        ("--ema", 0.1, "-o", tmp_path / "run"): "contains a finished model",
    }
    for options, says in told.items():
        refused = zoo("train", tmp_path / "run", *options)
        assert refused.exit_code != 0
        assert says in refused.stderr, refused.stderr
    assert not (tmp_path / "out" / "card.json").exists()


def test_tensorboard_shows_what_the_log_has_after_an_interruption_too(tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    settings = recipe(steps=12, evaluate_every=4, checkpoint_every=4)
    lines = iter([False] * 6)

    def killed():
        next(lines)  # raises after six steps, whose last two no checkpoint holds
        return False

    with pytest.raises(StopIteration):
        train_recipe(settings, tmp_path / "run", installed(), stop=killed, tensorboard=True)
    train_recipe(settings, tmp_path / "run", installed(), tensorboard=True)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    log = read(tmp_path / "run" / LOG_FILE)
    for name in ("loss", "learning_rate", "validation"):
        shown = [(each.step, each.value) for each in events.Scalars(name)]
        kept = [(line["step"], line[name]) for line in log if name in line]
        assert [step for step, _ in shown] == [step for step, _ in kept]
        np.testing.assert_allclose([value for _, value in shown], [value for _, value in kept], rtol=1e-6)
