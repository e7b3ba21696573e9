"""What is measured of a bundle: against numbers that are known."""

import math
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("onnxscript")
pytest.importorskip("onnxruntime")

from zoo.conditions import Condition  # noqa: E402 - after the checks
from zoo.data import Dataset, Split  # noqa: E402 - after the checks
from zoo.exporting import export  # noqa: E402
from zoo.metrics import agreement  # noqa: E402
from zoo.metrics.agreement import classifier_metrics  # noqa: E402
from zoo.metrics.classifiers import ImageClassifier  # noqa: E402
from zoo.metrics.distance import frechet_distance  # noqa: E402
from zoo.metrics.evaluation import Evaluation, Samples  # noqa: E402
from zoo.metrics.likelihood import likelihood, variational_bound  # noqa: E402
from zoo.runtime import load  # noqa: E402
from zoo_diffusion.mlp import MLPDiffusion  # noqa: E402
from zoo_flows.nice import NICE  # noqa: E402

STD = 0.5


def test_the_distance_of_normals_is_that_of_the_formula():
    random = np.random.default_rng(0)
    a = random.normal(0.0, 1.0, (60_000, 3))
    b = random.normal(0.5, 2.0, (60_000, 3)) * [1.0, 1.0, 0.5]
    expected = 3 * 0.25 - 0.25 + 0.0625 + (1 - 2) ** 2 * 2 + (1 - 1) ** 2
    assert frechet_distance(a, b) == pytest.approx(expected, abs=0.05)
    assert frechet_distance(a, a) == pytest.approx(0.0, abs=1e-9)
    mixed = a @ random.normal(size=(3, 3))
    assert frechet_distance(mixed, b) == pytest.approx(frechet_distance(b, mixed), rel=1e-6)


@pytest.fixture(scope="module")
def gaussian():
    """A data set whose entropy is known."""
    x = STD * np.random.default_rng(0).standard_normal((400, 2)).astype(np.float32)
    split = Split(x, None)
    return Dataset("gaussian", split, split, split, entropy=math.log(2 * math.pi * math.e * STD**2))


@pytest.fixture(scope="module")
def flow(tmp_path_factory, gaussian):
    model = NICE(event_shape=[2], transforms=1, hidden=4, blocks=1).eval()
    model.prepare(torch.from_numpy(gaussian.train.x))
    return load(export(model, tmp_path_factory.mktemp("flow") / "bundle"), "cpu")


@pytest.fixture(scope="module")
def diffusion(tmp_path_factory):
    torch.manual_seed(0)
    model = MLPDiffusion(event_shape=[2], hidden=8, blocks=1, sampling={"steps": 4}).eval()
    return load(export(model, tmp_path_factory.mktemp("diffusion") / "bundle"), "cpu")


class TestLikelihood:
    def test_a_fitted_gaussian_has_no_gap(self, flow, gaussian):
        metrics = likelihood(Evaluation(model=flow, data=gaussian))
        assert abs(metrics["test_gap"]["value"]) < 4 * metrics["test_nll"]["standard_error"]
        assert metrics["test_nll"]["samples"] == 400
        assert "numerical_error" not in metrics["test_nll"]

    def test_only_the_first_are_scored(self, flow, gaussian):
        expected = -flow.log_prob(gaussian.test.x[:7]).mean()
        metrics = likelihood(Evaluation(model=flow, data=gaussian, scored=7))
        assert metrics["test_nll"]["value"] == pytest.approx(expected, abs=1e-4)

    def test_rounded_numbers_get_noise_as_wide_as_their_grain(self, flow, gaussian):
        rounded = replace(gaussian, grain=np.array([1e-6, 3.0], np.float32))
        assert likelihood(Evaluation(model=flow, data=rounded))["test_nll"]["value"] > 1 + gaussian.entropy

    def test_that_of_a_diffusion_comes_with_its_errors(self, diffusion, gaussian):
        metrics = likelihood(Evaluation(model=diffusion, data=gaussian, scored=20, steps=8))
        found = diffusion.log_prob_with_errors(gaussian.test.x[:20], steps=8)
        assert metrics["test_nll"]["value"] == pytest.approx(-found.value.mean(), abs=1e-4)
        assert metrics["test_nll"]["numerical_error"] == pytest.approx(found.numerical_error.mean(), abs=1e-4)
        assert metrics["test_nll"]["probes_standard_error"] == 0  # the exact trace
        assert "ODE" in metrics["test_nll"]["by"]


class TestBound:
    def test_it_is_above_the_likelihood(self, diffusion, gaussian):
        evaluation = Evaluation(model=diffusion, data=gaussian, scored=50, terms=200)
        nll = likelihood(evaluation)["test_nll"]["value"]
        bound = variational_bound(evaluation)["test_bound_nll"]
        assert bound["value"] > nll
        assert bound["samples"] == 50

    def test_a_flow_has_none(self, flow, gaussian):
        assert variational_bound(Evaluation(model=flow, data=gaussian)) == {}


