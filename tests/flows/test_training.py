"""Flows in training: fitted to their data before the first step, and the recipes that come with the project."""

import copy
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo.data import Dataset, Split  # noqa: E402 - after the check for torch
from zoo.errors import DataError  # noqa: E402
from zoo.metrics.density import held_out_density  # noqa: E402
from zoo.training.loop import train  # noqa: E402
from zoo.training.recipe import Recipe  # noqa: E402
from zoo_data.densities import moons  # noqa: E402
from zoo_flows.cnf import CNF  # noqa: E402
from zoo_flows.glow import Glow  # noqa: E402
from zoo_flows.maf import MAF  # noqa: E402
from zoo_flows.naf import NAF  # noqa: E402
from zoo_flows.nice import NICE  # noqa: E402
from zoo_flows.nsf import NSFCoupling  # noqa: E402
from zoo_flows.planar import PlanarFlow  # noqa: E402
from zoo_flows.radial import RadialFlow  # noqa: E402
from zoo_flows.realnvp import RealNVP  # noqa: E402
from zoo_flows.residual import ResidualFlow  # noqa: E402
from zoo_flows.sylvester import SylvesterFlow  # noqa: E402
from zoo_flows.tarflow import TarFlow  # noqa: E402
from zoo_flows.umnn import UMNN  # noqa: E402

RECIPES = Path(__file__).parents[2] / "recipes"
SMALL = {"transforms": 2, "bins": 6, "hidden": 24, "blocks": 1}


@pytest.fixture(scope="module")
def data():
    return moons(train=20_000, validation=500, test=4_000, noise=0.2)


def recipe(**training):
    return Recipe.from_dict(
        {
            "name": "t",
            "model": {"architecture": "nsf-coupling"},
            "data": {"name": "moons"},
            "training": {"batch_size": 256, "learning_rate": 5e-3, **training},
        }
    )


def fresh(**config):
    torch.manual_seed(0)
    return NSFCoupling(event_shape=[2], **SMALL, **config)


def fitted(model, data):
    """A model before its first step."""
    prepared = copy.deepcopy(model).eval()
    prepared.prepare(torch.from_numpy(data.train.x))
    return prepared


def test_the_data_is_standardised_before_the_first_step(data, tmp_path):
    model = fresh()
    train(model, data, recipe(steps=1, learning_rate=1e-9), tmp_path / "c.safetensors")
    layer = model.preprocessing[0]
    np.testing.assert_allclose(layer.shift.numpy(), data.train.x.mean(0), atol=0.03)
    np.testing.assert_allclose(layer.scale.numpy(), data.train.x.std(0), atol=0.03)


def test_an_interrupted_run_resumes_with_the_same_constants(data, tmp_path):
    whole = train(fresh(), data, recipe(steps=6, ema=0.5), tmp_path / "a.safetensors")
    assert train(fresh(), data, recipe(steps=6, ema=0.5), tmp_path / "b.safetensors", stop=lambda: True) is None
    model = fresh()
    model.prepare = None  # a second call would be a TypeError
    resumed = train(model, data, recipe(steps=6, ema=0.5), tmp_path / "b.safetensors")
    assert whole is not None
    assert resumed is not None
    for key, value in whole.arrays.items():
        np.testing.assert_array_equal(resumed.arrays[key], value, err_msg=key)


def test_constant_data_are_refused_with_advice(tmp_path):
    flat = Split(np.ones((10, 2), np.float32))
    with pytest.raises(DataError, match="component 0 of the data is constant"):
        train(fresh(), Dataset("flat", flat, flat, flat), recipe(steps=1), tmp_path / "c.safetensors")


def test_it_approaches_the_entropy_and_never_passes_it(data, tmp_path):
    model = fresh()
    train(model, data, recipe(steps=400), tmp_path / "c.safetensors")
    metrics = held_out_density(model, data)
    error = metrics["test_nll"]["standard_error"]
    assert -4 * error < metrics["test_gap"]["value"] < 0.06 + 4 * error


