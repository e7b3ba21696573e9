"""``python -m benchmarks``: results survive their file, the page comes from them alone, and a run goes on."""

import importlib
import inspect
import json
import os
import re
import subprocess
import sys
from pathlib import Path

import pytest
from torch import nn

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT / "benchmarks"), str(ROOT / "scripts")]

import exports  # noqa: E402
from suite import cells, flows, goals, page, results, run  # noqa: E402

from zoo.registry.cards import ModelCard  # noqa: E402


def spread(median, *, turns=5, low=0.9, high=1.2):
    return {"median": median, "low": low * median, "high": high * median, "least": 0.8 * median, "turns": turns}


def ratio(median):
    return spread(median, low=0.99, high=1.01)


def measured(section, name, case, engines, *, base=None, unit="s a step", numbers=None, unavailable=None):
    times = {n: ratio(engines[base] / v) for n, v in engines.items() if n != base} if base else {}
    if base and results.OURS in engines:
        others = [n for n in engines if n not in (base, results.OURS)]
        times |= {results.beside(n, results.OURS): ratio(engines[n] / engines[results.OURS]) for n in others}
    return {
        "section": section,
        "name": name,
        "case": case,
        "status": "measured",
        "seconds": 2.5,
        "unit": unit,
        "base": base,
        "engines": {n: spread(v) for n, v in engines.items()},
        "times": times,
        "unavailable": unavailable or {},
        "numbers": numbers or {},
    }


@pytest.fixture
def fixed():
    """Results that never change, with a cell of every section."""
    sampled = {"torch, eager": 0.1, "torch.compile": 0.06, "zoo, PyTorch": 0.11, "zoo, ONNX Runtime": 0.05}
    flow = {"zuko": 0.4, "nflows": 0.2, "zoo, PyTorch": 0.1, "zoo, ONNX Runtime": 0.08}
    operations = {"batch": 16, "operations of a sample's step": 1e9}
    start = {"python, nothing": 0.02, "python, numpy and onnxruntime": 0.2}
    start |= {"zoo list": 0.35, "a digit, load and 1 step": 0.45}
    found = [
        measured("limits", "the machine", "1 thread", {"copy, GB/s": 8.0}, unit="a second", numbers={"GFLOP/s": 800.0}),
        measured("sampling", "mnist-unet", "batch 16", sampled, base="torch, eager", numbers=operations),
        measured("sampling", "mnist-unet", "batch 1", {**sampled, "torch.compile": 0.052}, base="torch, eager"),
        measured("variants", "mnist-unet", "int8", {"float32": 0.1, "int8": 0.05}, base="float32"),
        measured("variants", "mnist-unet", "fused", {"float32": 0.1, "fused": 0.105}, base="float32"),
        measured("flows", "nsf-coupling-64", "density, batch 256", flow, base="zuko", unit="s a call"),
        measured("flows", "maf-64", "samples, batch 256", {**flow, "zuko": 8.0}, base="zuko", unit="s a call"),
        measured("diffusers", "unet2d", "batch 1", {"diffusers": 0.2, "zoo, PyTorch": 0.2}, base="diffusers"),
        *(
            measured("scaling", "moons-nsf by batch", str(n), {"zoo, ONNX Runtime": 0.001 * n, "torch, eager": 0.01})
            for n in (1, 16)
        ),
        measured("memory", "moons-nsf", "batch 1000", {"zoo, ONNX Runtime": 90.0}, unit="MB"),
        measured("runtimes", "moons-nsf", "1000 samples", {"C++": 0.1}, unavailable={"Node": "Node is not installed"}),
        measured("start", "processes", "cold", start, unit="s of CPU"),
        measured("exports", "exports", "moons-nsf", {"all": 9.0, "imports": 2.0}, unit="s of CPU"),
        measured("conditions", "picture", "1 sample, 10 steps", {"once": 0.1, "by hand": 0.1}, base="once"),
        {"section": "sampling", "name": "moons-cnf", "case": "batch 1", "status": "not reached"},
        {"section": "sampling", "name": "wine-mlp", "case": "batch 1", "status": "failed", "reason": "it | failed"},
    ]
    return {
        "format": 1,
        "command": "python -m benchmarks",
        "quick": False,
        "given_seconds": 900.0,
        "spent_seconds": 840.2,
        "ended": "complete",
        "machine": {
            "date": "2026-01-02 03:04 UTC",
            "commit": "0123456789ab",
            "python": "3.11.7",
            "processor": "A processor",
            "cores": 2,
            "gpu": None,
            "versions": {"numpy": "2.4.6"},
        },
        "cells": found,
    }


