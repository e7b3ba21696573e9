"""Training on contexts: of any scale, refused where they are broken, and left alone in a model that was loaded."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

import zoo  # noqa: E402 - after the check for torch
from zoo import weights  # noqa: E402
from zoo.conditions import Condition  # noqa: E402
from zoo.data import Dataset, Split  # noqa: E402
from zoo.errors import DataError  # noqa: E402
from zoo.modality import Column, Table  # noqa: E402
from zoo.models.interface import DirectModel  # noqa: E402
from zoo.training.loop import prepare, train  # noqa: E402
from zoo.training.recipe import Recipe  # noqa: E402
from zoo.training.run import begin_with  # noqa: E402
from zoo_data.densities import moons  # noqa: E402
from zoo_diffusion.distillation.reflow import Reflow  # noqa: E402
from zoo_diffusion.masked import MaskedDiffusion  # noqa: E402
from zoo_diffusion.mlp import MLPDiffusion  # noqa: E402
from zoo_flows.maf import MAF  # noqa: E402
from zoo_flows.realnvp import RealNVP  # noqa: E402

VECTOR = {"kind": "vector", "size": 3}
MIXING = np.array([[1.0, 0.5], [-0.7, 1.0], [0.3, -0.4]])
DEVIATION = 0.3
FLOW = {"event_shape": [2], "condition": VECTOR, "transforms": 2}
DIFFUSION = {"event_shape": [2], "condition": VECTOR, "path": "rectified-flow", "prediction": "velocity"}
MODELS = {
    "a coupling flow": (lambda: RealNVP(**FLOW, hidden=16, blocks=1), 150, {}),
    "an autoregressive flow": (lambda: MAF(**FLOW, hidden=[16]), 150, {}),
    "a diffusion": (lambda: MLPDiffusion(**DIFFUSION, hidden=32, blocks=1), 300, {"steps": 32}),
}


def posterior(scale=1.0, n=2000):
    """Parameters from N(0, I) and what was measured of them: their posterior is normal."""
    random = np.random.default_rng(0)
    x = random.normal(size=(n, 2))
    contexts = scale * (2.0 + x @ MIXING.T + DEVIATION * random.normal(size=(n, 3)))
    parts = np.split(np.arange(n), [n // 2, 3 * n // 4])
    return Dataset("posterior", *(Split(x[i].astype(np.float32), contexts[i].astype(np.float32)) for i in parts))


def recipe(**training):
    bare = {"name": "t", "model": {"architecture": "a"}, "data": {"name": "posterior"}}
    settings = {"steps": 20, "batch_size": 128, "learning_rate": 1e-2, **training}
    return Recipe.from_dict({**bare, "training": settings})


def trained(make, data, folder, **training):
    torch.manual_seed(0)
    model = make()
    result = train(model, data, recipe(**training), folder / "c.safetensors")
    (folder / "c.safetensors").unlink()
    weights.load_into(model, result.arrays, source="the run")
    return model.eval()


@pytest.mark.slow  # three short trainings each
@pytest.mark.sample("a coupling flow", "an autoregressive flow")
@pytest.mark.parametrize("name", MODELS)
def test_a_posterior_is_learned_alike_from_contexts_of_any_scale(name, tmp_path):
    make, steps, options = MODELS[name]
    found = []
    for scale in (1.0, 1e3, 1e5):
        data = posterior(scale)
        model = trained(make, data, tmp_path, steps=steps)
        x, contexts = (torch.from_numpy(a[:200]) for a in (data.test.x, data.test.condition))
        with torch.no_grad():
            found.append(-model.log_prob(x, condition=contexts, **options).mean().item())
    entropy = 0.5 * np.log(
        np.linalg.det(2 * np.pi * np.e * np.linalg.inv(np.eye(2) + MIXING.T @ MIXING / DEVIATION**2))
    )
    assert max(found) - min(found) < 0.05
    # the prior's is 2.84
    assert entropy - 0.2 < found[0] < entropy + 0.5


@pytest.mark.parametrize("scale", [1e-8, 1e5, 1e10])
@pytest.mark.parametrize("name", MODELS)
def test_the_first_steps_do_not_see_the_scale_of_contexts(name, scale, tmp_path):
    make = MODELS[name][0]
    runs = [trained(make, posterior(s), tmp_path, steps=5) for s in (1.0, scale)]
    plain, scaled = (weights.state_arrays(model) for model in runs)
    for key in plain:
        if not key.startswith("contexts."):
            np.testing.assert_allclose(scaled[key], plain[key], atol=2e-3, err_msg=key)
    np.testing.assert_allclose(scaled["contexts.scale"], scale * plain["contexts.scale"], rtol=1e-5)


def test_a_constant_number_in_contexts_does_no_harm(tmp_path):
    data = posterior()
    for split in (data.train, data.validation, data.test):
        split.condition[:, 1] = 1e5
    model = trained(MODELS["a coupling flow"][0], data, tmp_path)
    assert model.contexts.scale[1] == 1
    density = model.log_prob(torch.from_numpy(data.test.x), condition=data.test.condition)
    assert torch.isfinite(density).all()


def test_masked_diffusions_standardise_too(tmp_path):
    random = np.random.default_rng(0)
    x, contexts = random.integers(3, size=(100, 4)).astype(np.uint8), random.normal(1e6, 1e3, (100, 2))
    split = Split(x, contexts.astype(np.float32))
    data = Dataset("t", split, split, split, levels=3)
    options = {"width": 8, "layers": 1, "heads": 2, "condition": {"kind": "vector", "size": 2}}
    model = trained(lambda: MaskedDiffusion(event_shape=[4], levels=3, **options), data, tmp_path, steps=2)
    np.testing.assert_allclose(model.contexts.scale.numpy(), contexts.std(0), rtol=1e-3)
    given = torch.from_numpy(split.condition[:2])
    different = model.log_prob(torch.from_numpy(x[:1]).float().expand(2, 4), condition=given)
    assert different[0] != different[1]


def test_an_encoder_inside_a_loss_is_trained(tmp_path):
    class Encoded(RealNVP):
        def __init__(self):
            super().__init__(**FLOW, hidden=8, blocks=1)
            self.encoder = torch.nn.Linear(3, 3)

        def loss(self, x, *, condition=None):
            return super().loss(x, condition=self.encoder(condition))

    torch.manual_seed(0)
    start = Encoded().encoder.weight.detach().clone()
    moved = trained(Encoded, posterior(), tmp_path).encoder.weight
    assert (moved - start).abs().min() > 1e-3


# -- what was loaded -----------------------------------------------------------------------------------------


def score(model, data):
    with torch.no_grad():
        return -model.eval().log_prob(torch.from_numpy(data.test.x)).mean().item()


def test_training_a_loaded_model_begins_where_the_model_is(tmp_path):
    data = moons(train=2000, validation=100, test=2000, noise=0.1, seed=3)
    model = zoo.load("moons-nsf")
    before, constants = score(model, data), weights.state_arrays(model.preprocessing)
    constants = {name: array.copy() for name, array in constants.items()}
    train(model, data, recipe(steps=1, learning_rate=1e-12), tmp_path / "c.safetensors")
    assert abs(score(model, data) - before) < 1e-4
    for name, array in weights.state_arrays(model.preprocessing).items():
        np.testing.assert_array_equal(array, constants[name])
    # and it is no small matter: what preparing over again does
    model.prepare(torch.from_numpy(data.train.x))
    assert score(model, data) > before + 0.05


def test_a_model_that_begins_with_another_keeps_its_contexts(tmp_path):
    source = trained(MODELS["a diffusion"][0], posterior(1e3), tmp_path, steps=2)
    model = MODELS["a diffusion"][0]()
    begin_with(model, "", source)
    prepare(model, posterior(1.0), seed=0)
    torch.testing.assert_close(model.contexts.scale, source.contexts.scale)


def test_a_part_that_was_loaded_stays_and_the_rest_is_fitted(tmp_path):
    source = trained(MODELS["a coupling flow"][0], posterior(1e3), tmp_path, steps=2)
    model = MODELS["a coupling flow"][0]()
    begin_with(model, "contexts", source.contexts)
    prepare(model, posterior(1.0), seed=0)
    torch.testing.assert_close(model.contexts.scale, source.contexts.scale)
    assert (model.preprocessing[0].scale != 1).all()


def test_a_student_that_starts_with_its_teacher_sees_contexts_as_it_does(tmp_path):
    teacher = trained(MODELS["a diffusion"][0], posterior(1e3), tmp_path, steps=2)
    student = MODELS["a diffusion"][0]()
    distillation = Reflow(student, teacher, pairs=20, sampler="heun", steps=2)
    distillation.prepare(posterior(1e3), seed=0, folder=tmp_path)
    distillation.start(student)
    torch.testing.assert_close(student.contexts.scale, teacher.contexts.scale)
    prepare(student, posterior(1.0), seed=0)
    torch.testing.assert_close(student.contexts.scale, teacher.contexts.scale)


def test_a_plugin_whose_prepare_takes_the_data_alone_still_trains(tmp_path):
    class Older(DirectModel):
        family = "flow"

        def __init__(self):
            super().__init__()
            self.event_shape, self.condition = (2,), Condition.vector(3)
            self.mean = torch.nn.Parameter(torch.zeros(2))
            self.seen = 0

        def prepare(self, x):
            self.seen = len(x)

        def inverse(self, z, condition=None):
            return z + self.mean

        def log_density(self, x, condition=None):
            return -0.5 * (x - self.mean).square().sum(1)

    model = Older()
    assert train(model, posterior(), recipe(steps=1), tmp_path / "c.safetensors") is not None
    assert model.seen == 1000


# -- what is broken ------------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("split", ["train", "validation", "test"])
@pytest.mark.parametrize(("part", "called"), [("x", "samples"), ("condition", "contexts")])
def test_numbers_that_are_not_finite_are_told_before_the_first_step(value, split, part, called, tmp_path):
    data = posterior(n=100)
    getattr(getattr(data, split), part)[7, 1] = value
    says = f"the {called} of the {split} split of data set posterior have the value {value} in row 7, column 1, "
    with pytest.raises(DataError, match=says):
        train(MODELS["a coupling flow"][0](), data, recipe(), tmp_path / "c.safetensors")
    assert list(Path(tmp_path).iterdir()) == []


def test_columns_are_told_by_name(tmp_path):
    data = posterior(n=100)
    data = replace(data, modality=Table((Column("mass"), Column("radius"))))
    data.train.condition[3, 2] = np.nan
    named = {**VECTOR, "labels": ["u", "v", "w"]}
    with pytest.raises(DataError, match=r"in row 3, column 2 \(w\)"):
        train(RealNVP(**{**FLOW, "condition": named}), data, recipe(), tmp_path / "c.safetensors")
    data.train.x[4, 0] = np.nan
    with pytest.raises(DataError, match=r"in row 4, column 0 \(mass\)"):
        train(MODELS["a coupling flow"][0](), data, recipe(), tmp_path / "c.safetensors")


def test_conditions_that_do_not_fit_are_told_before_the_first_step(tmp_path):
    data = posterior(n=100)
    model = RealNVP(**{**FLOW, "condition": {"kind": "vector", "size": 2}})
    with pytest.raises(DataError, match=r"of the train split .* need a condition of shape \(2,\) or \(50, 2\)"):
        train(model, data, recipe(), tmp_path / "c.safetensors")
    numbered = [Split(s.x, np.arange(len(s)).astype(np.int32) % 4) for s in (data.train, data.validation, data.test)]
    model = RealNVP(**{**FLOW, "condition": {"kind": "classes", "size": 3}})
    with pytest.raises(DataError, match="classes run from 0 to 2; got 0 to 3"):
        train(model, Dataset("numbered", *numbered), recipe(), tmp_path / "c.safetensors")
    half = Dataset("half", data.train, data.validation, Split(data.test.x))
    with pytest.raises(DataError, match="which data set half does not have"):
        train(MODELS["a coupling flow"][0](), half, recipe(), tmp_path / "c.safetensors")
