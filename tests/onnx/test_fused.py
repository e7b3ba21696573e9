"""The whole sampler in one graph: the same samples as the loop, in one call of a bare ONNX Runtime session."""

import numpy as np
import onnx
import onnx_ir as ir
import onnxruntime
import pytest

from zoo import noise
from zoo.bundle import open_bundle
from zoo.errors import UnknownNameError, UsageError
from zoo.exporting import export
from zoo.noise import Stream
from zoo.runtime import load
from zoo.runtime.check import check
from zoo_onnx import noise as noise_graph
from zoo_onnx.build import Builder

ALTERNATIVES = {
    "history": {"sampler": "dpm-solver-pp", "steps": 4},
    "noise": {"sampler": "ddpm", "steps": 3, "guidance": 1.0},
    "guided": {"sampler": "ddim", "steps": 3, "guidance": 2.5, "options": {"eta": 0.5}},
    "ignored": {"sampler": "heun", "steps": 2, "guidance": 0.0},
}


def scalar(name):
    return ir.Value(name=name, type=ir.TensorType(ir.DataType.INT64), shape=ir.Shape(()))


@pytest.mark.parametrize("distribution", noise.DISTRIBUTIONS)
@pytest.mark.parametrize("shape", [(5,), (2, 4)])
def test_noises_of_one_call_in_a_graph_are_those_of_numpy(shape, distribution):
    builder = Builder("t.")
    seed, first, n, step = inputs = [scalar(name) for name in ("seed", "first", "n", "step")]
    each = noise.Noise("z", shape, distribution)
    z = noise_graph.drawn(builder, noise_graph.key(builder, seed), first, n, each, step)
    z.type, z.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(("batch", *shape))
    model = ir.to_proto(ir.Model(builder.graph(inputs, [z], "noise", 18), ir_version=8))
    session = onnxruntime.InferenceSession(model.SerializeToString())
    feeds = {"seed": np.array(5), "first": np.array(3), "n": np.array(6), "step": np.array(2)}
    others = (noise.Noise("a", (1,)), noise.Noise("b", (7,), "gumbel"))
    expected = noise.drawn((*others, each), 5, 6, first=3)["z"]
    np.testing.assert_allclose(session.run(None, feeds)[0], expected, rtol=0, atol=2e-6)


@pytest.mark.parametrize("shape", [(1,), (5,), (1, 4, 4)])
def test_noise_in_a_graph_is_that_of_numpy(shape):
    builder = Builder("t.")
    seed, first, n, step = inputs = [scalar(name) for name in ("seed", "first", "n", "step")]
    z = noise_graph.normal(builder, noise_graph.key(builder, seed), first, n, shape, step, Stream.STEP)
    z.type, z.shape = ir.TensorType(ir.DataType.FLOAT), ir.Shape(("batch", *shape))
    model = ir.to_proto(ir.Model(builder.graph(inputs, [z], "noise", 18), ir_version=8))
    onnx.checker.check_model(model, full_check=True)
    session = onnxruntime.InferenceSession(model.SerializeToString())
    for key in (0, 5, 2**32, 2**63 + 12345678901, 2**64 - 1):
        feeds = {"seed": np.array(key, np.uint64).view(np.int64), "first": np.array(3), "n": np.array(6)}
        (given,) = session.run(None, {**feeds, "step": np.array(9)})
        expected = noise.normal(key, 6, shape, first=3, step=9, stream=Stream.STEP)
        np.testing.assert_allclose(given, expected, rtol=0, atol=1e-6)


@pytest.fixture(
    scope="module",
    params=["guided", *(pytest.param(name, marks=pytest.mark.full) for name in ("history", "noise", "ignored"))],
)
def fused(request, steps, tmp_path_factory):
    """A bundle with a fused graph, and the arguments of the loop that it stands for."""
    choice = ALTERNATIVES[request.param]
    folder = export(steps, tmp_path_factory.mktemp(request.param) / "bundle", fused=choice)
    return folder, {**{k: v for k, v in choice.items() if k != "options"}, **choice.get("options", {})}