def test_results_are_the_same_after_their_file(fixed, tmp_path):
    path = tmp_path / "results.json"
    results.write(fixed, path)
    assert results.read(path) == fixed
    assert [each.name for each in tmp_path.iterdir()] == ["results.json"]


def broken(fixed, change):
    changed = json.loads(json.dumps(fixed))
    change(changed)
    return changed


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda r: r.update(format=2), "does not hold results"),
        (lambda r: r.pop("machine"), "does not hold results"),
        (lambda r: r["cells"].append(r["cells"][0]), "stands there twice"),
        (lambda r: r["cells"][0].pop("case"), "a cell has"),
        (lambda r: r["cells"][0].update(section="other"), "no such section"),
        (lambda r: r["cells"][0].update(status="failed"), "without a reason"),
        (lambda r: r["cells"][0].pop("numbers"), "has no numbers"),
        (lambda r: r["cells"][0]["numbers"].update(x=float("nan")), "numbers are finite"),
        (lambda r: r["cells"][0]["engines"]["copy, GB/s"].pop("low"), "is not high, least, low"),
        (lambda r: r["cells"][0]["engines"]["copy, GB/s"].update(low=99.0), "are not in order"),
        (lambda r: r["cells"][0]["unavailable"].update(x=None), "has a reason"),
    ],
)
def test_what_is_no_result_is_refused(fixed, change, told, tmp_path):
    with pytest.raises(ValueError, match=told):
        results.write(broken(fixed, change), tmp_path / "x.json")
    assert list(tmp_path.iterdir()) == []


def test_files_that_hold_no_results_are_refused_in_a_sentence(tmp_path):
    with pytest.raises(ValueError, match=r"cannot read .*x\.json"):
        results.read(tmp_path / "x.json")
    (tmp_path / "x.json").write_text("{")
    with pytest.raises(ValueError, match="is not JSON"):
        results.read(tmp_path / "x.json")


def test_the_page_has_every_section_and_every_figure(fixed):
    text = page.page(fixed)
    assert text.startswith("# Benchmarks\n\nMeasured on 2026-01-02 03:04 UTC at commit 0123456789ab by")
    assert "draft" not in text
    for title in cells.SECTIONS.values():
        assert f"\n## {title}\n" in text
    assert "### mnist-unet\n\nMilliseconds a step, and times as fast as torch, eager:\n" in text
    assert "| zoo, ONNX Runtime | 50.0 (45.0-60.0), 2.00 × | 50.0 (45.0-60.0), 2.00 × |" in text
    assert "| zoo list | 0.350 (0.315-0.420) |" in text
    assert "- Node: Node is not installed" in text
    assert "- not reached (moons-cnf, batch 1)" in text
    assert "- failed: it | failed (wine-mlp, batch 1)" in text
    # tables apart, lines are as short as those of other pages
    assert all(len(line) <= 120 for line in text.splitlines() if not line.startswith("|"))
    assert "**A quick run: a draft," in " ".join(page.page({**fixed, "quick": True}).split())


