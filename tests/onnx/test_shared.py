"""Networks that graphs share: traced once, written into each, and the same as they are in PyTorch."""

from functools import partial

import onnx_ir as ir
import pytest
import torch
from torch import nn

from zoo.errors import ProofError
from zoo.models import calls, derivatives
from zoo.programs import Graph
from zoo.programs.ports import Port
from zoo.runtime import Session
from zoo_onnx.shared import Networks
from zoo_onnx.trace import trace


class Network(nn.Module):
    """Tells ``seen`` that it is called; takes x, something that may be absent, and classes."""

    def __init__(self, inner=None):
        super().__init__()
        self.layer, self.embedding = nn.Linear(4, 4), nn.Embedding(3, 4)
        self.inner = inner
        self.seen = lambda: None

    def forward(self, x, absent, classes):
        assert absent is None
        self.seen()
        y = torch.tanh(self.layer(x) + self.embedding(classes.long()))
        return y if self.inner is None else self.inner(y)


@pytest.fixture
def network():
    torch.manual_seed(0)
    return Network().eval()


def graphs(network):
    """Two graphs of one network: one calls it twice at other batches, one takes its derivative."""
    x, c = Port("x", "float32", ("batch", 4)), Port("c", "int32", ("batch",))

    def call(x, c):
        return calls.called(network, (x, None, c), (4,))

    def step(x, c):
        both = call(torch.cat([x, 2 * x]), torch.cat([c, c]))
        return both[: x.shape[0]] + call(x, c)

    def divergence(x, c):
        return derivatives.jvp(lambda y: call(y, c) * y, x, torch.ones_like(x))

    y, t = Port("y", "float32", ("batch", 4)), Port("t", "float32", ("batch", 4))
    return [Graph("step", step, (x, c), (y,)), Graph("divergence", divergence, (x, c), (y, t))]


def outputs(graph, networks, folder):
    """What a traced graph gives, and what PyTorch does."""
    ir.save(trace(graph, 18, networks), folder / f"{graph.name}.onnx")
    x, c = torch.linspace(-1, 1, 12).reshape(3, 4), torch.tensor([0, 2, 1], dtype=torch.int32)
    result = Session(folder / f"{graph.name}.onnx").run({"x": x.numpy(), "c": c.numpy()})
    with torch.no_grad():
        wanted = graph.module(x, c)
    wanted = wanted if isinstance(wanted, tuple) else (wanted,)
    return [torch.from_numpy(result[port.name]) for port in graph.outputs], wanted


def test_one_trace_serves_all_graphs(network, tmp_path):
    networks, seen = Networks(), []
    network.seen = partial(seen.append, 1)
    step, divergence = graphs(network)
    traced = [trace(each, 18, networks) for each in (step, divergence)]
    assert len(seen) == 1
    for model, count in zip(traced, (2, 2), strict=True):
        assert not [node for node in model.graph if node.domain]
        # called twice; and once, with its derivative
        assert sum(node.op_type in ("Gemm", "MatMul") for node in model.graph) == count
    for graph in (step, divergence):
        for actual, wanted in zip(*outputs(graph, networks, tmp_path), strict=True):
            torch.testing.assert_close(actual, wanted, rtol=1e-5, atol=1e-5)


def test_a_network_with_a_derivative_of_its_own_is_traced_with_each_graph(network, tmp_path):
    network.inner = lambda y: derivatives.jvp(torch.sin, y, torch.ones_like(y))[1]
    for graph in graphs(network):
        for actual, wanted in zip(*outputs(graph, Networks(), tmp_path), strict=True):
            torch.testing.assert_close(actual, wanted, rtol=1e-5, atol=1e-5)


def test_a_network_that_branches_on_the_batch_is_refused_by_the_name_of_its_graph(network):
    network.inner = lambda y: y if y.shape[0] < 1000 else -y
    for graph in graphs(network):
        with pytest.raises(ProofError, match=f"graph {graph.name} branches on the size of batch"):
            trace(graph, 18, Networks())


def test_a_diffusion_is_traced_once(diffusion, monkeypatch):
    seen, forward = [], type(diffusion.network).forward

    def counted(self, *arguments, **options):
        seen.append(1)
        return forward(self, *arguments, **options)

    monkeypatch.setattr(type(diffusion.network), "forward", counted)
    networks = Networks()
    for graph in diffusion.programs().graphs:
        trace(graph, 18, networks)
    assert len(seen) == 1
