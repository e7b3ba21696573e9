"""Providers, damaged graphs, inputs that do not fit: every failure is a ZooError that says what to do."""

import shutil
import sys

import numpy as np
import onnx
import pytest
from onnx import TensorProto, helper

from zoo.errors import (
    BundleError,
    DataError,
    MissingDependencyError,
    ProviderError,
    RuntimeFailure,
    UnknownNameError,
    UsageError,
)
from zoo.programs.ports import Port
from zoo.runtime import Device, Session, load
from zoo.runtime.ort import onnxruntime


@pytest.fixture
def graph(flow):
    return flow / "inverse.onnx"


@pytest.fixture
def no_cuda(monkeypatch):
    """ONNX Runtime built without CUDA, also on machines that have it."""
    monkeypatch.setattr(onnxruntime(), "get_available_providers", lambda: ["CPUExecutionProvider"])


@pytest.fixture
def cuda_listed_but_not_there(monkeypatch):
    """ONNX Runtime that was built with CUDA on a machine where it cannot be used: it falls back silently."""
    ort = onnxruntime()
    if "CUDAExecutionProvider" in ort.get_available_providers():
        pytest.skip("CUDA is there")
    monkeypatch.setattr(ort, "get_available_providers", lambda: ["CUDAExecutionProvider", "CPUExecutionProvider"])


def test_auto_is_the_cpu_where_there_is_no_cuda(graph, no_cuda):
    session = Session(graph, "auto")
    assert (session.provider, session.fallback) == ("cpu", None)


def test_cuda_is_refused_where_it_was_not_built_in(graph, no_cuda):
    with pytest.raises(ProviderError, match="built without it") as caught:
        Session(graph, "cuda")
    assert "genzoo[gpu]" in caught.value.hint


def test_a_silent_fallback_is_an_error_when_cuda_was_asked_for(graph, cuda_listed_but_not_there):
    with pytest.raises(ProviderError, match=r"requested but is not in use for inverse\.onnx"):
        Session(graph, "cuda")


def test_auto_says_why_it_fell_back(graph, cuda_listed_but_not_there, capfd):
    session = Session(graph, "auto")
    assert session.provider == "cpu"
    assert "CUDA" in session.fallback
    assert capfd.readouterr() == ("", "")


def test_an_unknown_provider_is_refused(graph):
    with pytest.raises(UnknownNameError, match="no provider named 'cdua'") as caught:
        Session(graph, "cdua")
    assert caught.value.hint.startswith("Did you mean cuda")


@pytest.mark.parametrize("threads", [0, -1, 1.5, True])
def test_threads_are_counted_from_one(graph, threads):
    with pytest.raises(UsageError, match="threads"):
        Session(graph, Device(threads=threads))


