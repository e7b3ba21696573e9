"""The probability-flow likelihood of a Gaussian, whose log-density is known."""

import importlib.util
from pathlib import Path

import numpy as np
import pytest

from zoo.errors import UsageError
from zoo.likelihood import LOG_NOISE_MAX, log_density, log_density_with_errors, student_t
from zoo.paths import PATHS

ROOT = Path(__file__).resolve().parents[2]
spec = importlib.util.spec_from_file_location("likelihood_coverage", ROOT / "scripts" / "likelihood_coverage.py")
likelihood_coverage = importlib.util.module_from_spec(spec)
spec.loader.exec_module(likelihood_coverage)
Mixture, coverage = likelihood_coverage.Mixture, likelihood_coverage.coverage

MEAN, STD = 0.2, 0.4
X = np.random.default_rng(0).normal(MEAN, STD, (20, 3))
EXACT = (-0.5 * ((X - MEAN) / STD) ** 2 - np.log(STD) - 0.5 * np.log(2 * np.pi)).sum(1)


def evaluate(x, time, alpha, sigma, probe):
    gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
    return MEAN + gain * (x - alpha * MEAN), (gain * probe * probe).sum(1)


@pytest.mark.parametrize("path", [cls() for cls in PATHS.values()], ids=list(PATHS))
def test_a_gaussian_is_scored_exactly(path):
    """(x - α·m)/√(α²s² + σ²) is constant along the flow, so what the ODE should give is known in closed form."""
    # a path that ends in pure noise is left at noise level e¹⁰
    last = path.time_at(-2.0 * LOG_NOISE_MAX) if path.zero_terminal_snr else 1.0
    alpha, sigma = path.alpha_sigma(np.array([path.t_min, last]))
    std = np.sqrt(alpha**2 * STD**2 + sigma**2)
    end = alpha[1] * MEAN + std[1] / std[0] * (X - alpha[0] * MEAN)
    unit = np.hypot(alpha[1], sigma[1])  # the prior's standard deviation: that of data of unit scale
    expected = (-0.5 * (end / unit) ** 2 - 0.5 * np.log(2 * np.pi) + np.log(std[1] / std[0] / unit)).sum(1)
    np.testing.assert_allclose(log_density(evaluate, X, path, steps=256), expected, atol=5e-5)
    # and that differs from the density itself by the standard normal prior, which the ends of the path nearly reach,
    # and by the scale and the noise of x at the first of them
    first = 2 * (sigma[0] / STD) ** 2 + 10 * (1 - alpha[0])
    np.testing.assert_allclose(expected, EXACT, atol=10 * alpha[1] / unit * abs(MEAN) + first)


def test_the_error_falls_with_the_fourth_power_of_the_steps():
    path = PATHS["cosine-log-snr"]()
    fine = log_density(evaluate, X, path, steps=256)
    errors = [np.abs(log_density(evaluate, X, path, steps=n) - fine).max() for n in (16, 32)]
    assert 3.5 < np.log2(errors[0] / errors[1]) < 5.0


def test_probes_do_not_depend_on_the_batch():
    def noisy(x, time, alpha, sigma, probe):
        denoised, trace = evaluate(x, time, alpha, sigma, probe)
        return denoised, trace + probe.prod(1) * 0.01

    path = PATHS["cosine-log-snr"]()
    whole = log_density(noisy, X, path, seed=3, steps=4, probes=2)
    parts = [log_density(noisy, X[i : i + 7], path, seed=3, steps=4, probes=2, first=i) for i in (0, 7, 14)]
    np.testing.assert_allclose(whole, np.concatenate(parts), rtol=1e-12)


def correlated(x, time, alpha, sigma, probe):
    """The denoiser of a Gaussian of covariance ``COVARIANCE``, whose Jacobian is not diagonal."""
    gain = alpha * COVARIANCE @ np.linalg.inv(alpha**2 * COVARIANCE + sigma**2 * np.eye(3))
    return x @ gain.T, np.einsum("ni,ij,nj->n", probe, gain, probe)


COVARIANCE = np.array([[0.3, 0.2, 0.0], [0.2, 0.4, 0.1], [0.0, 0.1, 0.2]])


