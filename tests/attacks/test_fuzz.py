"""Random damage: whatever stands in a manifest, a header or a graph, only a ZooError comes out, and soon."""

from __future__ import annotations

import io
import json
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from zoo.bundle import read_manifest
from zoo.bundle.manifest import Manifest
from zoo.bundle.scan import check_finite, read_header, scan_graph
from zoo.bundle.scan.wire import Malformed
from zoo.errors import BundleError, ZooError

pytest.importorskip("onnx")

QUICK = settings(
    max_examples=150, deadline=None, derandomize=True, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
SECONDS = 2

scalars = st.none() | st.booleans() | st.integers(-(2**70), 2**70) | st.floats() | st.text(max_size=20)
anything = st.recursive(
    scalars, lambda s: st.lists(s, max_size=4) | st.dictionaries(st.text(max_size=8), s, max_size=4)
)
edits = st.lists(
    st.tuples(st.integers(0, 1 << 16), st.integers(0, 255), st.sampled_from("sid")), min_size=1, max_size=8
)


def damaged(data: bytes, changes) -> bytes:
    """Bytes set, inserted or dropped."""
    out = bytearray(data)
    for at, byte, kind in changes:
        at %= len(out) + 1
        if kind == "i":
            out.insert(at, byte)
        elif at < len(out):
            if kind == "s":
                out[at] = byte
            else:
                del out[at]
    return bytes(out)


def only(kind, call):
    """What a call gives, or None if it raises an error of the kind that is allowed, with a sentence."""
    began = time.perf_counter()
    try:
        return call()
    except kind as error:
        message = str(error)
    finally:
        assert time.perf_counter() - began < SECONDS
    assert message
    return None


def places(value, path=()):
    """Every path into a JSON value."""
    yield path
    inner = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, child in inner:
        yield from places(child, (*path, key))


@QUICK
@given(data=st.data(), value=anything)
def test_a_manifest_with_anything_anywhere(good, data, value):
    values = json.loads((good / "manifest.json").read_text())
    *way, last = data.draw(st.sampled_from([p for p in places(values) if p]))
    target = values
    for key in way:
        target = target[key]
    target[last] = value
    manifest = only(BundleError, lambda: Manifest.from_json(json.dumps(values)))
    if manifest is not None:
        assert Manifest.from_json(manifest.to_json()) == manifest


@QUICK
@given(changes=edits)
def test_a_manifest_with_damaged_bytes(good, tmp_path, changes):
    (tmp_path / "manifest.json").write_bytes(damaged((good / "manifest.json").read_bytes(), changes))
    only(ZooError, lambda: read_manifest(tmp_path))


@QUICK
@given(changes=edits)
def test_a_graph_with_damaged_bytes(good, changes):
    manifest = read_manifest(good)
    info = manifest.graphs["inverse"]
    sizes = {name: each.size for name, each in manifest.files.items()}
    stated = {"opset": 18, "ir_version": 8, "inputs": info.inputs, "outputs": info.outputs, "files": sizes}
    only(BundleError, lambda: scan_graph(damaged((good / info.file).read_bytes(), changes), info.file, **stated))


@QUICK
@given(changes=edits, noise=st.binary(max_size=64))
def test_a_safetensors_file_with_damaged_bytes(good, changes, noise):
    data = damaged((good / "golden.safetensors").read_bytes(), changes) + noise
    file = io.BytesIO(data)
    only(Malformed, lambda: check_finite(file, read_header(file, len(data))))


@pytest.mark.parametrize(
    "operators", [["Div", "Mod", "GatherND", "Split", "Range", "Resize", "Gather"], []], ids=["worst", "all"]
)
def test_random_nodes_that_are_let_through_do_not_end_the_process(operators):
    pytest.importorskip("onnxruntime")
    command = [sys.executable, str(Path(__file__).with_name("nodes.py")), "0", "150", *operators]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
    last = (done.stdout.splitlines() or [""])[-1]
    assert done.returncode == 0, f"{last}\n{done.stderr[-500:]}"
    ran = int(last.removeprefix("ran "))
    assert ran > 10