def test_it_gives_the_samples_of_the_loop(fused, steps):
    folder, options = fused
    bundle = load(folder, "cpu")
    for n in (1, 5):
        given = bundle.sample(n, seed=2**63 + 11, fused=True)
        np.testing.assert_allclose(given, bundle.sample(n, seed=2**63 + 11, **options), atol=1e-4 * 8)
        np.testing.assert_allclose(given, steps.sample(n, seed=2**63 + 11, **options), atol=1e-4 * 8)


def test_batches_continue_one_stream(fused):
    bundle = load(fused[0], "cpu")
    whole = bundle.sample(5, seed=1, fused=True, condition=[0, 1, 2, 0, 1])
    np.testing.assert_allclose(
        bundle.sample(5, seed=1, fused=True, condition=[0, 1, 2, 0, 1], batch_size=2), whole, atol=1e-4
    )


def test_one_call_of_a_bare_session_is_enough(fused):
    folder, options = fused
    session = onnxruntime.InferenceSession(str(folder / "fused.onnx"))
    feeds = {"seed": np.array(4), "first": np.array(0), "n": np.array(3), "condition": np.array([2, 0, 1], np.int32)}
    (x,) = session.run(None, feeds)
    np.testing.assert_allclose(x, load(folder, "cpu").sample(3, seed=4, condition=[2, 0, 1], **options), atol=1e-4 * 8)


def test_weights_are_stored_once_and_the_table_in_the_graph(fused, steps_bundle):
    assert (fused[0] / "weights.safetensors").read_bytes() == (steps_bundle / "weights.safetensors").read_bytes()
    graph = onnx.load(fused[0] / "fused.onnx", load_external_data=False).graph
    (loop,) = (node for node in graph.node if node.op_type == "Loop")
    (body,) = (a.g for a in loop.attribute if a.name == "body")
    outside = [i.name for i in body.initializer if i.data_location == onnx.TensorProto.EXTERNAL]
    assert outside
    assert not [i.name for i in graph.initializer if i.data_location == onnx.TensorProto.EXTERNAL]
    assert "row.table.matrix" in {i.name for i in body.initializer}


@pytest.mark.full
def test_a_sampler_without_noise_makes_none_in_the_loop(steps, tmp_path):
    folder = export(steps, tmp_path / "bundle", fused={"sampler": "ddim", "steps": 2})
    (loop,) = (n for n in onnx.load(folder / "fused.onnx", load_external_data=False).graph.node if n.op_type == "Loop")
    (body,) = (a.g for a in loop.attribute if a.name == "body")
    assert "BitwiseXor" not in {node.op_type for node in body.node}


def test_a_flow_is_its_inverse_behind_the_noise(gaussian, tmp_path):
    folder = export(gaussian, tmp_path / "bundle", fused={})
    bundle = load(folder, "cpu")
    np.testing.assert_allclose(bundle.sample(4, seed=9, fused=True), bundle.sample(4, seed=9), atol=1e-6)
    assert "fused" in {row.what for row in check(open_bundle(folder), "cpu").rows}
    again = export(gaussian, tmp_path / "again", fused={})
    assert (again / "fused.onnx").read_bytes() == (folder / "fused.onnx").read_bytes()


def test_the_manifest_says_what_is_fused(fused):
    folder, options = fused
    program = load(folder, "cpu").manifest.fused
    assert (program.graph, program.sampler, program.steps) == ("fused", options["sampler"], options["steps"])
    assert program.guidance == options.get("guidance", 1.0)


def test_what_cannot_be_fused_is_refused(gaussian, steps, gaussian_bundle, fused, tmp_path):
    with pytest.raises(UsageError, match="samples in one call"):
        export(gaussian, tmp_path / "a", fused={"steps": 3})
    with pytest.raises(UnknownNameError, match="magic"):
        export(steps, tmp_path / "b", fused={"sampler": "magic"})
    assert not list(tmp_path.iterdir())
    with pytest.raises(UsageError, match="has no fused graph"):
        load(gaussian_bundle, "cpu").sample(1, fused=True)
    with pytest.raises(UsageError, match="takes no steps"):
        load(fused[0], "cpu").sample(1, fused=True, steps=3)


def test_the_golden_run_is_replayed(fused):
    report = check(open_bundle(fused[0]), "cpu")
    assert report.ok
    assert "fused" in {row.what for row in report.rows}
