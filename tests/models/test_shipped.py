"""The pretrained models: whole, licensed, equal in PyTorch and ONNX Runtime, and as good as their cards say."""

import math
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from tests.stated_conditions import rising
from zoo import runtime
from zoo.bundle import open_bundle
from zoo.errors import DataError, MissingDependencyError, UsageError
from zoo.files import sha256
from zoo.models import building
from zoo.registry import Registry
from zoo.training.recipe import Recipe

REGISTRY = Registry.discover(allowed=[])
CARDS = [item.description for item in REGISTRY.items("model")]
FLOWS = [card for card in CARDS if card.family == "flow"]
#: unconditional ones; a posterior lies on less than a thousandth of the plane, where no grid is fine enough
IN_THE_PLANE = [card for card in FLOWS if card.event_shape == (2,) and card.condition is None]
IDS = [card.name for card in CARDS]
#: points on a side of the grid that a density in the plane is summed on; of what has no corners fewer are as exact
POINTS = {"cnf": 120}
#: how many numbers of a test split are scored again here
MEASURED = 400_000


@pytest.fixture(scope="module")
def bundles():
    opened = {}

    def get(card):
        if card.name not in opened:
            opened[card.name] = runtime.load(card.bundle_path, "cpu")
        return opened[card.name]

    return get


@pytest.fixture(scope="module")
def models():
    pytest.importorskip("torch")
    loaded = {}

    def get(card):
        if card.name not in loaded:
            loaded[card.name] = building.load(REGISTRY, card)
        return loaded[card.name]

    return get


def test_the_promised_models_are_there():
    assert {"mnist-unet", "digits-nsf", "moons-nsf"} <= set(IDS)


@pytest.mark.parametrize("card", CARDS, ids=IDS)
class TestEveryModel:
    def test_the_card_tells_what_people_ask(self, card):
        assert card.summary
        assert card.license["code"] == "Apache-2.0"
        assert card.license["weights"]
        assert card.data["license"]
        assert card.data["source"]
        assert card.papers
        assert card.metrics
        assert Recipe.from_dict(card.recipe).name == card.name

    def test_the_bundle_is_whole_and_its_weights_are_the_model_s(self, card):
        bundle = open_bundle(card.bundle_path)
        assert bundle.manifest.model["name"] == card.name
        assert sha256(card.weights_path) == card.weights.sha256

    @pytest.mark.parametrize("n", [1, 3, 17])
    def test_the_same_seed_gives_the_same_samples_without_torch(self, card, n, bundles, models):
        # many samples of few steps, few of many: either way errors would add up
        options = {} if card.family == "flow" else {"steps": 10 if n < 17 else 3}
        condition = rising(card.condition)
        in_torch = models(card).sample(n, seed=5, condition=condition, **options).numpy()
        in_onnx = bundles(card).sample(n, seed=5, condition=condition, **options)
        coded = getattr(models(card), "codec", None) is not None
        scale = max(1.0, float(np.abs(in_torch).max())) if coded else getattr(models(card), "scale", 1.0)
        if card.family == "flow":
            scale = max(1.0, float(in_torch.std()))
        assert in_onnx.shape == (n, *card.event_shape)
        np.testing.assert_allclose(in_onnx / scale, in_torch / scale, atol=1e-4)

    def test_the_same_data_get_the_same_density_without_torch(self, card, bundles, models):
        program = bundles(card).manifest.log_prob
        if program is None:
            pytest.skip("a model that does not score")
        condition = rising(card.condition)
        x = bundles(card).sample(5, seed=2, condition=condition)
        if condition is None and card.condition is not None:
            parts = {part.name: np.arange(5, dtype=np.int32) % part.size for part in card.condition.parts}
            condition = parts if card.condition.kind == "parts" else next(iter(parts.values()))
        options = {"steps": 2} if program.kind == "integrate" else {}
        torch = pytest.importorskip("torch")
        if bundles(card).manifest.log_prob is None:
            with pytest.raises(UsageError, match="cannot score data"):
                models(card).log_prob(torch.from_numpy(x), condition=condition, **options)
            with pytest.raises(UsageError, match="cannot score data"):
                bundles(card).log_prob(x, condition=condition, **options)
            return
        with torch.no_grad():
            in_torch = models(card).log_prob(torch.from_numpy(x), condition=condition, **options).numpy()
        in_onnx = bundles(card).log_prob(x, condition=condition, **options)
        dims = math.prod(card.event_shape)
        np.testing.assert_allclose(in_onnx / dims, in_torch / dims, atol=1e-4)


@pytest.mark.sample("moons-nsf")
@pytest.mark.parametrize("card", IN_THE_PLANE, ids=lambda c: c.name)
def test_a_density_in_the_plane_integrates_to_one(card, bundles):
    """A grid over all that 4,000 samples reach and as much again on every side; the density elsewhere is negligible."""
    samples = bundles(card).sample(4000, seed=0)
    low, high = samples.min(0), samples.max(0)
    axes = [
        np.linspace(a - (b - a) / 2, b + (b - a) / 2, POINTS.get(card.architecture, 600))
        for a, b in zip(low, high, strict=True)
    ]
    grid = np.stack(np.meshgrid(*axes, indexing="ij"), -1).reshape(-1, 2).astype(np.float32)
    cell = math.prod(axis[1] - axis[0] for axis in axes)
    total = np.exp(bundles(card).log_prob(grid).astype(np.float64)).sum() * cell
    assert abs(total - 1.0) < 0.01