@pytest.mark.sample("realnvp-batchnorm", "maf-batchnorm", "naf", "planar", "sylvester")
@pytest.mark.parametrize(
    "make",
    [
        lambda: NICE(event_shape=[2], hidden=24, blocks=1),
        lambda: RealNVP(event_shape=[2], transforms=4, hidden=24, blocks=1),
        lambda: RealNVP(event_shape=[2], transforms=4, hidden=24, blocks=1, batchnorm=True),
        lambda: MAF(event_shape=[2], hidden=[24], batchnorm=True),
        lambda: NAF(event_shape=[2], transforms=2, hidden=[24]),
        lambda: UMNN(event_shape=[2], transforms=2, hidden=[24], integrand=[16, 16], nodes=16),
        lambda: PlanarFlow(event_shape=[2], transforms=8),
        lambda: RadialFlow(event_shape=[2], transforms=8),
        lambda: SylvesterFlow(event_shape=[2], transforms=4),
        lambda: ResidualFlow(event_shape=[2], transforms=4, hidden=24),
        lambda: CNF(event_shape=[2], hidden=24, layers=2, steps=6, objective="likelihood"),
    ],
    ids=[
        *("nice", "realnvp", "realnvp-batchnorm", "maf-batchnorm", "naf", "umnn"),
        *("planar", "radial", "sylvester", "residual", "cnf"),
    ],
)
def test_what_begins_as_a_gaussian_learns_that_moons_are_none(make, data, tmp_path):
    torch.manual_seed(0)
    model = make()
    gaussian = held_out_density(fitted(model, data), data)["test_nll"]["value"]
    train(model, data, recipe(steps=150, learning_rate=2e-2, gradient_clip=5.0), tmp_path / "c.safetensors")
    learned = held_out_density(model.eval(), data)
    assert learned["test_nll"]["value"] < gaussian - 0.1
    assert learned["test_gap"]["value"] > -4 * learned["test_nll"]["standard_error"]


@pytest.mark.sample("glow", "realnvp")
@pytest.mark.parametrize(
    "make",
    [
        lambda: Glow(event_shape=[1, 4, 4], scales=2, steps=2, hidden=8),
        lambda: RealNVP(event_shape=[1, 4, 4], scales=2, transforms=2, hidden=8, blocks=1),
        lambda: RealNVP(event_shape=[1, 4, 4], transforms=6, hidden=24, blocks=1),
        lambda: TarFlow(event_shape=[1, 4, 4], patch=1, transforms=2, width=16, layers=1),
    ],
    ids=["glow", "realnvp-image", "realnvp", "tarflow"],
)
def test_flows_of_images_learn_that_pixels_are_alike(make, tmp_path):
    """Pixels share a brightness: of 16 independent normals of deviation √1.04 the entropy is far from the truth's."""
    generator = np.random.default_rng(0)
    x = generator.normal(size=(4000, 1, 1, 1)) + 0.2 * generator.normal(size=(4000, 1, 4, 4))
    split = Split(x.astype(np.float32))
    images = Dataset("alike", split, split, split)
    torch.manual_seed(0)
    model = make()
    apart = -fitted(model, images).log_prob(torch.from_numpy(split.x)).mean().item()
    train(model, images, recipe(steps=150, learning_rate=1e-2, gradient_clip=5.0), tmp_path / "c.safetensors")
    learned = -model.eval().log_prob(torch.from_numpy(split.x)).mean().item()
    covariance = 0.04 * np.eye(16) + np.ones((16, 16))
    entropy = 0.5 * np.linalg.slogdet(2 * np.pi * np.e * covariance)[1]
    assert learned < apart - 0.7 * (apart - entropy)
    assert learned > entropy - 0.5
    # far out in noise a flow goes on about as a line, instead of growing with every coupling
    with torch.no_grad():
        assert model.inverse(30 * torch.randn(200, 1, 4, 4)).abs().max() < 1000


def test_a_conditional_model_quotes_no_gap_to_the_entropy_of_all(data):
    metrics = held_out_density(fresh(condition={"kind": "classes", "size": 2}), data)
    assert "test_gap" not in metrics
    assert "test_nll" in metrics


@pytest.mark.parametrize("path", sorted(RECIPES.glob("*-nsf.toml")), ids=lambda path: path.stem)
def test_the_recipes_build_and_take_a_step(path, tmp_path):
    found = Recipe.from_file(path)
    assert found.name == path.stem
    assert found.license
    model = NSFCoupling(**found.model.config)
    assert sum(p.numel() for p in model.parameters()) < (150_000 if model.size == 2 else 2_000_000)
    generator = np.random.default_rng(0)
    shape = (64, *model.event_shape)
    x = (
        generator.integers(17, size=shape).astype(np.uint8)
        if "levels" in found.model.config
        else generator.normal(size=shape)
    )
    split = Split(x.astype(np.float32) if x.dtype == np.float64 else x, np.arange(64, dtype=np.int32) % 10)
    data = Dataset("stand-in", split, split, split, levels=found.model.config.get("levels"))
    before = copy.deepcopy(model.state_dict())
    short = replace(found, training=replace(found.training, steps=1, evaluate_every=1))
    result = train(model, data, short, tmp_path / "c.safetensors")
    assert result is not None
    assert any(not np.array_equal(result.arrays[key], value.numpy()) for key, value in before.items())
