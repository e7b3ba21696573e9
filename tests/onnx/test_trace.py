"""Graphs keep their symbolic sizes, say nothing of the machine, and what cannot be exported is refused."""

import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F

from zoo.errors import ExportError, ProofError
from zoo.runtime import Session
from zoo_onnx.sizes import proven_sizes, traced_sizes
from zoo_onnx.trace import trace


def run(graph, tmp_path, x):
    model = trace(graph, 18)
    ir.save(model, tmp_path / "g.onnx")
    return Session(tmp_path / "g.onnx").run({"x": x})["y"]


def test_sizes_of_an_example_are_alike_nowhere(diffusion):
    for graph in diffusion.programs().graphs:
        ports = (*graph.inputs, *graph.outputs)
        sizes = traced_sizes(ports)
        assert len(set(sizes.values())) == len(sizes)
        assert min(sizes.values()) >= 2
        assert not set(sizes.values()) & {d for p in ports for d in p.shape if isinstance(d, int)}
        if "columns" in sizes:
            assert sizes["columns"] == sizes["slots"] + 1
        assert {s["batch"] for s in proven_sizes(ports)} == {1, 2, 3, 17}


def test_names_and_symbolic_sizes_are_those_of_the_ports(graph):
    model = trace(graph(lambda x: x[:, :2] * 2, out=("batch", 2)), 18)
    (x,), (y,) = model.graph.inputs, model.graph.outputs
    assert (x.name, y.name) == ("x", "y")
    assert str(x.shape) == "[batch,4]"
    assert str(y.shape) == "[batch,2]"


def test_nothing_is_said_while_tracing(graph, capfd):
    trace(graph(lambda x: F.gelu(x)), 18)
    assert capfd.readouterr() == ("", "")


@pytest.mark.parametrize(
    "function",
    [
        lambda x: x + torch.zeros(len(x), 4),
        lambda x: x + torch.ones(int(x.shape[0]), 1),
        lambda x: torch.zeros(5, 4) if x.shape[0] == 5 else x,
        lambda x: torch.zeros(5, 4),
    ],
    ids=["len", "int", "branch", "constant"],
)
def test_a_batch_that_became_a_number_is_refused(graph, function):
    with pytest.raises(ProofError, match="batch was baked"):
        trace(graph(function), 18)


@pytest.mark.parametrize(
    ("function", "says"),
    [
        (lambda x: torch.linalg.pinv(x.T @ x)[:1] + x, "graph g cannot be exported"),
        (lambda x: x if x.sum() > 0 else -x, "graph g branches on the values of its inputs"),
        (lambda x: torch.tensor(x.numpy()), "graph g cannot be exported"),
    ],
    ids=["no translation", "data-dependent branch", "leaves torch"],
)
def test_what_onnx_cannot_express_is_refused_with_the_graph_named(graph, function, says):
    with pytest.raises(ExportError, match=says):
        trace(graph(function), 18)
