"""``zoo bench``: what it measures, without torch too, and what it refuses in one sentence."""

import json
import subprocess
import sys
import time

import pytest

import zoo.benchmarking as benchmarking
from zoo.benchmarking import Spread, in_turns, ratios
from zoo.runtime import load
from zoo.runtime.timing import timed


def document(result):
    assert result.exit_code == 0, result.output
    return json.loads(result.stdout)


WITHOUT_TORCH = "import sys; sys.modules['torch'] = None; from zoo.cli import main; main()"


def test_a_diffusion_without_torch(zoo, diffusion):
    asked = ("--batch", "3,1", "--threads", "1", "--steps", "7", "--seconds", "60")
    command = [sys.executable, "-c", WITHOUT_TORCH, "bench", str(diffusion), *asked, "--json"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert found["left_out"] == {"PyTorch": "torch is not installed"}
    assert [(row["engine"], row["threads"], row["batch"]) for row in found["measured"]] == [
        ("onnxruntime", 1, 1),
        ("onnxruntime", 1, 3),
    ]
    for row in found["measured"]:
        assert row["steps"] == 7
        assert 0 < row["step"]["least"] <= row["step"]["low"] <= row["step"]["median"] <= row["step"]["high"]
        assert row["overhead"]["least"] > 0
        assert row["samples_a_second"] == pytest.approx(row["batch"] / (7 * row["step"]["median"]))
        assert row["times_pytorch"] is None
    table = zoo("bench", diffusion, "--no-torch", *asked).stdout.splitlines()
    assert table[0].split()[:3] == ["threads", "batch", "ms"]
    assert table[-1].startswith("most samples a second: batch ")


def test_a_model_that_samples_in_one_call_takes_turns_with_pytorch(zoo):
    pytest.importorskip("torch")
    found = document(zoo("bench", "pinwheel-realnvp", "--batch", "2", "--threads", "1", "--seconds", "0.5", "--json"))
    ours, theirs = found["measured"]
    assert (ours["engine"], theirs["engine"], found["left_out"]) == ("onnxruntime", "pytorch", {})
    assert ours["steps"] == theirs["steps"] == 1
    assert ours["times_pytorch"]["median"] > 0
    assert theirs["overhead"] is None


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--batch", "0"], "--batch takes whole numbers from 1 to 1048576 with commas between, not '0'"),
        (["--batch", "1,x"], "--batch takes whole numbers from 1 to 1048576 with commas between, not '1,x'"),
        (["--threads", ""], "--threads takes whole numbers from 1 to 1048576 with commas between, not ''"),
        (["--batch", "²"], "--batch takes whole numbers from 1 to 1048576 with commas between, not '²'"),
        (["--seconds", "0"], "--seconds is a number above 0, not 0"),
        (["--seconds", "nan"], "--seconds is a number above 0, not nan"),
        (["--sampler", "none"], "there is no sampler named 'none'"),
        (["--condition", "7"], "takes no condition"),
        (["--provider", "warp"], "there is no provider named 'warp'"),
    ],
)
def test_what_cannot_be_measured_is_refused_before_anything_runs(zoo, diffusion, monkeypatch, arguments, sentence):
    monkeypatch.setattr(benchmarking, "measure", lambda *a, **k: pytest.fail("it was measured"))
    result = zoo("bench", diffusion, "--no-torch", *arguments)
    assert result.exit_code == 2
    (line,) = [each for each in result.stderr.splitlines() if each.startswith("Error: ")]
    assert sentence in line


def test_steps_are_refused_for_a_model_that_samples_in_one_call(zoo, flow):
    result = zoo("bench", flow, "--no-torch", "--steps", "3")
    assert result.exit_code == 2
    assert "Error: " in result.stderr


def test_a_batch_that_would_take_too_long_is_left_out_and_said(zoo, diffusion, monkeypatch):
    monkeypatch.setattr(benchmarking, "_expected", lambda rounds, batch: 0.0 if batch == 1 else 1e6)
    asked = ("--no-torch", "--batch", "1,1000", "--threads", "1", "--seconds", "30")
    result = zoo("bench", diffusion, *asked)
    assert result.exit_code == 0
    assert "batch 1000, 1 thread was not measured: would take longer than the" in result.stderr


def test_a_line_through_two_batches_says_how_long_another_takes():
    assert benchmarking._expected([], 10) == 0
    assert benchmarking._expected([(4, 2.0)], 16) == pytest.approx(8.0)
    # mostly what does not grow
    assert benchmarking._expected([(1, 1.0), (11, 1.1)], 111) == pytest.approx(2.1)
    assert benchmarking._expected([(1, 1.0), (11, 0.9)], 111) == pytest.approx(0.9)


def test_turns_go_back_and_forth_and_ratios_are_of_one_turn():
    order = []
    taken = in_turns({"a": lambda: order.append("a"), "b": lambda: order.append("b")}, 10.0, turns=3)
    assert order == ["a", "b", "a", "b", "b", "a", "a", "b"]
    assert [len(each) for each in taken.values()] == [3, 3]
    # the machine is twice as slow in the second turn, which no ratio shows
    times = ratios({"base": [2.0, 4.0, 2.0], "ours": [1.0, 2.0, 1.0]}, "base")
    assert times == {"ours": Spread(2.0, 2.0, 2.0, 2.0, 3)}
    assert len(in_turns({"a": lambda: None}, 0.0, turns=9)["a"]) == 1


def test_a_spread_has_quartiles():
    assert Spread.of([4.0, 1.0, 2.0, 3.0, 5.0]) == Spread(3.0, 2.0, 4.0, 1.0, 5)
    assert Spread.of([2.0]).scaled(3.0) == Spread(6.0, 6.0, 6.0, 6.0, 1)


def test_calls_are_timed_in_a_block_and_not_after_it(diffusion):
    model = load(diffusion, "cpu", 1)
    session = model.session("step")
    own = session._session
    with timed(session) as calls:
        began = time.perf_counter()
        timed_samples = model.sample(2, seed=0, steps=5)
        whole = time.perf_counter() - began
    assert len(calls) == 5
    assert min(calls) > 0
    assert sum(calls) < whole
    assert session._session is own
    assert (model.sample(2, seed=0, steps=5) == timed_samples).all()
    assert len(calls) == 5
