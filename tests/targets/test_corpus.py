"""Bundles written long ago give their golden samples in Python and in C++: see tests/bundles/README.md."""

import json
from pathlib import Path

import numpy as np
import pytest

from zoo import weights
from zoo.bundle import read_manifest

BUNDLES = Path(__file__).parents[1] / "bundles"
CORPUS = sorted(path.parent.relative_to(BUNDLES).as_posix() for path in BUNDLES.glob("*/*/manifest.json"))


def arguments_of(golden, program, folder):
    """The arguments of a program for the first golden case, and how many samples they are for."""
    given = {key.split("/", 3)[3]: value for key, value in golden.items() if key.startswith(f"{program}/0/in/")}
    words, n = ["--seed", int(given["seed"])], int(given["n"])
    for name, value in given.items():
        if name == "condition" and value.ndim == 2:
            # one vector for all: that of the first
            words, n = [*words, f"--class={','.join(map(str, value[0].tolist()))}"], 1
        elif name == "condition":
            words.append(f"--class={','.join(map(str, value.tolist()))}")
        elif name.startswith("condition/"):
            part = name.removeprefix("condition/")
            np.save(folder / f"{part}.npy", value)
            words.append(f"--condition={part}={folder / part}.npy")
    return [*words, "-n", n], n


@pytest.mark.parametrize("name", CORPUS)
def test_golden_samples_are_given_again(program, name, tmp_path):
    golden, manifest = weights.read(BUNDLES / name / "golden.safetensors"), read_manifest(BUNDLES / name)
    for subject in ("program:sample", "program:fused"):
        if f"{subject}/0/out/x" not in golden:
            continue
        arguments, n = arguments_of(golden, subject, tmp_path)
        fused = ["--fused"] if subject == "program:fused" else []
        found, expected = program.sample(BUNDLES / name, *arguments, *fused), golden[f"{subject}/0/out/x"][:n]
        np.testing.assert_allclose(found, expected, rtol=1e-4, atol=1e-4 * manifest.sample.unit(expected))


def test_a_table_with_a_column_that_the_graph_does_not_take_is_refused(program, copied):
    bundle = BUNDLES / "columns" / "unclipped"
    assert program.sample(bundle, "--seed", 0, "-n", 2, "--table", "ddpm-100").shape == (2, 3)
    folder = copied(bundle)
    manifest = json.loads((folder / "manifest.json").read_text())
    (folder / "manifest.json").write_text(json.dumps({**manifest, "format": {**manifest["format"], "version": 1}}))
    assert "states what its format, version 1, does not have" in program.refuses(folder)
    del manifest["programs"]["sample"]["unclipped_column"]
    (folder / "manifest.json").write_text(json.dumps(manifest))
    assert program.sample(folder, "--seed", 0, "-n", 2, "--table", "ddpm-100").shape == (2, 3)
    assert "graph step takes no matrix of 3 columns for 1 slots" in program.refuses(folder, "-n", 2)


def test_what_a_plugin_brought_is_no_reason_to_refuse_but_other_tables_and_scores_are(program, tmp_path):
    bundle = BUNDLES / "brought" / "games"
    assert program.sample(bundle, "--seed", 0, "-n", 2, "--table", "ddpm-100").shape == (2, 3, 3)
    told = program.refuses(bundle, "--seed", 0, "-n", 2, "--table", "ddim-7", "-o", tmp_path / "x.npy")
    assert "there is no table ddim-7; there are ddim-10, ddim-20, ddim-4, ddim-50, ddpm-100" in told
    np.save(tmp_path / "data.npy", np.ones((2, 3, 3), np.float32))
    assert "does not score in one call" in program.refuses(bundle, "--score", tmp_path / "data.npy")
