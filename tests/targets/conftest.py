"""Small bundles of every kind that the targets pack, exported once, and what samples them."""

import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from zoo.bundle import open_bundle
from zoo.errors import MissingDependencyError
from zoo.exporting import export, pack

ROOT = Path(__file__).parents[2]
#: bundles of models that are conditioned on named parts
PARTS = ROOT / "tests" / "bundles" / "parts"
SHIPPED = ROOT / "plugins" / "zoo_models"


def cooled(model):
    """A model whose samples have a temperature of their own."""
    model.temperature = 0.7
    return model


@pytest.fixture(scope="session")
def small():
    """The small models that exports are tested with."""
    spec = importlib.util.spec_from_file_location("small_models", ROOT / "tests" / "onnx" / "conftest.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="session")
def bundles(small, tmp_path_factory):
    """A function from a name to the folder of a bundle."""
    made = {}

    fused = {"sampler": "ddim", "steps": 3, "guidance": 2.5, "options": {"eta": 0.5}}
    recipes = {
        # two slots of history, guidance, and a fused graph with noise in every step
        "stepped": lambda: (
            small.unet(small.Steps, sampling={"sampler": "dpm-solver-pp", "steps": 4, "guidance": 1.5}),
            {"fused": fused},
        ),
        "fixed-steps": lambda: (small.unet(small.Steps), {"batch": 3}),
        "fixed-call": lambda: (small.Gaussian(), {"batch": 4}),
        "vector": lambda: (small.Gaussian(conditional=True), {}),
        "noisy": lambda: (small.Noisy(), {"fused": {}}),
        "cool": lambda: (cooled(small.Gaussian()), {"fused": {}}),
        "half": lambda: (small.unet(small.Steps), {"dtype": "float16"}),
    }

    def bundle(name):
        if name in recipes and name not in made:
            model, options = recipes[name]()
            made[name] = export(model, tmp_path_factory.mktemp(name) / "bundle", **options)
        return PARTS / name if (PARTS / name).is_dir() else made.get(name, SHIPPED / name / "bundle")

    return bundle


@pytest.fixture(scope="session")
def packed(bundles, tmp_path_factory):
    """A function from the names of a target and of a bundle to the packed folder."""
    made = {}

    def folder(target, name):
        if (target, name) not in made:
            place = tmp_path_factory.mktemp(f"{target}-{name}") / "packed"
            made[target, name] = pack(open_bundle(bundles(name)), place, target=target)
        return made[target, name]

    return folder


class Program:
    """A packed program, run as its users do."""

    def __init__(self, name, command, scratch):
        self.name, self.command, self.scratch = name, command, scratch

    def run(self, bundle, *arguments):
        command = [*self.command, "--bundle", bundle, *arguments]
        return subprocess.run([str(c) for c in command], capture_output=True, text=True, timeout=120, cwd=self.scratch)

    def sample(self, bundle, *arguments):
        output = self.scratch / "x.npy"
        output.unlink(missing_ok=True)
        done = self.run(bundle, *arguments, "-o", output)
        assert done.returncode == 0, done.stderr
        return np.load(output)

    def score(self, bundle, x, *arguments):
        data = self.scratch / "data.npy"
        np.save(data, x)
        done = self.run(bundle, "--score", data, *arguments)
        assert done.returncode == 0, done.stderr
        return np.array([float(line) for line in done.stdout.split()])

    def refuses(self, bundle, *arguments):
        """The one sentence with which it refuses."""
        done = self.run(bundle, *arguments)
        assert done.returncode == 1, done.stdout
        assert done.stdout == ""
        (line,) = done.stderr.splitlines()
        assert line.startswith("Error: ")
        return line.removeprefix("Error: ")


@pytest.fixture(scope="session")
def built(packed):
    """The C++ program, built once."""
    from zoo_targets.cpp import build

    if not os.environ.get("GENZOO_ONNXRUNTIME_INCLUDE"):
        pytest.skip("GENZOO_ONNXRUNTIME_INCLUDE names no folder with ONNX Runtime's C header")
    try:
        return build(packed("cpp", "moons-nsf"))
    except MissingDependencyError as error:
        pytest.skip(str(error))


@pytest.fixture
def cpp(built, tmp_path):
    """The C++ program."""
    return Program("the C++ program", [built], tmp_path)


@pytest.fixture
def python(packed, tmp_path):
    """Its sibling ``sample.py``, isolated."""
    return Program("sample.py", [sys.executable, "-I", packed("python", "moons-nsf") / "sample.py"], tmp_path)


@pytest.fixture(params=["python", "cpp"])
def program(request):
    """Each of the two."""
    return request.getfixturevalue(request.param)


@pytest.fixture
def copied(tmp_path):
    """A function that copies a bundle, for tests that damage it."""

    def copy(folder):
        return Path(shutil.copytree(folder, tmp_path / "copied"))

    return copy
