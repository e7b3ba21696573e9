"""``zoo run BUNDLE --sampler NAME`` without the plugin that brings the sampler: its stored tables run."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from zoo import weights
from zoo.bundle import TABLES, file_info
from zoo.runtime import load

PLAIN = Path(__file__).parents[1] / "bundles" / "before-parts" / "classes"
PARTS = Path(__file__).parents[1] / "bundles" / "parts" / "policy"


def renamed(bundle, folder):
    """A copy of a bundle whose default sampler is one that no plugin brings here, with the tables of ddim."""
    shutil.copytree(bundle, folder)
    arrays = {name.replace("ddim-", "brought-"): array for name, array in weights.read(folder / TABLES).items()}
    (folder / TABLES).unlink()
    weights.write(folder / TABLES, arrays)
    manifest = json.loads((folder / "manifest.json").read_text("utf-8"))
    assert manifest["programs"]["sample"]["sampler"] == "ddim"
    manifest["programs"]["sample"]["sampler"] = "brought"
    info = file_info(folder / TABLES)
    manifest["files"][TABLES] = {"size": info.size, "sha256": info.sha256}
    (folder / "manifest.json").write_text(json.dumps(manifest), "utf-8")
    return folder


@pytest.fixture
def brought(tmp_path):
    return renamed(PLAIN, tmp_path / "brought")


@pytest.mark.parametrize("arguments", [[], ["--sampler", "brought"], ["--sampler", "brought", "--steps", "10"]])
def test_the_stored_table_runs(zoo, brought, arguments):
    done = zoo("run", brought, *arguments, "-n", 3, "--seed", 2, "--class", "b", "--guidance", 2, "-o", "x.npy")
    assert done.exit_code == 0, done.stderr
    steps = 10 if "10" in arguments else None
    expected = load(PLAIN, "cpu").sample(3, seed=2, condition=1, guidance=2.0, steps=steps)
    np.testing.assert_array_equal(np.load("x.npy"), expected)


def test_it_runs_in_parts_previewed_and_with_named_parts(zoo, brought, tmp_path):
    chosen = ("--sampler", "brought", "--steps", 10, "-n", 2, "--seed", 1, "--class", "a")
    assert zoo("run", brought, *chosen, "-o", "whole.npy", "--previews", "p.npy").exit_code == 0
    assert zoo("run", brought, *chosen, "--stop-after", 4, "-o", "state.safetensors").exit_code == 0
    assert zoo("run", brought, "--resume", "state.safetensors", "-o", "rest.npy").exit_code == 0
    np.testing.assert_array_equal(np.load("rest.npy"), np.load("whole.npy"))
    policy = renamed(PARTS, tmp_path / "policy")
    given = ("--condition", "state=4,6", "--condition", "prompt=cab")
    assert zoo("run", policy, "--sampler", "brought", *given, "-n", 2, "--seed", 1, "-o", "a.npy").exit_code == 0
    expected = load(PARTS, "cpu").sample(2, seed=1, condition={"state": [4.0, 6.0], "prompt": "cab"})
    np.testing.assert_array_equal(np.load("a.npy"), expected)


@pytest.mark.parametrize(
    ("arguments", "hint"),
    [
        (["--sampler", "brought", "--steps", "7"], "brought runs as stored in the bundle: in "),
        (["--sampler", "brought", "-O", "eta=0.5"], "brought runs as stored in the bundle: in "),
        (["--sampler", "brougth"], ""),
        (["--sampler", "ddin"], "Did you mean ddim"),
    ],
)
def test_what_is_not_stored_is_refused_before_anything_runs(zoo, brought, tmp_path, arguments, hint):
    done = zoo("run", brought, *arguments, "--class", "a", "-o", "x.npy")
    assert done.exit_code == 2
    assert "there is no sampler named" in done.stderr
    assert hint in done.stderr
    assert not (tmp_path / "x.npy").exists()


def test_a_model_without_a_bundle_is_not_exported_for_a_sampler_that_is_not_there(zoo, tmp_path):
    card = {"format": 1, "name": "bare", "family": "diffusion", "architecture": "mlp", "event_shape": [2]}
    (tmp_path / "bare").mkdir()
    (tmp_path / "bare" / "card.json").write_text(json.dumps(card))
    done = zoo("run", "./bare", "--sampler", "brought", "-o", "x.npy")
    assert done.exit_code == 2
    assert "there is no sampler named 'brought'" in done.stderr
    assert "exporting" not in done.stderr