@pytest.mark.slow
@pytest.mark.sample("moons-nsf", "digits-nsf")
@pytest.mark.parametrize("card", FLOWS, ids=lambda c: c.name)
def test_the_density_metrics_on_the_card_are_true(card, models):
    """Measured again on the same test split; of large ones on as many samples as take seconds."""
    from zoo.metrics.density import held_out_density
    from zoo.training.data import load_data

    recipe = Recipe.from_dict(card.recipe)
    try:
        data = load_data(REGISTRY.dataset(recipe.data.name), recipe.data.options, REGISTRY)
    except (DataError, MissingDependencyError) as error:
        pytest.skip(f"the data set is not here: {error}")
    whole = len(data.test) * math.prod(card.event_shape) <= MEASURED
    if not whole:
        few = MEASURED // math.prod(card.event_shape)
        data = replace(data, test=replace(data.test, x=data.test.x[:few], condition=data.test.condition[:few]))
    measured = held_out_density(models(card), data, seed=recipe.training.seed)
    for name, metric in measured.items():
        tolerance = 2e-3 if whole else 4 * metric["standard_error"]
        assert metric["value"] == pytest.approx(card.metrics[name]["value"], abs=tolerance), name


@pytest.mark.full
def test_mnist_digits_show_the_class_that_was_asked_for(bundles):
    """A classifier right on 98% of the real test set sees the right class in 95% of samples (the card: on 1,000)."""
    pytest.importorskip("torch")
    from zoo.metrics.agreement import classify_samples, train_classifier
    from zoo.training.data import load_data

    card = REGISTRY.model("mnist-unet")
    assert card.metrics["class_agreement"]["value"] >= 0.95
    assert card.metrics["class_agreement"]["samples"] >= 1000
    try:
        data = load_data(REGISTRY.dataset("mnist"), {}, REGISTRY)
    except DataError as error:
        pytest.skip(f"MNIST is not here: {error}")
    few = replace(data, train=replace(data.train, x=data.train.x[:20_000], condition=data.train.condition[:20_000]))
    classifier = train_classifier(few, epochs=3)
    classes = np.arange(100, dtype=np.int32) % 10
    verdict = classify_samples(
        classifier, data, bundles(card).sample(100, condition=classes, seed=11, steps=20), classes
    )
    assert verdict.test_accuracy >= 0.98
    assert verdict.agreement >= 0.95


def test_all_weights_together_stay_below_forty_megabytes():
    assert sum(card.weights.size for card in CARDS) <= 80e6


@pytest.mark.parametrize("card", CARDS, ids=IDS)
def test_graphs_add_little_to_the_weights(card):
    """Structure and constants beside the weights, which all graphs share: at most 5 % and 1 MB."""
    parameters = 4 * card.parameters
    files = [*card.bundle_path.glob("*.onnx"), card.bundle_path / "weights.safetensors"]
    assert len(files) >= 2
    assert parameters < sum(file.stat().st_size for file in files) <= 1.05 * parameters + 1e6


@pytest.mark.parametrize("name", ["circles-maf", "eight-gaussians-iaf", "checkerboard-nsf-ar", "pinwheel-realnvp"])
@pytest.mark.parametrize("distance", [10.0, 1e3, 1e6])
def test_densities_far_out_are_finite_in_float32(name, distance, bundles, models):
    torch = pytest.importorskip("torch")
    card = next(card for card in FLOWS if card.name == name)
    angles = np.linspace(0.0, 2 * np.pi, 64)
    x = (distance * np.stack([np.cos(angles), np.sin(angles)], 1)).astype(np.float32)
    with torch.no_grad():
        in_torch = models(card).log_prob(torch.from_numpy(x)).numpy()
    assert np.isfinite(in_torch).all()
    in_onnx = bundles(card).log_prob(x)
    assert np.isfinite(in_onnx).all()
    np.testing.assert_allclose(in_onnx, in_torch, rtol=0.02)


@pytest.mark.parametrize("card", IN_THE_PLANE, ids=lambda card: card.name)
def test_densities_around_the_data_are_not_absurd(card, bundles):
    """An affine autoregressive flow once gave -1.3e15 nats here, six deviations from its data."""
    axis = np.linspace(-6, 6, 41, dtype=np.float32)
    points = np.stack(np.meshgrid(axis, axis), -1).reshape(-1, 2)
    assert bundles(card).log_prob(points).min() > -1e7


def test_the_page_of_models_is_what_their_cards_say():
    scripts = Path(__file__).parents[2] / "scripts"
    done = subprocess.run([sys.executable, scripts / "model_page.py", "--check"], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr or "python scripts/model_page.py writes it again"
