"""What the README of a target shows can be run as it stands: conditions are there, as values or as files."""

import shlex
import shutil
import subprocess
import sys

import numpy as np
import pytest

from zoo.bundle import open_bundle
from zoo.runtime import BundledModel
from zoo_targets.compare import golden_context, golden_parts

NAMES = ["policy", "vector", "digits-nsf", "maze-policy"]


def condition_of(model):
    if model.condition.kind == "classes":
        return 0
    return golden_context(model.bundle) if model.condition.plain else golden_parts(model.bundle)


def run(folder, begins, program):
    """Run the README's line that begins so, from a shell in the folder, and give its samples."""
    lines = (folder / "README.md").read_text("utf-8").splitlines()
    words = shlex.split(next(line for line in lines if line.startswith(begins)))
    done = subprocess.run(
        [*program, *words[2 if begins == "python" else 1 :]], cwd=folder, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    return np.load(folder / "samples.npy")


@pytest.mark.parametrize("name", NAMES)
@pytest.mark.parametrize("target", ["python", "cpp"])
def test_the_command_of_the_readme_runs(packed, name, target, tmp_path, request):
    folder = shutil.copytree(packed(target, name), tmp_path / "packed")
    if target == "python":
        samples = run(folder, "python", [sys.executable, "-I", "sample.py"])
    else:
        samples = run(folder, "build/sample", [str(request.getfixturevalue("built")), "--bundle", "bundle"])
    model = BundledModel(open_bundle(folder / "bundle"), "cpu")
    # a command shows few digits of what an example is
    np.testing.assert_allclose(samples, model.sample(4, seed=0, condition=condition_of(model)), rtol=1e-3, atol=1e-3)


def test_a_program_of_ones_own_reads_files_that_are_there(packed):
    folder = packed("cpp", "maze-policy")
    text = (folder / "README.md").read_text("utf-8")
    for name in ("picture", "place"):
        assert f'genzoo::read_npy("example/{name}.npy")' in text
        assert (folder / "example" / f"{name}.npy").is_file()
    assert "options.vector = {-0.6397f, 0.1623f};" in (packed("cpp", "two-moons-posterior") / "README.md").read_text()
