"""The variational bound of a Gaussian, whose log-density is known."""

import numpy as np
import pytest

from zoo.errors import UsageError
from zoo.likelihood import LOG_NOISE_MAX
from zoo.likelihood.bound import variational_bound
from zoo.paths import PATHS

MEAN, STD = 0.2, 0.4
X = np.random.default_rng(0).normal(MEAN, STD, (400, 3))
EXACT = (-0.5 * ((X - MEAN) / STD) ** 2 - np.log(STD) - 0.5 * np.log(2 * np.pi)).sum(1)


def denoise(x, time, alpha, sigma):
    gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
    return MEAN + gain * (x - alpha * MEAN)


def bound(path="cosine-log-snr", denoise=denoise, **options):
    return variational_bound(denoise, X, PATHS[path](), **options)


@pytest.mark.parametrize("path", ["cosine-log-snr", "rectified-flow", "edm", "vp-linear"])
def test_a_perfect_denoiser_is_near_its_density_from_below(path):
    made, steps = PATHS[path](), 2000
    # a step of length h in log-SNR loses ½·(eʰ - 1 - h) ≈ ¼·h² a dimension where noise is all that is denoised
    reach = min(float(made.log_snr(made.t_min)), 40.0) - max(float(made.log_snr(1.0)), -2 * LOG_NOISE_MAX)
    lost = X.shape[1] * reach**2 / (4 * steps)
    assert lost < 0.5
    assert -lost - 0.01 < bound(path, steps=steps, terms=500).mean() - EXACT.mean() < 0.01


def test_more_steps_are_tighter():
    few, more, many = (bound(steps=n, terms=n).mean() for n in (30, 100, 1000))
    assert few < more < many < EXACT.mean() + 0.01
    # the loss of a step falls with the square of its length
    assert (EXACT.mean() - few) / (EXACT.mean() - more) > 2.5


def test_a_worse_denoiser_has_a_lower_bound():
    assert bound(denoise=lambda *x: denoise(*x) + 0.02).mean() < bound().mean() - 0.1


def test_a_part_of_the_terms_estimates_all_of_them():
    whole = bound(steps=400, terms=400).mean()
    estimates = [bound(steps=400, terms=40, seed=seed).mean() for seed in range(12)]
    error = np.std(estimates, ddof=1) / np.sqrt(12)
    assert abs(np.mean(estimates) - whole) < 4 * error + 0.01


def test_a_sample_does_not_depend_on_its_batch():
    path = PATHS["cosine-log-snr"]()
    parts = [variational_bound(denoise, X[i : i + 150], path, terms=5, seed=3, first=i) for i in (0, 150, 300)]
    np.testing.assert_allclose(bound(terms=5, seed=3), np.concatenate(parts), rtol=1e-12)


@pytest.mark.parametrize(("steps", "terms"), [(0, 1), (10, 0), (10, 11)])
def test_impossible_chains_are_refused(steps, terms):
    with pytest.raises(UsageError, match="terms from 1 to"):
        bound(steps=steps, terms=terms)