def test_goals_say_what_is_reached_and_by_how_much_not(fixed):
    found = {goal.goal: goal for goal in goals.goals(fixed)}
    compiled = found["at least 1.1 × `torch.compile` at every batch"]
    assert compiled.measured.startswith(
        "least 1.04 × (mnist-unet, batch 1; quartiles 1.03 to 1.05), most 1.20 ×, of 2 cells"
    )
    assert compiled.verdict == "no: 1 of 2 below, the worst by 5%"
    assert compiled.why
    assert found["int8 at least 1.8 × float32 (mnist-unet)"].verdict == "yes"
    assert found["coupling flows at least 3 × nflows, both ways"].measured.startswith("least 2.50 ×")
    assert found["coupling flows at least 3 × zuko, both ways"].verdict == "yes"
    assert found["samples of the 64-D MAF at least 90 × zuko"].measured == "100 ×"
    assert found["a fused run at most 1.02 × the loop's time"].verdict == "no: by 3%"
    assert found["`zoo list` under 0.3 s of CPU"].verdict == "no: by 0.05 s"
    assert found["`zoo list` under 0.3 s of CPU"].why == "python, nothing alone takes 0.02 s"
    assert found["a first digit from a cold process under 0.6 s of CPU"].verdict == "yes"
    # 16 GFLOP in the least time of 0.04 s, at a peak of 800 GFLOP/s
    assert found["mnist-unet at batch 16: share of the machine's peak product"].measured == "50%"
    nothing = goals.goals({**fixed, "cells": []})
    assert [goal.goal for goal in nothing] == list(found)
    assert all(goal.reached is None and not goal.measured for goal in nothing)


def changed(results, section, name, case, change):
    """The results with one cell changed."""
    copied = json.loads(json.dumps(results))
    change(next(e for e in copied["cells"] if (e["section"], e["name"], e["case"]) == (section, name, case)))
    return copied


@pytest.mark.parametrize(
    ("change", "goal", "verdict"),
    [
        (
            lambda cell: cell["times"]["int8"].update(turns=4),
            "int8 at least 1.8 × float32 (mnist-unet)",
            "undecided: 1 of 1 have fewer than 5 turns",
        ),
        (
            lambda cell: cell["times"]["int8"].update(low=1.7),
            "int8 at least 1.8 × float32 (mnist-unet)",
            "undecided: the quartiles of the turns enclose 1.8 ×",
        ),
        # medians alone are no ratio: nothing says that both were measured under the same load
        (lambda cell: cell["times"].clear(), "int8 at least 1.8 × float32 (mnist-unet)", ""),
    ],
)
def test_goals_are_decided_by_the_spread_of_paired_turns_alone(fixed, change, goal, verdict):
    found = {each.goal: each for each in goals.goals(changed(fixed, "variants", "mnist-unet", "int8", change))}
    assert found[goal].verdict == verdict


def test_peers_of_another_size_are_not_compared(fixed):
    sizes = {"parameters of zuko": 1060.0, "parameters of nflows": 1040.0, "parameters of zoo, ONNX Runtime": 1000.0}
    cell = ("flows", "nsf-coupling-64", "density, batch 256")
    found = {g.goal: g for g in goals.goals(changed(fixed, *cell, lambda each: each["numbers"].update(sizes)))}
    assert found["coupling flows at least 3 × zuko, both ways"].measured == ""
    assert found["coupling flows at least 3 × nflows, both ways"].measured.startswith("least 2.50 ×")


def test_ratios_are_taken_turn_by_turn_and_not_of_engines_of_another_size():
    calls = {"zuko": int, "nflows": int, "FrEIA": int, results.OURS: int}
    result = results.compared(calls, 0.01, base="zuko", unequal=["FrEIA"], turns=3)
    assert set(result["engines"]) == set(calls)
    assert set(result["times"]) == {"zuko", "nflows", results.OURS, results.beside("nflows", results.OURS)} - {"zuko"}
    assert result["times"][results.OURS]["turns"] == len(range(3))


def test_a_peer_is_as_wide_as_brings_it_to_the_number_of_parameters():
    def build(kind):
        net = nn.Sequential(nn.Linear(kind.size, kind.hidden), nn.Linear(kind.hidden, kind.hidden))
        return net, net.forward, net.forward

    kind = flows.Comparison(2, 1, 200, 1, None)
    peer, count = flows.sized(build, kind, 5000)
    assert count == flows.parameters(peer[0])
    assert abs(count / 5000 - 1) <= goals.SAME_SIZE


