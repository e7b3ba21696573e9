"""What diffusions are trained on: weightings, times, coupling and learned variances."""

import math

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from zoo.errors import ConfigError  # noqa: E402 - after the check for torch
from zoo.likelihood import log_noise_ends  # noqa: E402
from zoo.paths import path_from  # noqa: E402
from zoo_diffusion import variance  # noqa: E402
from zoo_diffusion.mlp import MLPDiffusion  # noqa: E402
from zoo_diffusion.objectives import TIMES, Objective  # noqa: E402
from zoo_diffusion.prediction import denoised, slope  # noqa: E402

PREDICTIONS = ("epsilon", "x0", "v", "velocity", "edm")
ALPHA, SIGMA = (torch.tensor(a, dtype=torch.float64) for a in ([0.99, 0.7, 0.2], [0.141, 0.714, 0.98]))


def levels(times, path="cosine-log-snr"):
    return (torch.from_numpy(a) for a in path_from(path).alpha_sigma(np.array(times)))


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_the_slope_is_that_of_the_denoised_sample(prediction):
    x, output = torch.randn(2, 3, dtype=torch.float64)
    change = denoised(prediction, output + 1, x, ALPHA, SIGMA) - denoised(prediction, output, x, ALPHA, SIGMA)
    torch.testing.assert_close(slope(prediction, ALPHA, SIGMA), change)


class TestWeights:
    SNR = (ALPHA / SIGMA) ** 2

    def weights(self, prediction, **config):
        return Objective(**config).weights(prediction, path_from("cosine-log-snr"), ALPHA, SIGMA, 0.5)

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

    def test_likelihood_with_times_by_importance_weighs_v_evenly(self):
        weights = Objective(weighting="likelihood").weights(
            "v", path_from("cosine-log-snr"), *levels([0.1, 0.5, 0.9]), 0.5
        )
        torch.testing.assert_close(weights, torch.full((3,), 0.5 * 13.0, dtype=torch.float64), rtol=1e-5, atol=0)

    def test_likelihood_with_even_log_snrs_weighs_epsilon_evenly(self):
        weights = self.weights("epsilon", weighting="likelihood", times="log-snr")
        torch.testing.assert_close(weights, torch.full((3,), 0.5 * 26.0, dtype=torch.float64))

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

    def test_log_snrs_are_spread_evenly(self):
        log_snrs = np.sort(self.PATH.log_snr(self.draw(times="log-snr")))
        np.testing.assert_allclose(np.diff(log_snrs), 26 / 4000, rtol=1e-6)

    def test_by_importance_there_is_little_near_noise(self):
        log_snrs = np.sort(self.PATH.log_snr(self.draw(times="importance")))
        np.testing.assert_allclose(np.diff(np.logaddexp(0.0, log_snrs)), 13 / 4000, rtol=1e-5)
        assert 0.04 < (log_snrs < 0).mean() < 0.06  # ln 2 of 13

    def test_a_path_to_pure_noise_ends_where_its_likelihood_does(self):
        path = path_from("rectified-flow")
        for times in ("log-snr", "importance"):
            log_snrs = path.log_snr(self.draw(path=path, times=times))
            assert log_snrs.max() <= path.log_snr(path.t_min) + 1e-9
            assert log_snrs.min() >= -20 - 1e-6

    def test_a_batch_of_one_lies_within(self):
        for times in TIMES:
            assert 0 <= self.draw(1, times=times)[0] <= 1


LIKELIHOODS = [
    ("v", "cosine-log-snr", None, None),
    ("epsilon", "cosine-log-snr", "log-snr", None),
    ("velocity", "rectified-flow", None, None),
    ("edm", "edm", None, {"kind": "classes", "size": 3, "labels": [], "required": True}),
]


@pytest.mark.parametrize(("prediction", "path", "times", "condition"), LIKELIHOODS)
def test_the_likelihood_weighted_loss_is_the_diffusion_term_of_the_bound(prediction, path, times, condition):
    """Of the model's own bound, less its terms that do not depend on the network, per dimension of the state."""
    torch.manual_seed(0)
    objective = {"weighting": "likelihood", **({} if times is None else {"times": times})}
    settings = {"path": path, "prediction": prediction, "shift": 1.0, "scale": 2.0, "condition": condition}
    model = MLPDiffusion(event_shape=[2], hidden=16, objective=objective, **settings)
    for parameter in model.parameters():
        parameter.data += 0.1 * torch.randn_like(parameter)  # layers that begin with zeros
    x = 1.0 + 1.5 * torch.randn(512, 2)
    given = {} if condition is None else {"condition": torch.arange(512) % 3}

    highest, lowest = (-2.0 * end for end in log_noise_ends(model.path))
    steps, states = 1000, ((x.double() - 1.0) / 2.0).numpy()
    alpha, sigma = (float(a) for a in model.path.alpha_sigma(model.path.time_at(lowest)))
    share = sigma**2 / (alpha**2 + sigma**2)
    prior = 0.5 * (alpha**2 * states**2 / (alpha**2 + sigma**2) + share - 1 - math.log(share)).sum(1)
    reconstruction = math.log(2 * math.pi) + 1 - highest  # of two dimensions
    bound = model.elbo(x, steps=steps, terms=steps, **given).double().numpy() + 2 * math.log(2.0)
    # a term of the chain is the integrand at its end times e^h - 1, h the step of the log-SNR
    h = (highest - lowest) / steps
    expected = (-bound - prior - reconstruction) / 2 * h / math.expm1(h)

    many = {name: value.repeat(8) for name, value in given.items()}
    with torch.no_grad():
        losses = np.array([float(model.loss(x.repeat(8, 1), **many)) for _ in range(40)])
    error = math.hypot(losses.std(ddof=1) / math.sqrt(40), 1e-3 * expected.mean())
    assert abs(losses.mean() - expected.mean()) < 3 * error
    assert error < 0.01 * expected.mean()


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
        ({"times": "log-snr", "std": 1.0}, "log-snr times have no mean"),
        ({"weighting": "likelihood", "times": "uniform"}, "takes times log-snr or importance, not uniform"),
        ({"weighting": "likelihood", "coupling": "optimal-transport"}, "independent of the data"),
        ({"times": "logit-normal", "std": -1.0}, "std must be above 0"),
        ({"wheighting": "p2"}, "an objective has no wheighting"),
        ("min-snr", "an objective is a table"),
    ],
)
def test_impossible_objectives_are_refused(objective, says):
    with pytest.raises(ConfigError, match=says):
        MLPDiffusion(event_shape=[2], hidden=8, objective=objective)