class TestErrors:
    PATH = PATHS["cosine-log-snr"]()

    def density(self, probes, **options):
        return log_density_with_errors(correlated, X, self.PATH, probes=probes, **options)

    def test_the_exact_trace_has_the_error_of_the_steps_alone(self):
        covariance = COVARIANCE + 1e-5 * np.eye(3)
        quadratic = np.einsum("ni,ij,nj->n", X, np.linalg.inv(covariance), X)
        expected = -0.5 * (quadratic + np.linalg.slogdet(2 * np.pi * covariance)[1])
        found = self.density(0, steps=128)
        np.testing.assert_allclose(found.value, expected, atol=1e-3)
        assert (found.standard_error == 0).all()

    def test_the_numerical_error_is_seen_from_half_the_steps(self):
        fine = log_density(correlated, X, self.PATH, steps=512, probes=0)
        for steps in (16, 32):
            found = self.density(0, steps=steps)
            np.testing.assert_array_equal(found.value, log_density(correlated, X, self.PATH, steps=2 * steps, probes=0))
            assert (np.abs(found.value - fine) < found.numerical_error).all()

    def test_probes_are_off_by_their_standard_error(self):
        exact = log_density(correlated, X, self.PATH, steps=32, probes=0)
        found = self.density(64, steps=16)
        scores = (found.value - exact) / found.standard_error
        assert 0.5 < np.sqrt((scores**2).mean()) < 1.6
        single = self.density(1, steps=2)
        assert np.isnan(single.standard_error).all()
        assert np.isnan(single.error).all()
        assert np.isfinite(single.numerical_error).all()


@pytest.mark.parametrize(("dims", "steps"), [(2, 2), (2, 64), (10, 16)])
@pytest.mark.parametrize("name", ["ddpm-linear", "edm", "ve", "cosine-log-snr", "rectified-flow"])
def test_the_error_covers_at_any_number_of_steps(name, dims, steps):
    assert coverage(PATHS[name](), dims, steps, samples=40).share >= 0.9


@pytest.mark.full
@pytest.mark.parametrize(("dims", "probes"), likelihood_coverage.CASES)
@pytest.mark.parametrize("path", [cls() for cls in PATHS.values()], ids=list(PATHS))
def test_the_error_covers_on_every_path(path, dims, probes):
    found = {steps: coverage(path, dims, steps, probes).share for steps in likelihood_coverage.STEPS}
    assert min(found.values()) >= 0.9, found


@pytest.mark.parametrize("probes", [2, 3, 4, 8])
def test_the_error_covers_with_few_probes(probes):
    assert coverage(PATHS["cosine-log-snr"](), 10, 12, probes, samples=100).share >= 0.9


def test_the_error_is_that_of_the_steps_where_they_are_few_and_of_the_ends_where_they_are_many():
    """An interval that covers because it is as wide as a house would be of no use."""
    mixture, path = Mixture(2), PATHS["ddpm-linear"]()
    x = mixture.x[:40]
    for steps in (32, 64):
        found = log_density_with_errors(mixture.evaluate, x, path, steps=steps, probes=0)
        off = np.abs(found.value - mixture.log_density(x))
        assert np.median(found.error) < 5 * np.median(off)
        assert np.median(found.error) < 0.01


@pytest.mark.parametrize(
    ("freedom", "expected"),
    # Abramowitz & Stegun 1964, table 26.10
    [(1, 12.706), (2, 4.303), (3, 3.182), (7, 2.365), (30, 2.042), (120, 1.980), (10**9, 1.960)],
)
def test_the_quantiles_of_students_t(freedom, expected):
    assert student_t(freedom) == pytest.approx(expected, abs=1e-3)


def test_there_is_no_t_without_freedom():
    with pytest.raises(UsageError, match="1 degree of freedom or more"):
        student_t(0)


@pytest.mark.parametrize(("steps", "probes"), [(0, 1), (1, -1), (-3, 1)])
def test_nothing_to_do_is_refused(steps, probes):
    with pytest.raises(UsageError, match="must be 1 or more"):
        log_density(evaluate, X, PATHS["vp-linear"](), steps=steps, probes=probes)
