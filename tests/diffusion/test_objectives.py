"""What diffusions are trained on: weightings, times, coupling and learned variances."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ConfigError  # noqa: E402 - after the check for torch
from zoo.paths import path_from  # noqa: E402
from zoo_diffusion import variance  # noqa: E402
from zoo_diffusion.mlp import MLPDiffusion  # noqa: E402
from zoo_diffusion.objectives import Objective  # noqa: E402
from zoo_diffusion.prediction import denoised, slope  # noqa: E402

PREDICTIONS = ("epsilon", "x0", "v", "velocity", "edm")
ALPHA, SIGMA = (torch.tensor(a, dtype=torch.float64) for a in ([0.99, 0.7, 0.2], [0.141, 0.714, 0.98]))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_slope_is_that_of_the_denoised_sample(prediction):
    x, output = torch.randn(2, 3, dtype=torch.float64)
    change = denoised(prediction, output + 1, x, ALPHA, SIGMA) - denoised(prediction, output, x, ALPHA, SIGMA)
    torch.testing.assert_close(slope(prediction, ALPHA, SIGMA), change)


class TestWeights:
    SNR = (ALPHA / SIGMA) ** 2

    def weights(self, prediction, **config):
        return Objective(**config).weights(prediction, ALPHA, SIGMA, 0.5)

    def test_min_snr_is_what_the_paper_says_for_each_prediction(self):
        clipped = self.SNR.clamp(max=5.0)
        torch.testing.assert_close(self.weights("x0", weighting="min-snr"), clipped)
        torch.testing.assert_close(self.weights("epsilon", weighting="min-snr"), clipped / self.SNR)
        snr = self.SNR / (ALPHA**2 + SIGMA**2)  # the paper's v has α² + σ² = 1
        torch.testing.assert_close(self.weights("v", weighting="min-snr"), clipped / (snr + 1), rtol=5e-3, atol=0)
        assert self.weights("x0", weighting="min-snr", gamma=1.0).max() == 1

    def test_p2_weighs_noise_predictions_by_the_power_of_the_snr(self):
        torch.testing.assert_close(self.weights("epsilon", weighting="p2", gamma=0.5), (1 + self.SNR) ** -0.5)

    def test_edm_weighs_its_own_prediction_evenly(self):
        torch.testing.assert_close(self.weights("edm", weighting="edm"), torch.ones_like(ALPHA))

    def test_unless_said_otherwise_the_prediction_is_weighed_evenly(self):
        assert all((self.weights(prediction) == 1).all() for prediction in PREDICTIONS)


class TestTimes:
    PATH = path_from("cosine-log-snr")

    def draw(self, n=4000, path=PATH, **config):
        torch.manual_seed(0)
        return Objective(**config).draw_times(n, path)

    def test_uniform_times_are_spread_evenly(self):
        times = np.sort(self.draw())
        np.testing.assert_allclose(np.diff(times), 1 / 4000, atol=1e-12)

    def test_logit_normal_times(self):
        drawn = self.draw(times="logit-normal", mean=0.5, std=0.8)
        logits = np.log(drawn / (1 - drawn))
        assert abs(logits.mean() - 0.5) < 2e-3
        assert abs(logits.std() - 0.8) < 5e-3

    def test_noise_levels(self):
        path = path_from("edm")
        alpha, sigma = path.alpha_sigma(self.draw(path=path, times="noise-level"))
        assert abs(np.median(np.log(sigma / alpha)) + 1.2) < 2e-3

    def test_a_batch_of_one_lies_within(self):
        for times in ("uniform", "logit-normal", "noise-level"):
            assert 0 <= self.draw(1, times=times)[0] <= 1


def test_optimal_transport_pairs_what_is_near():
    pytest.importorskip("scipy")
    torch.manual_seed(0)
    state, noise = torch.randn(64, 2), torch.randn(64, 2)
    paired = Objective(coupling="optimal-transport").paired(noise, state)
    assert torch.equal(paired.sort(0)[0], noise.sort(0)[0])
    assert (paired - state).square().sum() < 0.3 * (noise - state).square().sum()
    assert Objective().paired(noise, state) is noise
    swapped = state.flip(0)
    assert torch.equal(Objective(coupling="optimal-transport").paired(swapped, state), state)


def test_optimal_transport_stays_within_classes():
    """Across them, noise would say which class it is to become, and samples of a class start from all noise."""
    pytest.importorskip("scipy")
    torch.manual_seed(0)
    state, noise, classes = torch.randn(64, 2), torch.randn(64, 2), torch.arange(64) % 3
    state[:, 0] += 3.0 * classes
    coupled = Objective(coupling="optimal-transport")
    paired = coupled.paired(noise, state, classes)
    for label in range(3):
        members = classes == label
        assert torch.equal(paired[members].sort(0)[0], noise[members].sort(0)[0])
    assert not torch.equal(paired, coupled.paired(noise, state))
    vectors = torch.randn(64, 5)
    assert torch.equal(coupled.paired(noise, state, vectors), coupled.paired(noise, state))


def test_samples_whose_class_is_hidden_are_paired_within_it(monkeypatch):
    given = []
    monkeypatch.setattr("zoo_diffusion.objectives.paired", lambda noise, data, classes: given.append(classes) or noise)
    condition = {"kind": "classes", "size": 3, "labels": [], "required": False}
    model = MLPDiffusion(
        event_shape=[2], hidden=8, condition=condition, class_dropout=1.0, objective={"coupling": "optimal-transport"}
    )
    classes = torch.arange(12) % 3
    model.loss(torch.randn(12, 2), condition=classes)
    assert torch.equal(given[0], classes)


class TestLearnedVariance:
    """Against the divergence of two Gaussians written out."""

    def test_the_bound_is_the_divergence_of_posterior_and_step(self):
        torch.manual_seed(0)
        x0, d, share = torch.randn(5, dtype=torch.float64), torch.randn(5, dtype=torch.float64), torch.rand(5).double()
        (a_s, s_s), (a_t, s_t) = (torch.tensor(v, dtype=torch.float64) for v in ([0.8, 0.6], [0.6, 0.8]))
        most = s_t**2 - (a_t / a_s) ** 2 * s_s**2
        least = most * s_s**2 / s_t**2
        x_t = torch.randn(5, dtype=torch.float64)

        def mean(clean):
            return a_t / a_s * s_s**2 / s_t**2 * x_t + a_s * most / s_t**2 * clean

        q = torch.distributions.Normal(mean(x0), least.sqrt())
        p = torch.distributions.Normal(mean(d), (most**share * least ** (1 - share)).sqrt())
        expected = torch.distributions.kl_divergence(q, p).mean() / math.log(2)
        torch.testing.assert_close(variance.bound(x0, d, share, (a_s, s_s), (a_t, s_t)), expected)

    def test_only_the_variance_learns_from_it(self):
        class Two(torch.nn.Module):
            def __init__(self):
                super().__init__()
                self.prediction, self.share = (torch.nn.Parameter(torch.full((1, 3), 0.1)) for _ in range(2))

            def forward(self, x, time, condition):
                return torch.cat([self.prediction, self.share], dim=1).expand(len(x), -1)

        from zoo_diffusion.diffusion import Diffusion

        def gradients(kind):
            torch.manual_seed(0)
            model = Diffusion(Two(), (3,), path="cosine-log-snr", prediction="epsilon", variance=kind)
            if kind == "fixed":
                model.network.forward = lambda x, time, condition: model.network.prediction.expand(len(x), -1)
            model.loss(torch.randn(16, 3)).backward()
            return model.network.prediction.grad, model.network.share.grad

        (alone, _), (learned, share) = gradients("fixed"), gradients("learned-range")
        torch.testing.assert_close(learned, alone)
        assert share.abs().max() > 1e-6


@pytest.mark.parametrize(
    ("objective", "says"),
    [
        ({"weighting": "snr"}, "weighting must be one of"),
        ({"times": "beta"}, "times must be one of"),
        ({"coupling": "sinkhorn"}, "coupling must be one of"),
        ({"gamma": 5.0}, "gamma applies to"),
        ({"weighting": "min-snr", "gamma": 0.0}, "above 0"),
        ({"mean": 1.0}, "uniform times have no mean"),
        ({"times": "logit-normal", "std": -1.0}, "std must be above 0"),
        ({"wheighting": "p2"}, "an objective has no wheighting"),
        ("min-snr", "an objective is a table"),
    ],
)
def test_impossible_objectives_are_refused(objective, says):
    with pytest.raises(ConfigError, match=says):
        MLPDiffusion(event_shape=[2], hidden=8, objective=objective)
