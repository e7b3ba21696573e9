"""The target ``python``: one file that needs numpy and onnxruntime, and nothing of ours."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import zoo_targets.python
from zoo import noise
from zoo.errors import ProofError
from zoo.noise import Stream
from zoo.runtime import load
from zoo_targets.python import verify

#: runs sample.py where nothing can be imported but the standard library, numpy and onnxruntime with what they need
VECTORS = json.loads((Path(__file__).parents[1] / "core" / "golden" / "noise.json").read_text())
ISOLATED = """
import runpy, sys

class Refuse:
    allowed = {*sys.stdlib_module_names, "numpy", "onnxruntime", "flatbuffers", "google", "packaging", "coloredlogs"}
    def find_spec(self, name, path=None, target=None):
        if name.partition(".")[0] not in self.allowed:
            raise ModuleNotFoundError(f"{name} is not to be imported")

sys.meta_path.insert(0, Refuse())
program, sys.argv = sys.argv[1], sys.argv[1:]
runpy.run_path(program, run_name="__main__")
print(*sorted({name.partition(".")[0] for name in sys.modules}))
"""


@pytest.fixture
def module(packed):
    """sample.py as a module."""
    namespace = {"__name__": "sample", "__file__": str(packed("python", "moons-nsf") / "sample.py")}
    exec(compile(Path(namespace["__file__"]).read_text(), namespace["__file__"], "exec"), namespace)
    return namespace


def test_it_is_one_file_of_at_most_420_lines(packed):
    folder = packed("python", "moons-nsf")
    assert sorted(path.name for path in folder.iterdir()) == ["README.md", "bundle", "sample.py"]
    lines = (folder / "sample.py").read_text().splitlines()
    assert len(lines) <= 420
    assert max(map(len, lines)) <= 120


def test_it_needs_numpy_and_onnxruntime_alone(packed, tmp_path):
    folder = packed("python", "digits-nsf")
    command = [sys.executable, "-I", "-c", ISOLATED, folder / "sample.py", "-n", "2", "-o", tmp_path / "x.npy"]
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    imported = set(done.stdout.splitlines()[-1].split())
    assert {"numpy", "onnxruntime"} <= imported
    assert not imported & {"torch", "zoo", "onnx", "safetensors", "zoo_targets"}
    np.testing.assert_allclose(np.load(tmp_path / "x.npy"), load(folder / "bundle", "cpu").sample(2, seed=0), atol=1e-3)


def test_it_finds_its_bundle_from_anywhere(packed, tmp_path):
    folder = packed("python", "moons-nsf")
    done = subprocess.run([sys.executable, folder / "sample.py"], capture_output=True, text=True, cwd=tmp_path)
    assert done.stdout == done.stdout.lstrip()
    assert done.stdout.startswith("samples.npy: float32 [1, 2], ")
    assert (tmp_path / "samples.npy").is_file()


@pytest.mark.parametrize("size", [1, 4, 7])
def test_its_noise_is_the_specified_noise(module, size):
    samples = np.array([0, 1, 5, 2**32 - 1])
    for seed in (0, 2**64 - 1):
        for kind, draw in (("normal", noise.normal), ("uniform", noise.uniform), ("gumbel", noise.gumbel)):
            given = module["noise"](kind, seed, samples, (size,), 3, 1)
            single = [draw(seed, 1, (size,), first=int(i), step=3, stream=Stream.STEP)[0] for i in samples]
            np.testing.assert_array_equal(given, np.stack(single))


def test_its_noise_is_that_of_the_table(module):
    for case in VECTORS["cases"]:
        samples = np.array([case["sample"]])
        given = module["noise"](case["distribution"], case["seed"], samples, (8,), case["step"])[0]
        np.testing.assert_allclose(given, case["values"], rtol=1.2e-7, atol=1e-9)


def test_it_is_a_library_too(module, packed):
    model = module["Model"](packed("python", "digits-nsf") / "bundle")
    x = model.sample(3, seed=2, condition=[1, 2, 3], batch=2)
    reference = load(packed("python", "digits-nsf") / "bundle", "cpu")
    np.testing.assert_allclose(x, reference.sample(3, seed=2, condition=[1, 2, 3]), atol=1e-3)
    np.testing.assert_allclose(model.log_prob(x, 4, batch=2), reference.log_prob(x, condition=4), rtol=1e-5)
    with pytest.raises(ValueError, match="there is no class x"):
        model.sample(1, condition="x")
    with pytest.raises(ValueError, match="a seed is 0 to"):
        model.sample(1, seed=-1)


@pytest.mark.parametrize("name", ["moons-nsf", "digits-nsf", "vector", "stepped"])
def test_it_verifies(packed, name):
    assert verify(packed("python", name)) == "3 samples by sample.py"


def test_a_program_that_gives_other_samples_fails_the_check(packed, tmp_path, monkeypatch):
    wrong = tmp_path / "sample.py"
    wrong.write_text(zoo_targets.python.RUNTIME.read_text().replace("0xD2511F53", "0xD2511F51"))
    folder = tmp_path / "packed"
    folder.mkdir()
    (folder / "bundle").symlink_to(packed("python", "moons-nsf") / "bundle")
    monkeypatch.setattr(zoo_targets.python, "RUNTIME", wrong)
    (folder / "sample.py").write_text(wrong.read_text())
    with pytest.raises(ProofError, match=r"sample.py gives samples that differ by .* from those of genzoo's runtime"):
        verify(folder)
    (folder / "sample.py").write_text("raise SystemExit('Error: no such luck')")
    with pytest.raises(ProofError, match=r"sample.py fails: no such luck"):
        verify(folder)
