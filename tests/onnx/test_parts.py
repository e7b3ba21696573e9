"""Models conditioned on named parts: trained through their encoder, exported with it, and run without torch."""

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")


from tests.small_parts import POSTERIOR_PARTS, Plain, Posterior, observed, posterior  # noqa: E402
from zoo.bundle import open_bundle  # noqa: E402
from zoo.data import Dataset, Split  # noqa: E402
from zoo.errors import BundleError, ConditionError, ConfigError, DataError, ProofError, UsageError  # noqa: E402
from zoo.exporting import export  # noqa: E402
from zoo.models.interface import DirectModel  # noqa: E402
from zoo.programs.ports import Port  # noqa: E402
from zoo.runtime import load  # noqa: E402
from zoo.runtime.check import check  # noqa: E402
from zoo.runtime.session import Session  # noqa: E402


@pytest.fixture(scope="module")
def model():
    return posterior()


@pytest.fixture(scope="module")
def folder(model, exported_once):
    return exported_once("posterior", model)


@pytest.fixture
def bundle(folder):
    return load(folder, "cpu")


@pytest.fixture
def calls(monkeypatch):
    """Calls of graphs in ONNX Runtime: (name of the graph, sizes of what it is given)."""
    made = []
    run = Session.run

    def counting(self, feeds, outputs=None):
        made.append((self.graph.stem, {name: np.shape(value) for name, value in feeds.items()}))
        return run(self, feeds, outputs)

    monkeypatch.setattr(Session, "run", counting)
    return made


CASES = {
    "one for each": observed(4),
    "one for all": {name: value[0] for name, value in observed(1).items()},
    "some for all": observed(4, image=np.full((1, 4, 4), 0.5), prompt="cab"),
    "what is left out": {"state": [90.0, 110.0]},
}


@pytest.mark.parametrize("case", CASES)
def test_a_bundle_samples_and_scores_what_pytorch_does(model, bundle, case):
    condition = CASES[case]
    x = model.sample(4, condition=condition, seed=1).detach().numpy()
    np.testing.assert_allclose(bundle.sample(4, condition=condition, seed=1), x, atol=1e-5)
    np.testing.assert_allclose(bundle.sample(4, condition=condition, seed=1, batch_size=3), x, atol=1e-5)
    density = model.log_prob(torch.from_numpy(x), condition=condition).detach().numpy()
    np.testing.assert_allclose(bundle.log_prob(x, condition=condition), density, atol=1e-5)


def test_every_part_matters(bundle):
    x = bundle.sample(2, condition=observed(2), seed=1)
    for part in POSTERIOR_PARTS.parts:
        other = {
            **observed(2),
            part.name: {"state": [0.0, 0.0], "prompt": "b", "robot": [0, 1]}.get(part.name, np.zeros(16)),
        }
        other["image"] = np.reshape(other["image"], (-1, 1, 4, 4) if np.size(other["image"]) > 16 else (1, 4, 4))
        assert np.abs(bundle.sample(2, condition=other, seed=1) - x).max() > 1e-3, part.name


def test_one_observation_for_a_thousand_samples_is_encoded_as_one_row(bundle, calls):
    bundle.sample(1000, condition=CASES["one for all"], seed=0, batch_size=100)
    assert [graph for graph, _ in calls] == ["condition", *["inverse"] * 10]
    assert calls[0][1] == {
        "image": (1, 1, 4, 4),
        "state": (1, 2),
        "prompt": (1, 3),
        "robot": (1,),
        "prompt_mask": (1, 3),
    }
    calls.clear()
    bundle.log_prob(np.zeros((6, 2)), condition={"state": [[90, 110], [1, 2], [90, 110], [1, 2], [1, 2], [90, 110]]})
    assert [graph for graph, _ in calls] == ["condition", "log_prob"]
    assert calls[0][1]["state"] == (2, 2)


