"""``zoo check`` and :func:`zoo.runtime.check.check`: the proof, repeated."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("onnxruntime")
pytest.importorskip("onnx")

from zoo import weights
from zoo.bundle import GOLDEN, TABLES, Bundle, open_bundle, read_manifest
from zoo.cli import cli
from zoo.errors import BundleError
from zoo.runtime.check import check
from zoo.runtime.tables import TOLERANCE, compared
from zoo.samplers import BUILTIN


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
    assert "does not reproduce its golden values" in told.err


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


def stepping(folder):
    """A copy of a shipped bundle that steps."""
    shipped = Path(__file__).parents[2] / "plugins" / "zoo_models" / "moons-rectified-flow" / "bundle"
    return Bundle(Path(shutil.copytree(shipped, folder / "stepping")), read_manifest(shipped))


def test_tables_are_made_again(tmp_path):
    bundle = stepping(tmp_path)
    differences, unmade = compared(bundle, BUILTIN)
    assert {"heun-8", "ddim-10", "ddpm-100"} <= differences.keys()
    assert max(differences.values()) == 0
    assert not unmade


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("ddim-10", lambda a: a.update({n: np.full_like(v, 1e308) for n, v in a.items() if n.startswith("ddim-10/")})),
        ("ddim-20", lambda a: a["ddim-20/matrix"].__imul__(1 + 1e-6)),
        ("ddim-50", lambda a: a.update({"ddim-50/time": a["ddim-50/time"].astype(np.float32)})),
        ("ddim-50", lambda a: a.update({"ddim-50/sigma": a["ddim-50/sigma"][:-1]})),
        ("heun-8", lambda a: a.pop("heun-8/guidance")),
        ("heun-8", lambda a: a.update({"heun-8/more": np.zeros(1)})),
    ],
)
def test_tables_with_other_numbers_differ(tmp_path, name, change):
    bundle = stepping(tmp_path)
    arrays = {n: np.array(a) for n, a in weights.read(bundle.folder / TABLES).items()}
    change(arrays)
    weights.write(bundle.folder / TABLES, arrays)
    differences, _ = compared(bundle, BUILTIN)
    assert [n for n, value in differences.items() if not value <= TOLERANCE] == [name]


def test_check_tells_of_tables_that_differ_and_of_those_it_cannot_make(tmp_path, capfd, victim):
    bundle = stepping(tmp_path)
    arrays = {n: np.array(a) for n, a in weights.read(bundle.folder / TABLES).items()}
    arrays |= {n.replace("ddim-10", "magic-3"): a for n, a in arrays.items() if n.startswith("ddim-10/")}
    arrays |= {n: np.full_like(a, 1e308) for n, a in arrays.items() if n.startswith("heun-8/")}
    weights.write(bundle.folder / TABLES, arrays)
    type(victim)(bundle.folder).reseal()
    assert run("check", bundle.folder, "--provider", "cpu", "--json") == 3
    told = json.loads(capfd.readouterr().out)
    tables = {row["output"]: row["ok"] for row in told["differences"] if row["what"] == "table"}
    assert tables.pop("heun-8") is False
    assert tables
    assert all(tables.values())
    assert "magic" in told["unmade"]["magic-3"]
    arrays = {n.replace("magic-3", "ddim-x"): a for n, a in arrays.items()}
    weights.write(bundle.folder / TABLES, arrays)
    with pytest.raises(BundleError, match="not named as"):
        compared(bundle, BUILTIN)


def test_a_bundle_without_golden_values_says_so(victim):
    (victim / GOLDEN).unlink()
    victim.manifest(lambda v: v["files"].pop(GOLDEN))
    with pytest.raises(BundleError, match="nothing to replay"):
        check(open_bundle(victim.folder), "cpu")
