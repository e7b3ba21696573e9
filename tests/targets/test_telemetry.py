"""ONNX Runtime tells its makers how it is used, unless the environment says no before it starts: packed code does."""

import os
import re
import shutil
import subprocess
import sys

import pytest

from zoo.registry import installed

NAME = "ORT_DISABLE_TELEMETRY"
#: how a file begins to use ONNX Runtime on a machine; that for browsers tells nothing
STARTS = {
    ".py": re.compile(r"^(import|from) onnxruntime\b", re.M),
    ".ipynb": re.compile(r"(import|from) onnxruntime\b"),
    ".mjs": re.compile(r"await import\("),
    ".hpp": re.compile(r"\bCreateEnv\("),
    ".cpp": re.compile(r"\bCreateEnv\("),
}
PACKING = sorted(item.description.name for item in installed().items("exporter") if item.description.packs)
#: the files of each target that start ONNX Runtime
STARTING = {"python": "sample.py", "triton": "sample.py", "cpp": "include/genzoo/session.hpp", "node": "index.mjs"}


def starts(folder):
    """The files of a folder that start ONNX Runtime, and whether each says no before."""
    files = {}
    for path in folder.rglob("*"):
        pattern = STARTS.get(path.suffix)
        text = path.read_text("utf-8") if path.is_file() and pattern else ""
        if path.suffix == ".mjs" and "onnxruntime-node" not in text:
            continue
        if match := pattern and pattern.search(text):
            files[path.relative_to(folder).as_posix()] = NAME in text[: match.start()]
    return files


@pytest.mark.parametrize("target", PACKING)
def test_what_starts_onnx_runtime_says_no_before(packed, target):
    if lacks := installed().unavailable(installed().exporter(target)):
        pytest.skip(f"{target} {lacks}")
    assert starts(packed(target, "moons-nsf")) == ({STARTING[target]: True} if target in STARTING else {})


def test_the_template_of_a_target_does_so_too():
    from zoo.templates import FILES

    assert starts(FILES / "target") == {"zoo_script/script.py": True}


def quietly(command, home, **more):
    """The files that ONNX Runtime leaves in the home of a command: an identifier, and what it is about to tell."""
    home.mkdir()
    environment = {name: value for name, value in os.environ.items() if name not in (NAME, "XDG_CACHE_HOME")}
    environment |= {"HOME": str(home), **more}
    done = subprocess.run(
        [str(each) for each in command], env=environment, capture_output=True, text=True, timeout=240, cwd=home.parent
    )
    assert done.returncode == 0, done.stderr
    return [path for path in home.rglob("*") if "onnxruntime" in path.name.lower() or "deviceid" in path.name.lower()]


def test_sample_py_leaves_nothing(packed, tmp_path):
    script = packed("python", "moons-nsf") / "sample.py"
    assert not quietly([sys.executable, "-I", script, "-n", 2, "-o", tmp_path / "x.npy"], tmp_path / "home")


def test_the_program_in_cpp_leaves_nothing(built, packed, tmp_path):
    bundle = packed("cpp", "moons-nsf") / "bundle"
    assert not quietly([built, "--bundle", bundle, "-n", 2, "-o", tmp_path / "x.npy"], tmp_path / "home")


def test_the_package_for_node_leaves_nothing(packed, tmp_path):
    modules = os.environ.get("GENZOO_NODE_MODULES")
    if shutil.which("node") is None or not modules or not os.path.isdir(f"{modules}/onnxruntime-node"):
        pytest.skip("Node and, in the folder that GENZOO_NODE_MODULES names, onnxruntime-node are needed")
    script = packed("node", "moons-nsf") / "sample.mjs"
    command = ["node", script, "--runtime", "onnxruntime-node", "-n", 2, "--seed", 0, "-o", tmp_path / "x.npy"]
    assert not quietly(command, tmp_path / "home")


def test_the_converter_of_the_target_mobile_leaves_nothing(tmp_path):
    pytest.importorskip("flatbuffers")
    command = [sys.executable, "-m", "zoo", "export", "moons-nsf", "--target", "mobile", "-o", tmp_path / "mobile"]
    assert not quietly(command, tmp_path / "home", ZOO_DATA="")