def test_pytorch_too_encodes_each_different_condition_once(model, monkeypatch):
    rows = []
    encode = Posterior.encode_condition
    monkeypatch.setattr(
        Posterior, "encode_condition", lambda self, parts: rows.append(len(parts["state"])) or encode(self, parts)
    )
    model.sample(1000, condition=CASES["one for all"], seed=0)
    model.log_prob(torch.zeros(3, 2), condition={"state": [[1, 2], [3, 4], [1, 2]]})
    assert rows == [1, 2]


def test_nothing_runs_where_an_argument_is_refused(bundle, calls):
    for wrong in ({"image": np.zeros((4, 4, 1))}, {"prompt": "xyz"}, {"robot": 2}, {"camera": 0}):
        with pytest.raises(ConditionError, match=next(iter(wrong))):
            bundle.sample(4, condition={"state": [0, 0], **wrong}, seed=0)
    with pytest.raises(ConditionError, match="part state of the condition is missing"):
        bundle.sample(4, seed=0)
    with pytest.raises(ConditionError, match="needs the parts image, state, prompt, robot of the data"):
        bundle.log_prob(np.zeros((1, 2)))
    with pytest.raises(UsageError):
        bundle.sample(4, condition={"state": [0, 0]}, steps=3)
    assert calls == []


def test_the_encoder_learns_through_the_loss(model):
    learner = posterior().train()
    parts = {
        "image": torch.rand(3, 1, 4, 4),
        "state": torch.full((3, 2), 100.0),
        "prompt": torch.tensor([[1, 0], [2, 3], [3, 0]]),
    }
    parts["image"].requires_grad_(True)
    learner.loss(torch.zeros(3, 2), condition={**parts, "robot": torch.tensor([0, 1, 1])}).backward()
    for name, parameter in learner.named_parameters():
        assert parameter.grad is not None, name
        assert parameter.grad.abs().max() > 0, name
    assert parts["image"].grad.abs().max() > 0
    # what is trained is what is sampled: tensors give the same as arrays
    arrays = {name: value.detach().numpy() for name, value in parts.items()}
    torch.testing.assert_close(
        model.sample(3, condition={name: value.detach() for name, value in parts.items()}, seed=0),
        model.sample(3, condition=arrays, seed=0),
    )


def test_numbers_are_standardised_part_by_part(model):
    part = POSTERIOR_PARTS.parts[1]
    assert model.context_of(part).shift.tolist() == pytest.approx([100, 100], abs=5)
    assert model.context_of(part).scale.tolist() == pytest.approx([10, 10], abs=3)
    assert {name for name, _ in model.named_buffers()} == {
        f"part_contexts.part_state.{name}" for name in ("shift", "scale")
    }


def test_the_manifest_names_the_encoder_and_the_golden_values_are_replayed(folder):
    bundle = open_bundle(folder)
    manifest = bundle.manifest
    assert manifest.condition == POSTERIOR_PARTS
    assert manifest.sample.condition_encoder == manifest.log_prob.condition_encoder == "condition"
    assert [port.name for port in manifest.graphs["inverse"].inputs] == ["z", "embedding"]
    report = check(bundle, "cpu")
    assert report.ok
    assert {row.what for row in report.rows} == {
        "graph condition",
        "graph inverse",
        "graph log_prob",
        "sample",
        "log_prob",
    }


@pytest.mark.slow  # an export
def test_without_an_encoder_graphs_take_the_parts(tmp_path):
    model = posterior(Plain)
    bundle = load(export(model, tmp_path / "bundle"), "cpu")
    assert [port.name for port in bundle.manifest.graphs["inverse"].inputs[1:]] == [
        *("image", "joints", "prompt", "robot", "prompt_mask")
    ]
    condition = observed(3)
    condition["joints"] = condition.pop("state")
    x = model.sample(3, condition=condition, seed=1).detach().numpy()
    np.testing.assert_allclose(bundle.sample(3, condition=condition, seed=1), x, atol=1e-5)


