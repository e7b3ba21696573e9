"""``zoo check`` and :func:`zoo.runtime.check.check`: the proof, repeated."""

from __future__ import annotations

import json

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from zoo import weights
from zoo.bundle import GOLDEN, open_bundle
from zoo.cli import cli
from zoo.errors import BundleError
from zoo.runtime.check import check


def run(*args):
    return cli.main([str(a) for a in args], standalone_mode=False)


def golden(victim, change):
    arrays = weights.read(victim / GOLDEN)
    change(arrays)
    weights.write(victim / GOLDEN, arrays)
    victim.reseal()


def test_a_good_bundle_passes(victim, capfd):
    report = check(open_bundle(victim.folder), "cpu")
    assert report.ok
    assert {(r.what, r.output, r.cases) for r in report.rows} == {
        ("graph inverse", "x", 1),
        ("graph log_prob", "log_prob", 1),
        ("log_prob", "log_prob", 1),
    }
    assert run("check", victim.folder, "--provider", "cpu", "--json") == 0
    told = json.loads(capfd.readouterr().out)
    assert told["ok"] is True
    assert all(row["difference"] <= row["tolerance"] for row in told["differences"])


def test_changed_weights_are_noticed_before_anything_runs(victim, capfd):
    data = bytearray((victim / "weights.safetensors").read_bytes())
    data[-1] ^= 1
    (victim / "weights.safetensors").write_bytes(data)
    assert run("check", victim.folder) == 1
    assert "altered or damaged" in capfd.readouterr().err


def test_golden_values_that_were_changed_with_their_digest_differ(victim, capfd):
    golden(victim, lambda a: a.update({"inverse/0/out/x": a["inverse/0/out/x"] + np.float32(0.01)}))
    assert run("check", victim.folder, "--provider", "cpu") == 3
    told = capfd.readouterr()
    (line,) = (each for each in told.out.splitlines() if "graph inverse" in each)
    assert line.endswith("differs")
    assert "does not compute here" in told.err


@pytest.mark.parametrize(
    ("change", "says"),
    [
        (lambda a: a.clear(), "empty"),
        (lambda a: a.update(x=np.zeros(1, np.float32)), "not named as"),
        (lambda a: a.update({"other/0/out/x": np.zeros(1, np.float32)}), "no graph 'other'"),
        (lambda a: a.update({"inverse/0/out/y": np.zeros(1, np.float32)}), "no output 'y'"),
        (lambda a: a.pop("inverse/0/in/z"), "lacks its input z"),
        (lambda a: a.update({"program:magic/0/out/x": np.zeros(1, np.float32)}), "no program 'magic'"),
        (
            # as many samples as would fill the memory, to compare with one
            lambda a: a.update(
                {"program:sample/0/in/n": np.array(1 << 31), "program:sample/0/out/x": np.zeros((1, 2), np.float32)}
            ),
            "n samples",
        ),
    ],
)
def test_golden_values_that_do_not_fit_are_refused(victim, change, says):
    golden(victim, change)
    with pytest.raises(BundleError, match=says):
        check(open_bundle(victim.folder), "cpu")


def test_a_bundle_without_golden_values_says_so(victim):
    (victim / GOLDEN).unlink()
    victim.manifest(lambda v: v["files"].pop(GOLDEN))
    with pytest.raises(BundleError, match="nothing to replay"):
        check(open_bundle(victim.folder), "cpu")
