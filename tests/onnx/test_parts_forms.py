"""Models conditioned on named parts in every form of a bundle: fused, of a fixed batch, of fewer bits."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from zoo.errors import ConditionError, ExportError, UsageError  # noqa: E402 - after the checks
from zoo.exporting import export  # noqa: E402
from zoo.models.interface import DirectModel, Noise  # noqa: E402
from zoo.programs.ports import Port  # noqa: E402
from zoo.runtime import load  # noqa: E402
from zoo.runtime.check import check  # noqa: E402
from zoo.runtime.session import Session  # noqa: E402

_spec = importlib.util.spec_from_file_location("small_parts", Path(__file__).parents[1] / "small_parts.py")
small = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(small)

ONE = {name: value[0] for name, value in small.instructed(1).items()}


@pytest.fixture(scope="module")
def model():
    return small.policy(small.Acting)


def drawn(model, n, condition, **options):
    return model.sample(n, condition=condition, seed=1, **options).detach().numpy()


def test_a_model_that_is_guided_by_default_is_calibrated():
    """Activations for products of integers are those of its runs without guidance."""
    from zoo_onnx.inputs import Inputs
    from zoo_onnx.precision.static import trajectories

    guided = small.policy(small.Acting, guidance=2.0)
    programs = guided.programs()
    assert programs.sample.guidance == 2.0
    graph = next(graph for graph in programs.graphs if graph.name == "step")
    feeds = list(trajectories(programs.sample, graph, Inputs(guided, programs)))
    assert len(feeds) == programs.sample.steps
    assert all(np.isfinite(each["state"]).all() and each["state"].any() for each in feeds)


def test_golden_values_have_sequences_of_different_lengths_with_their_masks():
    from zoo.runtime.check import grouped, run_case
    from zoo_onnx.golden import golden
    from zoo_onnx.inputs import Inputs

    model = small.everything()
    programs = model.programs()
    arrays = golden(model, programs, Inputs(model, programs))
    mask = arrays["program:sample/0/in/condition/track_mask"]
    assert len(set(mask.sum(1).tolist())) == 2
    assert "program:sample/0/in/condition/words_mask" not in arrays  # padding says it
    bundle = load(Path(__file__).parents[1] / "bundles" / "parts" / "everything", "cpu")
    cases = [case for case in grouped(arrays).values() if case.subject.startswith("program:")]
    assert {case.subject for case in cases} == {"program:sample", "program:log_prob"}
    for case in cases:
        for name, value in run_case(bundle, case).items():
            np.testing.assert_allclose(value, case.outputs[name], atol=1e-5)


@pytest.mark.parametrize("mask", [[[1, 0, 1], [1, 1, 1]], [[1, 1], [1, 1]], [[0.5, 0, 0], [1, 1, 1]], [["a"] * 3] * 2])
def test_a_mask_in_a_file_says_where_values_end_or_is_refused(mask):
    found = {"track": np.zeros((2, 3, 2), np.float32), "track_mask": np.array(mask)}
    with pytest.raises(ConditionError, match="the mask track_mask of part track of the condition has the shape"):
        small.EVERY_PART.restored(found)


@pytest.mark.slow  # an export
def test_a_fused_graph_encodes_before_its_loop_and_is_guided_by_the_nulls(model, tmp_path):
    bundle = load(export(model, tmp_path / "b", fused={"sampler": "ddpm", "steps": 3, "guidance": 2.0}), "cpu")
    graph = bundle.manifest.graphs["fused"]
    assert [(port.name, port.shape[:1]) for port in graph.inputs[3:]] == [
        (name, ("rows",)) for name in ("image", "state", "prompt", "prompt_mask")
    ]
    assert bundle.manifest.fused.condition_encoder is None
    options = {"sampler": "ddpm", "steps": 3, "guidance": 2.0}
    for condition in (ONE, small.instructed(3), {**ONE, "prompt": ["abca", "b", "cc"]}):
        expected = drawn(model, 3, condition, **options)
        np.testing.assert_allclose(bundle.sample(3, condition=condition, seed=1, fused=True), expected, atol=1e-4)
        batched = bundle.sample(3, condition=condition, seed=1, fused=True, batch_size=2)
        np.testing.assert_allclose(batched, expected, atol=1e-4)
    assert check(bundle.bundle, "cpu").ok


def test_a_fused_direct_graph_takes_one_row_for_all(tmp_path, monkeypatch):
    model = small.everything()
    bundle = load(export(model, tmp_path / "b", fused={}), "cpu")
    rows = []
    run = Session.run
    monkeypatch.setattr(
        Session, "run", lambda self, feeds, outputs=None: rows.append(len(feeds["arm"])) or run(self, feeds, outputs)
    )
    condition = {name: value[0] for name, value in small.of_every_kind(1).items()}
    x = drawn(model, 5, condition)
    np.testing.assert_allclose(bundle.sample(5, condition=condition, seed=1, fused=True), x, atol=1e-5)
    assert rows == [1]


def test_a_fused_graph_of_one_call_encodes_before_it(tmp_path, monkeypatch):
    """Encoder and map have operators of the same names, which one graph may not have twice."""
    model = small.posterior()
    folder = export(model, tmp_path / "b", fused={})
    assert [port.name for port in load(folder, "cpu").manifest.graphs["fused"].inputs[3:]][:2] == ["image", "state"]
    bundle, called = load(folder, "cpu"), []
    run = Session.run
    monkeypatch.setattr(
        Session, "run", lambda self, feeds, outputs=None: called.append(self.graph.stem) or run(self, feeds, outputs)
    )
    for condition in (small.observed(3), {"state": [101.0, 95.0], "robot": "leg"}):
        x = bundle.sample(3, condition=condition, seed=1, fused=True)
        np.testing.assert_allclose(x, drawn(model, 3, condition), atol=1e-4)
    assert called == ["fused"] * 2


class Named(DirectModel):
    """A model of one call whose only part has a name."""

    family = "flow"
    density = "none"

    def __init__(self, part, *noises):
        super().__init__()
        self.event_shape, self.part = (2,), part
        self.own = tuple(Noise(name, (2,), "uniform") for name in noises)
        self.condition_on(small.Condition((small.Part(part, "numbers", (2,)),)))
        self.scale = torch.nn.Parameter(torch.ones(2))

    @property
    def noises(self):
        return self.own

    def encode_condition(self, parts):
        return {"seen": self.scale * parts[self.part]}

    def encoded_ports(self):
        return (Port("seen", "float32", ("rows", 2)),)

    def draw(self, noise, condition):
        return condition["seen"] + sum(noise.values())


@pytest.mark.parametrize("name", ["n", "seed", "first", "x"])
def test_a_part_cannot_have_the_name_of_another_input_of_a_fused_graph(name, tmp_path):
    with pytest.raises(UsageError, match=f"a fused graph has an input or output '{name}' of its own"):
        export(Named(name, "u"), tmp_path / "b", fused={})
    assert list(tmp_path.iterdir()) == []


def test_inputs_of_a_graph_have_different_names(tmp_path):
    with pytest.raises(ExportError, match="graph inverse has two inputs or outputs named 'seen'"):
        export(Named("goal", "u", "seen"), tmp_path / "b")
    assert list(tmp_path.iterdir()) == []


@pytest.mark.slow  # an export
def test_a_fixed_batch_encodes_one_condition_at_a_time(model, tmp_path, monkeypatch):
    bundle = load(export(model, tmp_path / "b", batch=3), "cpu")
    assert {port.shape[0] for port in bundle.manifest.graphs["condition"].inputs} == {1}
    rows = []
    run = Session.run

    def counting(self, feeds, outputs=None):
        if self.graph.stem == "condition":
            rows.append(len(feeds["state"]))
        return run(self, feeds, outputs)

    monkeypatch.setattr(Session, "run", counting)
    expected = drawn(model, 5, small.instructed(5), guidance=2.0)
    found = bundle.sample(5, condition=small.instructed(5), seed=1, guidance=2.0)
    np.testing.assert_allclose(found, expected, atol=1e-4)
    # and the nulls
    assert rows == [1] * 6
    assert check(bundle.bundle, "cpu").ok


FORMS = {
    "float16": {"dtype": "float16"},
    "bfloat16": {"dtype": "bfloat16"},
    "int8": {"quantize": "int8", "bound": 0.2},
    "int8-dynamic": {"quantize": "int8-dynamic", "bound": 0.2},
    "int8-weights": {"quantize": "int8-weights", "bound": 0.2},
    "int4-weights": {"quantize": "int4-weights", "bound": 0.5},
}


@pytest.mark.slow  # exports
@pytest.mark.sample("float16", "int8")
@pytest.mark.parametrize("form", FORMS)
def test_fewer_bits_with_their_loss_stated(form, tmp_path):
    # weights of fewer than 256 numbers stay as they are
    model = small.policy(small.Acting, width=64)
    bundle = load(export(model, tmp_path / "b", **FORMS[form]), "cpu")
    loss = bundle.manifest.precision["loss"]
    assert 0 < loss["condition"] < loss["samples"] + FORMS[form].get("bound", 0.05)
    expected = drawn(model, 3, small.instructed(3))
    found = bundle.sample(3, condition=small.instructed(3), seed=1)
    assert 0 < np.abs(found - expected).max() < 0.5 * expected.std()
    assert check(bundle.bundle, "cpu").ok


def test_what_cannot_be_fused_is_said_before_anything_is_written(tmp_path):
    parts = small.Condition((*small.POLICY_PARTS.parts[:1], small.Part("state", "numbers", (2,))))
    with pytest.raises(UsageError, match="guidance needs a null of each part of the condition, and state has none"):
        export(small.policy(small.Acting, parts=parts), tmp_path / "b", fused={"guidance": 2.0})