def test_onnxruntime_missing_names_both_extras(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", None)
    with pytest.raises(MissingDependencyError, match="ONNX Runtime is needed to run a bundle") as caught:
        Session(graph)
    assert "genzoo[cpu]" in caught.value.hint
    assert "genzoo[gpu]" in caught.value.hint


def test_onnxruntime_half_removed_is_recognised(graph, monkeypatch):
    monkeypatch.setitem(sys.modules, "onnxruntime", type(sys)("onnxruntime"))
    with pytest.raises(RuntimeFailure, match="half installed"):
        Session(graph)


@pytest.mark.parametrize("content", [b"", b"not a graph", b"\x08\x08\x12\x05hello", b"version https://git-lfs\n"])
def test_damaged_graphs_are_told(tmp_path, content):
    path = tmp_path / "bad.onnx"
    path.write_bytes(content)
    with pytest.raises((BundleError, RuntimeFailure), match=r"bad\.onnx"):
        Session(path)


def test_a_missing_graph_is_told(tmp_path):
    with pytest.raises(BundleError, match="does not exist"):
        Session(tmp_path / "none.onnx")


def test_every_truncation_of_a_graph_is_a_zoo_error(graph, tmp_path):
    whole = graph.read_bytes()
    path = tmp_path / "cut.onnx"
    for length in range(0, len(whole), 7):
        path.write_bytes(whole[:length])
        with pytest.raises((BundleError, RuntimeFailure), match=r"cut\.onnx"):
            Session(path)


def identity(path, *, opset=18, ir_version=8, op="Identity"):
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", 2]) for n in ("x", "y")]
    body = helper.make_graph([helper.make_node(op, ["x"], ["y"])], "g", ends[:1], ends[1:])
    onnx.save(helper.make_model(body, opset_imports=[helper.make_opsetid("", opset)], ir_version=ir_version), path)
    return path


@pytest.mark.parametrize(("fields", "words"), [({"ir_version": 99}, "IR version"), ({"opset": 99}, "opset")])
def test_a_graph_newer_than_onnxruntime_says_so(tmp_path, fields, words):
    with pytest.raises(RuntimeFailure, match=words) as caught:
        Session(identity(tmp_path / "new.onnx", **fields))
    assert "upgrade" in caught.value.hint


def test_an_unknown_operator_is_told(tmp_path):
    with pytest.raises((RuntimeFailure, BundleError), match=r"op\.onnx"):
        Session(identity(tmp_path / "op.onnx", op="Nonsense"))


F32 = "float32"


@pytest.mark.parametrize(
    ("inputs", "outputs"),
    [
        ([Port("z", F32, ("batch", 2))], [Port("y", F32, ("batch", 2))]),
        ([Port("z", F32, ("batch", 3))], [Port("x", F32, ("batch", 2))]),
        ([Port("z", "int32", ("batch", 2))], [Port("x", F32, ("batch", 2))]),
        ([Port("z", F32, ("batch",))], [Port("x", F32, ("batch", 2))]),
        ([], [Port("x", F32, ("batch", 2))]),
    ],
)
def test_a_graph_other_than_the_manifest_describes_is_refused(graph, inputs, outputs):
    with pytest.raises(BundleError, match="not the graph that the manifest describes"):
        Session(graph, inputs=inputs, outputs=outputs)


@pytest.mark.parametrize(
    ("feeds", "message"),
    [
        ({"z": np.zeros((3, 2))}, r"input z is float64\[3, 2\], expected z float32\[batch, 2\]"),
        ({"z": np.zeros((3, 3), np.float32)}, r"input z is float32\[3, 3\]"),
        ({"z": np.zeros(2, np.float32)}, r"input z is float32\[2\]"),
        ({"z": np.zeros((1, 2), np.int32)}, "input z is int32"),
        ({}, "lacks its input z"),
        ({"z": np.zeros((1, 2), np.float32), "u": 1}, "no input u"),
    ],
)
def test_inputs_that_do_not_fit_are_refused(graph, feeds, message):
    with pytest.raises(DataError, match=message):
        Session(graph).run(feeds)


def test_symbolic_sizes_must_agree(diffusion):
    session = Session(diffusion / "divergence.onnx")
    scalars = {name: np.array(0.5, np.float32) for name in ("time", "alpha", "sigma")}
    with pytest.raises(DataError, match=r"input probe .* where batch = 4"):
        session.run({"x": np.zeros((4, 3), np.float32), "probe": np.zeros((5, 3), np.float32), **scalars})


def test_a_run_that_fails_names_the_graph(tmp_path):
    ends = [helper.make_tensor_value_info(n, TensorProto.FLOAT, ["batch", d]) for n, d in (("x", "k"), ("y", 2))]
    body = helper.make_graph(
        [helper.make_node("MatMul", ["x", "w"], ["y"])],
        "g",
        ends[:1],
        ends[1:],
        [helper.make_tensor("w", TensorProto.FLOAT, [3, 2], [0.0] * 6)],
    )
    onnx.save(helper.make_model(body, opset_imports=[helper.make_opsetid("", 18)], ir_version=8), tmp_path / "m.onnx")
    with pytest.raises(RuntimeFailure, match=r"cannot run m\.onnx"):
        Session(tmp_path / "m.onnx").run({"x": np.zeros((1, 4), np.float32)})


def test_values_that_were_fetched_outlive_the_session(graph):
    session = Session(graph)
    array = session.fetch(session.value(np.arange(4, dtype=np.float32)))
    del session
    np.testing.assert_array_equal(array, [0, 1, 2, 3])


def test_spaces_and_greek_in_the_path(flow, tmp_path):
    copy = shutil.copytree(flow, tmp_path / "my βundle")
    assert load(copy, "cpu").sample(2, seed=0).shape == (2, 2)
