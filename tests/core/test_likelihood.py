"""The probability-flow likelihood of a Gaussian, whose log-density is known."""

import numpy as np
import pytest

from zoo.errors import UsageError
from zoo.likelihood import LOG_NOISE_MAX, hutchinson_log_prob
from zoo.paths import PATHS

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
    np.testing.assert_allclose(hutchinson_log_prob(evaluate, X, path, steps=256), expected, atol=5e-5)
    # and that differs from the density itself by the standard normal prior, which the ends of the path nearly reach,
    # and by the scale and the noise of x at the first of them
    first = 2 * (sigma[0] / STD) ** 2 + 10 * (1 - alpha[0])
    np.testing.assert_allclose(expected, EXACT, atol=10 * alpha[1] / unit * abs(MEAN) + first)


def test_the_error_falls_with_the_fourth_power_of_the_steps():
    path = PATHS["cosine-log-snr"]()
    fine = hutchinson_log_prob(evaluate, X, path, steps=256)
    errors = [np.abs(hutchinson_log_prob(evaluate, X, path, steps=n) - fine).max() for n in (16, 32)]
    assert 3.5 < np.log2(errors[0] / errors[1]) < 5.0


def test_probes_do_not_depend_on_the_batch():
    def noisy(x, time, alpha, sigma, probe):
        denoised, trace = evaluate(x, time, alpha, sigma, probe)
        return denoised, trace + probe.prod(1) * 0.01

    path = PATHS["cosine-log-snr"]()
    whole = hutchinson_log_prob(noisy, X, path, seed=3, steps=4, probes=2)
    parts = [hutchinson_log_prob(noisy, X[i : i + 7], path, seed=3, steps=4, probes=2, first=i) for i in (0, 7, 14)]
    np.testing.assert_allclose(whole, np.concatenate(parts), rtol=1e-12)


@pytest.mark.parametrize(("steps", "probes"), [(0, 1), (1, 0), (-3, 1)])
def test_nothing_to_do_is_refused(steps, probes):
    with pytest.raises(UsageError, match="1 or more"):
        hutchinson_log_prob(evaluate, X, PATHS["vp-linear"](), steps=steps, probes=probes)
