"""Modules that are alike are traced once, and those that are not are told apart."""

import numpy as np
import pytest
import torch
from torch import nn

from zoo.errors import ExportError
from zoo.models.building import build
from zoo.registry import Registry
from zoo_flows.nice import NICE
from zoo_onnx import graph_writing
from zoo_onnx.alike import TensorsAsInputs, float_tensors, kind
from zoo_onnx.export import _traced
from zoo_onnx.graph_writing import compose


class Layer(nn.Module):
    def __init__(self, factor=2.0, order=(0, 1), scale=1.0):
        super().__init__()
        self.linear = nn.Linear(2, 2)
        self.register_buffer("order", torch.tensor(order))
        self.register_buffer("scale", torch.tensor(scale))
        self.factor, self.options = factor, {"names": ["a", "b"], "call": torch.tanh}

    def forward(self, x):
        return self.scale * torch.tanh(self.factor * self.linear(x[:, self.order]))


def test_weights_may_differ():
    assert kind(Layer()) == kind(Layer())
    assert kind(Layer(scale=3.0)) == kind(Layer())
    assert set(float_tensors(Layer())) == {"linear.weight", "linear.bias", "scale"}


def plain_tensor(layer):
    layer.mask = torch.ones(2)


def other_function(layer):
    layer.options["call"] = torch.sin


def longer(layer):
    layer.linear = nn.Linear(2, 3)


def in_training(layer):
    layer.linear.train(not layer.linear.training)


@pytest.mark.parametrize("change", [plain_tensor, other_function, longer, in_training])
def test_everything_else_is_compared(change):
    other = Layer()
    change(other)
    assert kind(other) != kind(Layer())
    assert kind(other) is not None


def test_numbers_and_indices_are_compared():
    assert kind(Layer(factor=3.0)) != kind(Layer())
    assert kind(Layer(factor=2)) != kind(Layer())
    assert kind(Layer(order=(1, 0))) != kind(Layer())


def test_what_cannot_be_compared_is_alike_nothing():
    hooked, shared, held = Layer(), Layer(), Layer()
    hooked.linear.register_forward_hook(lambda *_: None)
    shared.again = shared.linear
    held.lock = object()
    assert [kind(each) for each in (hooked, shared, held)] == [None, None, None]


class Bounds:
    """Holds its values in a slot beside what it holds as any object does."""

    __slots__ = ("__dict__", "low")

    def __init__(self, low):
        self.low = low


def method(layer, name):
    layer.act = getattr(layer, name)


def slot(layer, low):
    layer.bounds = Bounds(low)


@pytest.mark.parametrize(
    ("change", "values"), [(method, ("double", "half")), (slot, (1.0, 2.0))], ids=["methods", "slots"]
)
def test_attributes_whose_content_cannot_be_seen_are_alike_nothing(change, values):
    kinds = []
    for value in values:
        layer = Layer()
        change(layer, value)
        kinds.append(kind(layer))
    assert kinds == [None, None]


def test_a_module_takes_the_tensors_of_another():
    one, other = Layer(), Layer(scale=3.0)
    x = torch.randn(4, 2)
    assert torch.equal(TensorsAsInputs(one)(x, *float_tensors(other).values()), other(x))
    assert torch.equal(one(x), TensorsAsInputs(one)(x, *float_tensors(one).values()))


@pytest.fixture(scope="module")
def flow():
    torch.manual_seed(0)
    model = NICE(event_shape=[3], transforms=8, hidden=8, blocks=1, condition={"kind": "classes", "size": 3})
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.3 * torch.randn(parameter.shape))
    return model.eval().requires_grad_(False)


def graph_of(flow, name):
    return next(graph for graph in flow.programs().graphs if graph.name == name)


def outputs(model, feeds):
    import onnx_ir as ir
    import onnxruntime

    session = onnxruntime.InferenceSession(ir.to_proto(model).SerializeToString())
    return session.run(None, feeds)[0]


@pytest.mark.parametrize("name", ["nice", "nsf-coupling", "nsf-circular", "maf", "tarflow", "residual", "planar"])
def test_transforms_of_the_built_in_flows_are_alike(name):
    transforms = build(Registry.discover(), name, {"event_shape": [4]}).frozen().transforms
    first = [each for each in transforms if type(each) is type(transforms[0])]
    kinds = [kind(each) for each in first]
    assert None not in kinds
    # halves that take turns make two kinds of couplings
    assert len(set(kinds)) <= 2 < len(first)


@pytest.mark.parametrize(("name", "port"), [("inverse", "z"), ("log_prob", "x")])
def test_a_composed_graph_computes_the_same_with_a_few_traces(flow, name, port, monkeypatch):
    traced, original = [], graph_writing.trace
    monkeypatch.setattr(graph_writing, "trace", lambda *given: traced.append(1) or original(*given))
    graph = graph_of(flow, name)
    model = compose(graph, 18)
    assert 0 < len(traced) < len(flow.transforms)
    feeds = {port: np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)}
    feeds["condition"] = np.array([0, 1, 2, 1, 0], np.int32)
    expected = graph.module(*map(torch.from_numpy, feeds.values()))
    np.testing.assert_allclose(outputs(model, feeds), expected.numpy(), rtol=1e-5, atol=1e-5)


def test_what_cannot_be_composed_is_traced_as_a_whole(flow, monkeypatch):
    def refused(*_):
        raise ExportError("a part")

    monkeypatch.setattr("zoo_onnx.export.compose", refused)
    model = _traced(graph_of(flow, "inverse"), 18)
    assert [value.name for value in model.graph.inputs] == ["z", "condition"]


def test_a_flow_of_few_transforms_is_traced_as_a_whole():
    graphs = NICE(event_shape=[2], transforms=2, hidden=8, blocks=1).programs().graphs
    assert [graph.composed for graph in graphs] == [None, None]