def test_a_data_set_of_parts_trains_the_model(tmp_path):
    from zoo.training.loop import check_fit, train
    from zoo.training.recipe import DataRecipe, ModelRecipe, Recipe, TrainingRecipe

    random = np.random.default_rng(0)
    n = 64
    state = (100 + 10 * random.normal(size=(n, 2))).astype(np.float32)
    x = ((state - 100) / 10 + 0.1 * random.normal(size=(n, 2))).astype(np.float32)
    parts = {
        "image": random.uniform(size=(n, 1, 4, 4)).astype(np.float32),
        "state": state,
        "prompt": random.integers(1, 4, size=(n, 3)).astype(np.int32),
        "robot": random.integers(2, size=n).astype(np.int32),
    }
    parts["prompt"][:, 2] = 0
    split = Split(x, parts)
    data = Dataset("parts", split, split, split)
    settings = TrainingRecipe(steps=60, batch_size=32, learning_rate=0.02, evaluate_every=30)
    recipe = Recipe("posterior", ModelRecipe("posterior"), DataRecipe("parts"), settings)
    model = Posterior()
    before = {name: parameter.detach().clone() for name, parameter in model.named_parameters()}
    result = train(model, data, recipe, tmp_path / "checkpoint.safetensors")
    assert result.training_state.history[-1]["validation"] < result.training_state.history[0]["loss"]
    assert result.arrays["part_contexts.part_state.shift"] == pytest.approx(state.mean(0), rel=1e-5)
    assert all((before[name] != parameter).any() for name, parameter in model.named_parameters())
    with pytest.raises(DataError, match=r"the conditions of the train split .* part state of the condition is missing"):
        check_fit(model, Dataset("few", *(Split(x, {"image": parts["image"]}),) * 3))
    with pytest.raises(DataError, match="64 samples come with 3 of part image"):
        Split(x, {"image": parts["image"][:3]})


class Nameless(Posterior):
    def encoded_ports(self):
        return ()


class Reserved(Posterior):
    def encoded_ports(self):
        return (Port("z", "float32", ("rows", 8)),)


class Renamed(Posterior):
    def encoded_ports(self):
        return (Port("other", "float32", ("rows", 8)),)


class Mixing(Posterior):
    """Its encoder looks at other rows."""

    def encode_condition(self, parts):
        encoded = super().encode_condition(parts)
        return {"embedding": encoded["embedding"] - encoded["embedding"].mean(0)}


class Clashing(Posterior):
    """Without an encoder, a part has the name of another input."""

    encode_condition = DirectModel.encode_condition

    def encoded_ports(self):
        return ()


@pytest.mark.parametrize(
    ("kind", "error", "says"),
    [
        (Nameless, ConfigError, "no encoded_ports"),
        (Reserved, ConfigError, "cannot give z"),
        (Renamed, ConfigError, "gives embedding, and encoded_ports says other"),
        (Clashing, ConfigError, "a part 'state', which is the name of another input of graphs"),
        (Mixing, ProofError, "graph condition, output embedding, .* it depends on the other samples"),
    ],
)
def test_wrong_encoders_are_refused(kind, error, says, tmp_path):
    with pytest.raises(error, match=says):
        export(posterior(kind), tmp_path / "bundle")
    assert not (tmp_path / "bundle").exists()


def test_a_manifest_whose_encoder_does_not_fit_is_refused(folder, tmp_path):
    import json
    import shutil

    for number, change in enumerate(
        [
            lambda v: v["condition"]["parts"].pop(),
            lambda v: v["condition"]["parts"][1].update(name="joints"),
            lambda v: v["programs"]["log_prob"].pop("condition_encoder"),
            lambda v: v["programs"]["sample"].update(condition_encoder="log_prob"),
            lambda v: v.update(condition=None),
        ]
    ):
        copy = shutil.copytree(folder, tmp_path / str(number))
        values = json.loads((copy / "manifest.json").read_text())
        change(values)
        (copy / "manifest.json").write_text(json.dumps(values))
        with pytest.raises(BundleError):
            load(copy, "cpu")
