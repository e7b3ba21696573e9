"""Graphs that models write themselves: loops, traced parts, and the inverses of autoregressive flows."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest
import torch

from zoo.bundle import open_bundle
from zoo.bundle.scan import scan_graph
from zoo.errors import ExportError, ProofError, UnknownNameError, UsageError
from zoo.exporting import export
from zoo.programs import Graph
from zoo.programs.ports import Port
from zoo.runtime import load
from zoo.runtime.check import check
from zoo_onnx.graph_writing import write

pytest.importorskip("zoo_flows.maf")
from zoo_flows.iaf import IAF
from zoo_flows.maf import MAF
from zoo_flows.naf import NAF
from zoo_flows.nsf_ar import NSFAutoregressive
from zoo_flows.pixelcnn import PixelCNN
from zoo_flows.tarflow import TarFlow
from zoo_flows.umnn import UMNN

CLASSES, VECTOR = {"kind": "classes", "size": 3}, {"kind": "vector", "size": 2}
FLOWS = {
    "maf": lambda: MAF(event_shape=[7], transforms=2, hidden=[16, 9]),
    "maf-vector": lambda: MAF(event_shape=[4], transforms=1, hidden=[8, 8, 8], residual=True, condition=VECTOR),
    "maf-narrow": lambda: MAF(event_shape=[9], transforms=1, hidden=[3, 5]),
    "maf-one": lambda: MAF(event_shape=[1], transforms=2, hidden=[4]),
    "maf-image": lambda: MAF(event_shape=[1, 2, 3], transforms=1, hidden=[8], levels=17, condition=CLASSES),
    "naf": lambda: NAF(event_shape=[3], transforms=2, units=3, hidden=[8]),
    "naf-classes": lambda: NAF(event_shape=[2], transforms=1, units=4, hidden=[8], condition=CLASSES),
    "umnn": lambda: UMNN(event_shape=[3], transforms=2, signal=3, integrand=[6, 5], hidden=[8]),
    "tarflow": lambda: TarFlow(event_shape=[6], transforms=2, patch=2, width=8, heads=2, layers=2),
    "tarflow-vector": lambda: TarFlow(event_shape=[3], transforms=2, width=4, layers=1, condition=VECTOR),
    "tarflow-inner": lambda: TarFlow(
        event_shape=[1, 4, 6],
        patch=2,
        levels=17,
        map="spline",
        bins=4,
        inner=5,
        window=1,
        transforms=2,
        width=8,
        heads=2,
        layers=2,
        marginal_bins=3,
        condition=CLASSES,
    ),
    "pixelcnn": lambda: PixelCNN(event_shape=[2, 3, 5], levels=17, width=6, blocks=2, condition=CLASSES),
    "pixelcnn-vector": lambda: PixelCNN(event_shape=[1, 3, 3], width=6, blocks=1, field=1, reach=1, condition=VECTOR),
    "pixelcnn-no-blocks": lambda: PixelCNN(event_shape=[1, 2, 3], levels=5, width=6, blocks=0, field=1),
    "nsf-ar": lambda: NSFAutoregressive(event_shape=[3], transforms=2, bins=4, hidden=[8]),
    "iaf-classes": lambda: IAF(event_shape=[5], transforms=2, hidden=[8], condition=CLASSES, mixing="lu"),
}


def flow(name, scale=0.3):
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(0)
        model = FLOWS[name]() if isinstance(name, str) else name()
        for parameter in model.parameters():
            parameter.add_(scale * torch.randn(parameter.shape))
    return model.eval()


def session(model):
    proto = ir.to_proto(model)
    onnx.checker.check_model(proto, full_check=True)
    return onnxruntime.InferenceSession(proto.SerializeToString()), proto


def written(model):
    """The graph of a flow that is written."""
    (graph,) = (g for g in model.programs().graphs if g.written)
    return graph


def operators(proto):
    found = set()
    for node in proto.node:
        found.add(node.op_type)
        for attribute in node.attribute:
            found |= operators(attribute.g)
    return found


# -- flows ------------------------


@pytest.mark.sample(
    *("maf-unroll", "maf-loop", "maf-one-loop", "maf-narrow-unroll", "maf-image-loop", "maf-vector-unroll"),
    *("naf-loop", "tarflow-vector-loop", "tarflow-inner-loop", "nsf-ar-unroll", "iaf-classes-loop", "pixelcnn-loop"),
)
@pytest.mark.parametrize("way", ["unroll", "loop"])
@pytest.mark.parametrize("name", FLOWS)
def test_it_computes_what_torch_computes(name, way):
    model = flow(name)
    graph = written(model)
    assert graph.name == ("log_prob" if name.startswith("iaf") else "inverse")
    run, proto = session(write(graph, way, 18))
    assert ("Loop" in operators(proto.graph)) == (way == "loop" and model.size > 1)
    for n in (1, 2, 17):
        feeds = {graph.inputs[0].name: np.random.default_rng(n).normal(size=(n, *model.event_shape)).astype(np.float32)}
        if model.condition is not None:
            vector = model.condition.kind == "vector"
            feeds["condition"] = model.condition.array(np.full((n, 2), 0.4) if vector else None, n)
        with torch.no_grad():
            expected = graph.module(*(torch.from_numpy(v) for v in feeds.values())).numpy()
        (given,) = run.run(None, feeds)
        np.testing.assert_allclose(given, expected, rtol=1e-4, atol=1e-4)
        assert given.shape == (n, *graph.outputs[0].shape[1:])


@torch.no_grad()
@pytest.mark.parametrize("frequent", [0, 16])
def test_rare_levels_keep_their_digits_in_a_graph(frequent):
    """A sigmoid of ONNX Runtime is off by a third at -15, and 0 from -18 on."""
    model = PixelCNN(event_shape=[1, 1, 2], levels=17, width=4, blocks=0)
    (transform,) = model.transforms
    transform.network.out.bias[frequent] = 12.0
    graph = written(model.eval())
    run, _ = session(write(graph, "loop", 18))
    noise = np.linspace(4.0, 5.7, 400, dtype=np.float32).reshape(-1, 1, 1, 2) * (1 if frequent == 0 else -1)
    expected = graph.module(torch.from_numpy(noise)).numpy()
    assert np.unique(np.floor(expected)).size > 5
    (given,) = run.run(None, {"z": noise})
    np.testing.assert_allclose(given, expected, rtol=0, atol=1e-3)


@pytest.mark.parametrize(
    ("name", "way"), [("maf", "unroll"), ("naf", "loop"), ("umnn", "loop"), ("tarflow", "loop"), ("pixelcnn", "loop")]
)
def test_long_steps_are_a_loop_unless_asked_otherwise(name, way):
    assert next(iter(written(flow(name)).written)) == way


@pytest.mark.parametrize("way", ["unroll", "loop"])
def test_what_is_written_keeps_to_the_rules_of_bundles(way):
    graph = written(flow("maf"))
    _, proto = session(write(graph, way, 18))
    proto.ir_version = 8
    ports = {"inputs": graph.inputs, "outputs": graph.outputs}
    scan_graph(proto.SerializeToString(), "g", opset=18, ir_version=8, **ports, files={})


def test_a_loop_has_one_size_whatever_the_dimension():
    nodes = {}
    for way in ("unroll", "loop"):
        for size in (6, 24):
            model = flow(lambda size=size: MAF(event_shape=[size], transforms=1, hidden=[32]))
            nodes[way, size] = sum(1 for g in write(written(model), way, 18).graphs() for _ in g)
    assert nodes["loop", 6] == nodes["loop", 24]
    assert nodes["unroll", 24] > 3 * nodes["unroll", 6]


@pytest.mark.sample("unroll")
@pytest.mark.parametrize("way", ["unroll", "loop"])
def test_a_bundle_is_proven_and_stores_each_weight_once(way, tmp_path):
    torch.manual_seed(0)
    model = MAF(event_shape=[6], transforms=2, hidden=[24, 24])
    with torch.no_grad():
        for transform in model.transforms:
            for index in range(3 if hasattr(transform, "network") else 0):
                layer = transform.network.linear(index)
                layer.weight.add_(0.2 * torch.randn(layer.weight.shape) * layer.mask)
    folder = export(model.eval(), tmp_path / "bundle", inverse=way, fused={})
    bundle = load(folder, "cpu")
    x = bundle.sample(5, seed=4)
    np.testing.assert_allclose(x, model.sample(5, seed=4).numpy(), atol=1e-4)
    np.testing.assert_allclose(bundle.sample(5, seed=4, fused=True), x, atol=1e-5)
    with torch.no_grad():
        np.testing.assert_allclose(bundle.log_prob(x), model.log_prob(torch.from_numpy(x)).numpy(), rtol=1e-4)
    assert check(open_bundle(folder), "cpu").ok
    from zoo import weights

    only_graphs = [
        k
        for k, v in weights.read(folder / "weights.safetensors").items()
        if k.startswith("graph:") and v.dtype.kind == "f"
    ]
    assert only_graphs == []
    again = export(model, tmp_path / "again", inverse=way, fused={})
    for name in ("inverse.onnx", "fused.onnx", "weights.safetensors"):
        assert (again / name).read_bytes() == (folder / name).read_bytes(), name


@pytest.mark.full
def test_a_large_flow_is_exported_in_seconds(tmp_path):
    import time

    model = flow(lambda: MAF(event_shape=[64], transforms=5, hidden=[512, 512]), scale=0.01)
    began = time.perf_counter()
    folder = export(model, tmp_path / "bundle")
    assert time.perf_counter() - began < 60
    np.testing.assert_allclose(load(folder, "cpu").sample(3, seed=0), model.sample(3, seed=0).numpy(), atol=1e-4)


def test_ways_that_are_not_there_are_refused(gaussian, tmp_path):
    with pytest.raises(UsageError, match="no graphs that are written rather than traced"):
        export(gaussian, tmp_path / "a", inverse="loop")
    with pytest.raises(UnknownNameError, match="recurse"):
        export(flow("maf"), tmp_path / "b", inverse="recurse")
    assert not list(tmp_path.iterdir())


# -- anybody's graphs -----------------


def graph_of(module, writer, outputs=1):
    return Graph(
        "g",
        module,
        (Port("x", "float32", ("batch", 3)),),
        tuple(Port(f"y{i}", "float32", ("batch", 3)) for i in range(outputs)),
        written={"plain": writer},
    )


def test_a_loop_sees_its_turn_and_what_is_around_it():
    def writer(builder, inputs):
        (x,) = inputs

        def body(builder, turn, state):
            total, _ = state
            return [builder("Add", builder("Mul", total, x), builder("Cast", turn, to=1)), x]

        total, last = builder.loop(4, [x, x], body)
        return [builder("Add", total, builder("Mul", last, np.zeros((), np.float32)))]

    def module(x):
        y = x
        for turn in range(4):
            y = y * x + turn
        return y

    run, _ = session(write(graph_of(module, writer), "plain", 18))
    x = np.random.default_rng(0).normal(size=(5, 3)).astype(np.float32)
    np.testing.assert_allclose(run.run(None, {"x": x})[0], module(torch.from_numpy(x)).numpy(), rtol=1e-5)


def test_state_may_grow():
    def writer(builder, inputs):
        (x,) = inputs
        (grown,) = builder.loop(3, [x], lambda builder, turn, state: [builder("Concat", state[0], x, axis=1)])
        return [
            builder("ReduceSum", builder("Reshape", grown, builder.integers(0, 4, 3)), builder.integers(1), keepdims=0)
        ]

    run, _ = session(write(graph_of(lambda x: 4 * x, writer), "plain", 18))
    x = np.ones((2, 3), np.float32)
    np.testing.assert_allclose(run.run(None, {"x": x})[0], 4 * x)


class Scaled(torch.nn.Module):
    calls = 0

    def __init__(self):
        super().__init__()
        self.weight = torch.nn.Parameter(0.1 * torch.arange(9.0).reshape(3, 3))

    def forward(self, x):
        type(self).calls += 1
        return torch.sin(x @ self.weight), x.sum(1)


def test_parts_are_traced_once_and_keep_their_sizes_symbolic():
    part = Scaled()

    def writer(builder, inputs):
        (x,) = inputs
        for _ in range(3):
            x, total = builder.call(part, (x, ("batch", 3)))
            x = builder("Add", x, builder("Unsqueeze", total, builder.integers(1)))
        return [x]

    def module(x):
        for _ in range(3):
            y, total = part(x)
            x = y + total[:, None]
        return x

    Scaled.calls = 0
    model = write(graph_of(module, writer), "plain", 18)
    once = Scaled.calls
    assert once < 9
    run, proto = session(model)
    assert sum(1 for i in proto.graph.initializer if np.prod(i.dims) == 9) == 1
    x = np.random.default_rng(0).normal(size=(4, 3)).astype(np.float32)
    with torch.no_grad():
        np.testing.assert_allclose(run.run(None, {"x": x})[0], module(torch.from_numpy(x)).numpy(), atol=1e-5)


def test_splits_of_any_sizes(tmp_path):
    sizes = [40, *range(1, 40), 3]

    def writer(builder, inputs):
        (x,) = inputs
        wide = builder("Expand", builder("Unsqueeze", x, builder.integers(2)), builder.integers(1, 1, sum(sizes)))
        return [builder("ReduceSum", builder.split(wide, sizes, 2)[-1], builder.integers(2), keepdims=0)]

    graph = graph_of(lambda x: 3 * x, writer)
    run, _ = session(write(graph, "plain", 18))
    np.testing.assert_allclose(run.run(None, {"x": np.ones((1, 3), np.float32)})[0], 3.0)


def test_another_number_of_outputs_is_refused():
    with pytest.raises(ExportError, match="written with 1 outputs, 2 expected"):
        write(graph_of(lambda x: (x, x), lambda builder, inputs: inputs, outputs=2), "plain", 18)


def test_a_writer_that_computes_something_else_is_not_exported(gaussian, tmp_path):
    from dataclasses import replace

    model = flow("maf")
    right = type(model).programs

    def programs(self):
        made = right(self)
        wrong = {"unroll": lambda builder, inputs: [builder("Mul", inputs[0], np.full((), 1.01, np.float32))]}
        return replace(made, graphs=(replace(made.graphs[0], written=wrong), made.graphs[1]))

    class Wrong(MAF):
        pass

    Wrong.programs = programs
    model.__class__ = Wrong
    with pytest.raises(ProofError, match="inverse"):
        export(model, tmp_path / "b")
    assert not list(tmp_path.iterdir())


@pytest.mark.full
def test_what_would_never_be_done_is_refused_with_the_way_that_is():
    """Steps within steps without a loop, for 16 components: of 100,000 nodes, writing ends at the most there may be."""
    graph, _ = NAF(event_shape=[16]).eval().programs().graphs
    with pytest.raises(
        ExportError, match="inverse has more than 50,000 nodes when it is written as 'unroll'"
    ) as caught:
        write(graph, "unroll", 18)
    assert caught.value.hint == "Export it with --inverse loop."
    assert len(list(write(graph, "loop", 18).graph)) < 500


def test_nodes_in_the_bodies_of_loops_count(monkeypatch):
    graph, _ = MAF(event_shape=[4], transforms=1, hidden=[4]).eval().programs().graphs
    monkeypatch.setattr("zoo_onnx.graph_writing.MOST_NODES", 20)
    with pytest.raises(ExportError, match="more than 20 nodes when it is written as 'loop'"):
        write(graph, "loop", 18)
