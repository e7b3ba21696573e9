"""Graphs keep their symbolic sizes, say nothing of the machine, and what cannot be exported is refused."""

import numpy as np
import onnx_ir as ir
import pytest
import torch
import torch.nn.functional as F

from zoo.bundle.scan import scan_graph
from zoo.errors import ExportError, ProofError
from zoo.programs import WIDE_COLUMNS, Graph
from zoo.programs.ports import Port
from zoo.runtime import Session
from zoo_onnx import torch_exporter
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
        if WIDE_COLUMNS in sizes:
            assert sizes[WIDE_COLUMNS] == sizes["slots"] + 2
            more = [each[WIDE_COLUMNS] - each["slots"] for each in proven_sizes(ports)]
            assert more == [1, 2, 1, 2]
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


def test_a_quotient_of_sizes_is_kept_and_divides_by_one_at_least(tmp_path):
    """A reader of bundles takes no division by what may be 0."""
    ports = (Port("each", "float32", ("each",)), Port("x", "float32", ("batch", 4)))
    gives = (Port("y", "float32", ("batch", 4)),)

    def several(each, x):
        return x * ((x.shape[0] + each.shape[0]) // each.shape[0])

    model = trace(Graph("g", several, ports, gives), 18)
    (division,) = (node for node in model.graph if node.op_type == "Div")
    assert division.inputs[1].producer().op_type == "Max"
    ir.save(model, tmp_path / "g.onnx")
    for n, k in ((1, 1), (3, 2), (2, 5)):
        feeds = {
            "each": np.arange(1, k + 1, dtype=np.float32),
            "x": np.random.default_rng(n).random((n, 4), np.float32),
        }
        expected = several(*map(torch.from_numpy, feeds.values()))
        np.testing.assert_allclose(Session(tmp_path / "g.onnx").run(feeds)["y"], expected, rtol=1e-6)
    data = ir.to_proto(model).SerializeToString()
    scan_graph(
        data,
        "g",
        opset=18,
        ir_version=model.ir_version,
        inputs=ports,
        outputs=(Port("y", "float32", ("batch", 4)),),
        files={},
    )


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


#: what needs torch's decompositions, or not
PROGRAMS = {
    "ordinary layers": (
        lambda x: F.silu(F.layer_norm(x, (4,))) @ torch.ones(4, 4) + torch.tensor([1.0, 2.0, 3.0, 4.0]),
        0,
    ),
    "conversions": (lambda x: x.to(torch.int32).to(torch.float32) + x.detach() + x.double().float(), 0),
    "no translation": (lambda x: torch.logit(x.sigmoid()) + F.threshold(x, 0.1, 0.2), 1),
    "in place": (lambda x: x.clone().add_(1.0), 0),
    "in place through a view": (lambda x: x.clone().view(-1).add_(1.0).view(x.shape), 1),
    "in place on a part": (lambda x: x.clone().index_fill_(1, torch.tensor([0]), 2.0), 1),
}


@pytest.mark.parametrize("name", PROGRAMS)
def test_a_program_is_traced_again_only_if_it_has_to_be(name, graph, tmp_path, monkeypatch):
    from torch.onnx._internal.exporter import _fx_passes

    function, again = PROGRAMS[name]
    original, calls = _fx_passes.decompose_with_registry, []
    monkeypatch.setattr(_fx_passes, "decompose_with_registry", lambda *a: calls.append(1) or original(*a))
    x = np.array([[0.5, -1.5, 2.25, 0.125], [1.0, 2.0, -3.0, 4.0]], np.float32)
    given = run(graph(function), tmp_path, x)
    np.testing.assert_allclose(given, function(torch.from_numpy(x)).numpy(), rtol=1e-6, atol=1e-6)
    assert len(calls) == again


def test_without_what_is_not_public_a_program_is_exported_all_the_same(graph, tmp_path, monkeypatch):
    monkeypatch.setattr(torch_exporter, "_registry", lambda opset: None)
    function = PROGRAMS["ordinary layers"][0]
    x = np.array([[0.5, -1.5, 2.25, 0.125]], np.float32)
    given = run(graph(lambda y: function(y) + torch.expm1(y)), tmp_path, x)
    wanted = function(torch.from_numpy(x)) + torch.expm1(torch.from_numpy(x))
    np.testing.assert_allclose(given, wanted.numpy(), rtol=1e-5, atol=1e-6)