class TestJudged:
    """Two classes of images: dark and light."""

    @pytest.fixture
    def data(self):
        random = np.random.default_rng(0)
        labels = (np.arange(60) % 2).astype(np.int32)
        x = (random.integers(0, 4, (60, 1, 4, 4)) + 10 * labels[:, None, None, None]).astype(np.float32)
        split = Split(x, labels)
        return Dataset("shades", split, split, split, levels=16, labels=("dark", "light"))

    class Model:
        """Draws what it is asked for, but every fourth wrongly."""

        condition = Condition.classes(2)
        manifest = SimpleNamespace(sample="a program")

        def sample(self, n, *, seed, condition, progress):
            shown = np.where(np.arange(n) % 4 == 3, 1 - condition, condition)
            noise = np.random.default_rng(seed).random((n, 1, 4, 4)) * 4
            return (noise + 10 * shown[:, None, None, None]).astype(np.float32)

    @pytest.fixture
    def classifier(self, data):
        """By the mean brightness: of the first layers any function of it will do."""

        class Brightness(ImageClassifier):
            def features(self, x):
                return x.flatten(1).mean(1, keepdim=True)

            def forward(self, x):
                return torch.cat([6 - self.features(x), self.features(x) - 6], dim=1)

        return Brightness(data.event_shape, 2, 16)

    def test_agreement_and_distance(self, data, classifier):
        metrics = classifier_metrics(Evaluation(model=self.Model(), data=data, samples=60), classifier=classifier)
        assert metrics["class_agreement"]["value"] == 0.75
        assert metrics["class_agreement"]["judge_test_accuracy"] == 1.0
        # three quarters of what is drawn are dark: means 2.5 apart, and variances of 5² and (2.5·√3)²
        assert metrics["frechet_distance"]["value"] == pytest.approx(2.5**2 + (5 - 2.5 * 3**0.5) ** 2, rel=0.1)
        assert metrics["frechet_distance"]["of_training_data"] == 0  # the same images here

    def test_each_part_that_is_a_class_is_judged_by_itself(self, data, classifier, monkeypatch):
        parts = [
            {"name": "shade", "modality": "classes", "size": 2, "labels": ["dark", "light"]},
            {"name": "other", "modality": "classes", "size": 2},
            {"name": "size", "modality": "numbers", "shape": [1]},
        ]
        model = self.Model()
        model.condition = Condition.from_description({"parts": parts})
        sizes = np.zeros((60, 1), np.float32)
        shade = data.test.condition
        split = Split(data.test.x, {"shade": shade, "other": 1 - shade, "size": sizes})
        data = Dataset("shades", split, split, split, levels=16)
        evaluation = Evaluation(model=model, data=data, samples=60)
        # two darks of eight are drawn light; of lights none
        wrong = np.arange(60) % 8 == 0
        x = np.where((shade == 1) ^ wrong, 12.0, 1.0)[:, None, None, None] * np.ones((1, 1, 4, 4))
        evaluation.__dict__["drawn"] = Samples(x.astype(np.float32), split.condition)
        seen = []
        monkeypatch.setattr(agreement, "train_classifier", lambda data: seen.append(data.train.condition) or classifier)
        metrics = classifier_metrics(evaluation)
        assert metrics.keys() == {"shade_agreement", "other_agreement"}
        assert metrics["shade_agreement"]["value"] == pytest.approx(1 - wrong.mean(), abs=1e-4)
        assert "the least for dark: 0.73" in metrics["shade_agreement"]["of"]
        # the judge of this test tells shades alone
        assert metrics["other_agreement"]["value"] == pytest.approx(wrong.mean(), abs=1e-4)
        np.testing.assert_array_equal(seen, [shade, 1 - shade])

    def test_what_is_no_labelled_image_is_not_judged(self, flow, gaussian):
        assert classifier_metrics(Evaluation(model=flow, data=gaussian)) == {}


def test_conditions_of_lengths_of_their_own_are_scored_and_sampled_under():
    """Tokens and sequences of a data set, given as lists of arrays."""
    model = load(Path(__file__).parents[1] / "bundles" / "parts" / "everything", "cpu")
    track = [np.ones((1, 2), np.float32), np.full((4, 2), 2.0, np.float32), np.zeros((2, 2), np.float32)]
    words = [np.array([1, 2]), np.array([3]), np.array([2, 2, 1])]
    x, arm = np.arange(6, dtype=np.float32).reshape(3, 2), np.zeros((3, 2), np.float32)
    split = Split(x, {"arm": arm, "track": track, "words": words})
    evaluation = Evaluation(model=model, data=Dataset("three", split, split, split), samples=7)
    alone = [
        model.log_prob(x[i : i + 1], condition={"arm": arm[i], "track": track[i], "words": words[i]}) for i in range(3)
    ]
    assert likelihood(evaluation)["test_nll"]["value"] == pytest.approx(-np.mean(alone), abs=1e-3)
    drawn = evaluation.drawn
    again = model.sample(
        7, seed=1, condition={name: [v[i % 3] for i in range(7)] for name, v in split.condition.items()}
    )
    np.testing.assert_array_equal(drawn.x, again)