def test_the_page_and_its_plots_are_written_from_the_json_by_one_command(fixed, tmp_path):
    results.write(fixed, tmp_path / "results.json")
    command = [sys.executable, "-m", "benchmarks", "--page", "-o", tmp_path / "results.json"]
    given = {"cwd": ROOT, "capture_output": True, "text": True, "check": False}
    done = subprocess.run([*command, "--to", tmp_path / "docs" / "page.md"], **given)
    assert done.returncode == 0, done.stderr
    text = (tmp_path / "docs" / "page.md").read_text()
    drawn = re.findall(r"\]\((images/[\w-]+\.svg)\)", text)
    assert drawn == ["images/benchmarks-sampling-times.svg", "images/benchmarks-scaling-batch.svg"]
    for each in drawn:
        svg = (tmp_path / "docs" / each).read_text()
        assert svg.startswith("<?xml")
        assert str(tmp_path) not in svg
    wrong = subprocess.run([*command[:-1], tmp_path / "none.json"], **given)
    assert (wrong.returncode, wrong.stderr) == (
        1,
        f"Error: cannot read {tmp_path}/none.json: No such file or directory\n",
    )


def test_a_page_of_a_quick_run_does_not_replace_the_page(fixed, tmp_path, monkeypatch, capsys):
    results.write({**fixed, "quick": True}, tmp_path / "quick.json")
    before = run.PAGE.read_bytes() if run.PAGE.exists() else None
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--page", "-o", str(tmp_path / "quick.json")])
    assert run.main("", 0.0) == 1
    assert "are of --quick: pass --to with another file" in capsys.readouterr().err
    assert (run.PAGE.read_bytes() if run.PAGE.exists() else None) == before


@pytest.mark.parametrize("given", [["--quick"], ["--only", "flows"]])
def test_part_of_a_run_does_not_replace_the_results_of_a_whole_one(fixed, given, tmp_path, monkeypatch):
    output = tmp_path / "results.json"
    results.write(fixed, output)
    before = output.read_bytes()
    monkeypatch.setattr(sys, "argv", ["benchmarks", "--again", "-o", str(output), *given])
    with pytest.raises(SystemExit, match="pass another file by -o"):
        run.main("", 0.0)
    assert output.read_bytes() == before


def test_exports_go_on_where_they_were_stopped_and_stages_stand_in_their_columns(tmp_path, monkeypatch):
    asked = []

    def stages_of(python, model, options):
        asked.append(model)
        if asked == ["a", "b"]:
            raise exports.click.ClickException("b was stopped")
        return {"imports, and the model": 3.0, "planning": 1.0, "proving the model in PyTorch": 2.0, "tracing g": 5.0}

    monkeypatch.setattr(exports, "stages_of", stages_of)
    path = tmp_path / "exports.json"
    with pytest.raises(exports.click.ClickException, match="b was stopped"):
        exports.stored_in(path, ["a", "b"])
    stored = exports.stored_in(path, ["a", "b"])
    assert asked == ["a", "b", "b"]
    assert [each["model"] for each in stored] == ["a", "b"]
    assert exports.table(stored).splitlines()[-1].startswith("| b | 4.00 | 5.00 | 2.00 | 11.00 |")
    # of another commit, nothing is kept
    monkeypatch.setattr(exports, "machine", lambda: {**run.machine(), "commit": "another"})
    exports.stored_in(path, ["a"])
    assert asked == ["a", "b", "b", "a"]


