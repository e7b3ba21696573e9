"""The target ``mobile``: graphs in ORT format that give the golden values, and the operators that they need."""

import json
import re
import shutil
from pathlib import Path

import numpy as np
import onnxruntime
import pytest

from zoo import weights
from zoo.bundle import GOLDEN, MANIFEST, open_bundle, read_manifest
from zoo.errors import BundleError, ExportError, ProofError, RuntimeFailure
from zoo.exporting import pack
from zoo.runtime.session import Session
from zoo_targets import mobile

BUNDLES = ("moons-nsf", "digits-nsf", "fixed-steps", "half")


def required(folder):
    """Operators by domain, whatever the opset."""
    found = {}
    for line in (folder / mobile.OPERATORS).read_text().splitlines():
        domain, _, operators = line.split(";", 2)
        names = re.sub(r"\{[^{}]*(\{[^{}]*\}[^{}]*)*\}", "", operators)
        found.setdefault(domain, set()).update(names.split(","))
    return found


def executed(graph, cases, scratch):
    """Names of the operators that ONNX Runtime executes for a graph in ORT format, as it is in the file."""
    options = onnxruntime.SessionOptions()
    options.graph_optimization_level = onnxruntime.GraphOptimizationLevel.ORT_DISABLE_ALL
    options.enable_profiling = True
    options.profile_file_prefix = str(scratch / graph.stem)
    session = onnxruntime.InferenceSession(graph, options, providers=["CPUExecutionProvider"])
    for feeds in cases:
        session.run(None, feeds)
    events = json.loads(Path(session.end_profiling()).read_text())
    return {event["args"]["op_name"] for event in events if event.get("cat") == "Node" and "op_name" in event["args"]}


def golden_cases(folder):
    """The golden inputs of each graph."""
    found = {}
    for key, array in weights.read(folder / GOLDEN).items():
        subject, case, way, port = key.split("/", 3)
        if way == "in":
            found.setdefault(subject, {}).setdefault(case, {})[port] = array
    return {graph: list(cases.values()) for graph, cases in found.items()}


@pytest.mark.parametrize("name", BUNDLES)
def test_the_graphs_replay_the_golden_values(packed, name):
    folder = packed("mobile", name)
    manifest = read_manifest(folder)
    golden = {key.partition("/")[0] for key in weights.read(folder / GOLDEN)}
    assert set(manifest.graphs) <= golden
    cases = int(mobile.verify(folder).partition(" ")[0])
    assert cases >= len(manifest.graphs)


@pytest.mark.parametrize("name", BUNDLES)
def test_what_is_packed(packed, bundles, name):
    folder = packed("mobile", name)
    names = {path.name for path in folder.iterdir()}
    graphs = {f"{graph}.ort" for graph in read_manifest(folder).graphs}
    assert graphs <= names
    assert names - graphs <= {
        *(MANIFEST, GOLDEN, "tables.safetensors", "MODEL_CARD.md", "README.md"),
        mobile.OPERATORS,
    }
    for file in (MANIFEST, GOLDEN):
        assert (folder / file).read_bytes() == (bundles(name) / file).read_bytes()
    for graph in graphs:
        assert (folder / graph).read_bytes()[4:8] == b"ORTM"
        assert f"`{graph}`" in (folder / "README.md").read_text()


@pytest.mark.parametrize("name", BUNDLES)
def test_a_graph_in_ort_format_takes_and_gives_what_the_manifest_says(packed, name):
    folder = packed("mobile", name)
    for graph, info in read_manifest(folder).graphs.items():
        session = Session(folder / f"{graph}.ort", inputs=info.inputs, outputs=info.outputs)
        assert session.provider == "cpu"


@pytest.mark.parametrize("name", BUNDLES)
def test_the_configuration_lists_every_operator(packed, tmp_path, name):
    folder = packed("mobile", name)
    listed = required(folder)
    cases = golden_cases(folder)
    seen = set()
    for graph in read_manifest(folder).graphs:
        seen |= executed(folder / f"{graph}.ort", cases[graph], tmp_path)
    assert len(seen) > 3
    assert seen <= set().union(*listed.values())
    assert set(listed) <= {"ai.onnx", "com.microsoft"}
    # types are listed too, and comments that tell where the files lay are not
    text = (folder / mobile.OPERATORS).read_text()
    assert '["float"]' in text
    assert "#" not in text


def test_it_tells_nothing_of_the_machine_that_made_it(packed):
    for path in packed("mobile", "moons-nsf").iterdir():
        content = path.read_bytes()
        for trace in (b"genzoo-", b"site-packages", b"/tmp/"):
            assert path.name == MANIFEST or trace not in content, path.name


def test_the_same_bundle_gives_the_same_files(packed, bundles, tmp_path):
    """Graphs in ORT format list names in the order of a hash table, so those compute the same bits instead."""
    folder = packed("mobile", "digits-nsf")
    again = pack(open_bundle(bundles("digits-nsf")), tmp_path / "again", target="mobile")
    assert {path.name for path in again.iterdir()} == {path.name for path in folder.iterdir()}
    cases = golden_cases(folder)
    for path in folder.iterdir():
        if path.suffix != ".ort":
            assert (again / path.name).read_bytes() == path.read_bytes(), path.name
            continue
        assert (again / path.name).stat().st_size == path.stat().st_size
        first, second = Session(path), Session(again / path.name)
        for feeds in cases[path.stem]:
            for output, array in first.run(feeds).items():
                np.testing.assert_array_equal(second.run(feeds)[output], array)


def test_other_values_fail_the_check(packed, tmp_path):
    folder = shutil.copytree(packed("mobile", "moons-nsf"), tmp_path / "packed")
    golden = weights.read(folder / GOLDEN)
    key = next(key for key in golden if key.startswith("inverse/") and "/out/" in key)
    golden[key] = golden[key] + np.float32(0.5)
    weights.write(folder / GOLDEN, golden)
    with pytest.raises(ProofError, match=r"inverse.ort gives an output x that differs from the golden one by"):
        mobile.verify(folder)
    (folder / "inverse.ort").unlink()
    with pytest.raises(BundleError, match=r"inverse.ort does not exist"):
        mobile.verify(folder)
    (folder / "inverse.ort").write_bytes(b"\0\0\0\0ORTM" + bytes(64))
    with pytest.raises((BundleError, RuntimeFailure), match=r"inverse.ort"):
        mobile.verify(folder)


def test_a_converter_that_fails_is_said_and_leaves_nothing(bundles, tmp_path, monkeypatch):
    import onnxruntime.tools.convert_onnx_models_to_ort as tool

    def fails(*_, **__):
        raise RuntimeError("no such luck")

    monkeypatch.setattr(tool, "convert_onnx_models_to_ort", fails)
    with pytest.raises(ExportError, match="ONNX Runtime's converter fails: RuntimeError: no such luck"):
        pack(open_bundle(bundles("moons-nsf")), tmp_path / "packed", target="mobile")
    assert list(tmp_path.iterdir()) == []