def test_the_plan_has_every_section_and_no_cell_twice():
    plan = cells.planned()
    assert len({cell.key for cell in plan}) == len(plan)
    assert {cell.section for cell in plan} == set(cells.SECTIONS)
    quick = cells.planned(quick=True)
    assert {cell.section for cell in quick} == set(cells.SECTIONS) - {"conditions"}
    assert {cell.section for cell in cells.planned(["flows"])} == {"flows"}
    sampled = {(cell.name, cell.case) for cell in plan if cell.section == "sampling"}
    cards = [ModelCard.from_folder(path.parent) for path in (ROOT / "plugins" / "zoo_models").glob("*/card.json")]
    assert sampled == {(card.name, f"batch {batch}") for card in cards for batch in cells.BATCHES}


def test_what_measures_a_cell_takes_its_arguments():
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    for cell in cells.planned():
        module, _, name = cell.function.partition(":")
        function = getattr(importlib.import_module(f"suite.{module}"), name)
        inspect.signature(function).bind("given", **cell.arguments)


class Answering:
    """Stands for the process that measures; ``answers`` has what it says of cells, in turn."""

    def __init__(self, answers):
        self.answers, self.asked, self.warm, self.alive, self.ended = answers, [], True, True, None

    def ask(self, request, seconds):
        self.asked.append((request["section"], request["name"], request["case"], bool(request["without"])))
        answer = self.answers.pop(0)
        if isinstance(answer, BaseException):
            raise answer
        return answer

    def end(self):
        self.alive = False


@pytest.fixture
def running(tmp_path, monkeypatch, fixed):
    """``running(*answers)`` runs three cells, and gives the process that was asked and the results."""
    plan = [cell for cell in cells.planned(["sampling"]) if cell.name == "mnist-unet"]
    monkeypatch.setattr(cells, "planned", lambda sections, quick: plan)
    monkeypatch.setattr(run, "machine", lambda: fixed["machine"])
    monkeypatch.setattr(run, "_versions", dict)
    path = tmp_path / "results.json"

    def whole(*answers, again=False):
        worker = Answering(list(answers))
        monkeypatch.setattr(run, "Asked", lambda *a: worker)
        given = run.argparse.Namespace(only=None, quick=False, output=path, again=again, seconds=1e4)
        code = run.Run(given, run.time.monotonic(), tmp_path, dict(os.environ)).whole()
        return worker, results.read(path), code

    return whole


def answer(seconds=1.0):
    cell = measured("sampling", "x", "y", {"torch, eager": seconds})
    return {name: value for name, value in cell.items() if name not in ("section", "name", "case")}


def test_a_run_that_is_stopped_goes_on_with_what_was_not_reached(running):
    _, found, code = running(answer(), KeyboardInterrupt())
    assert (code, found["ended"]) == (1, "by SIGINT")
    assert [entry["status"] for entry in found["cells"]] == ["measured", "not reached", "not reached"]
    worker, found, code = running(answer(2.0), {"status": "failed", "reason": "it broke"})
    assert [key[2] for key in worker.asked] == ["batch 1", "batch 256"]
    assert (code, found["ended"]) == (0, "complete")
    assert [entry["status"] for entry in found["cells"]] == ["measured", "measured", "failed"]
    assert found["cells"][0]["engines"]["torch, eager"]["median"] == 1.0
    # what failed is tried again; all of it only if that is asked for
    worker, found, _ = running(answer(3.0))
    assert [key[2] for key in worker.asked] == ["batch 256"]
    worker, found, _ = running(answer(), answer(), answer(), again=True)
    assert len(worker.asked) == 3


def test_what_compiles_for_too_long_costs_its_model_the_compiler_alone(running):
    worker, found, _ = running(None, answer(), answer(), answer())
    assert [key[2:] for key in worker.asked] == [
        ("batch 16", False),
        ("batch 16", True),
        ("batch 1", True),
        ("batch 256", True),
    ]
    assert {entry["status"] for entry in found["cells"]} == {"measured"}


def test_results_of_another_machine_are_not_mixed_in(running, fixed):
    running(answer(), answer(), answer())
    fixed["machine"]["commit"] = "another"
    with pytest.raises(SystemExit, match="pass --again to measure everything again"):
        running(answer())
