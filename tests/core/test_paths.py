"""Gaussian paths against their defining equations."""

import numpy as np
import pytest

from zoo.errors import ConfigError, UnknownNameError
from zoo.paths import PATHS, CosineLogSNR, LinearBeta, path_from

T = np.linspace(0, 1, 101)


@pytest.mark.parametrize("path", [cls() for cls in PATHS.values()], ids=list(PATHS))
class TestEveryPath:
    def test_alpha_sigma_agree_with_the_log_snr(self, path):
        alpha, sigma = path.alpha_sigma(T)
        np.testing.assert_allclose(np.log(alpha**2 / sigma**2), path.log_snr(T), rtol=1e-9, atol=1e-9)
        np.testing.assert_allclose(alpha**2 + sigma**2, 1.0, rtol=1e-14)

    def test_the_log_snr_falls(self, path):
        assert (np.diff(path.log_snr(T)) < 0).all()

    def test_time_at_inverts_the_log_snr(self, path):
        np.testing.assert_allclose(path.time_at(path.log_snr(T)), T, atol=1e-9)

    def test_the_ends_are_nearly_data_and_nearly_noise(self, path):
        alpha, sigma = path.alpha_sigma(np.array([0.0, 1.0]))
        assert sigma[0] < 0.01 < 0.99 < alpha[0]
        assert alpha[1] < 0.01 < 0.99 < sigma[1]

    def test_a_description_gives_the_path_back(self, path):
        assert path_from(path.describe()) == path
        assert path_from(path.name) == path


def test_linear_beta_integrates_its_betas():
    """ln α(t) is minus half the integral of β from 0 to t (Song et al. 2021, eq. 29)."""
    path = LinearBeta(beta_min=0.1, beta_max=20.0, start=1e-5)
    grid = np.linspace(0, 1, 200_001)
    beta = 0.1 + grid * 19.9
    integral = np.concatenate([[0], np.cumsum((beta[1:] + beta[:-1]) / 2 * np.diff(grid))])
    alpha, _ = path.alpha_sigma(T)
    u = path.start + (1 - path.start) * T
    np.testing.assert_allclose(np.log(alpha), np.interp(u, grid, -integral / 2), rtol=1e-6)


def test_cosine_reaches_the_log_snrs_it_names():
    path = CosineLogSNR(log_snr_max=10.0, log_snr_min=-7.0)
    np.testing.assert_allclose(path.log_snr(np.array([0.0, 1.0])), [10.0, -7.0])


def test_bad_descriptions_are_refused():
    with pytest.raises(UnknownNameError, match="cosine-log-snrr"):
        path_from("cosine-log-snrr")
    with pytest.raises(ConfigError, match="bogus"):
        path_from({"name": "vp-linear", "bogus": 1})
    with pytest.raises(ConfigError, match="must be below"):
        CosineLogSNR(log_snr_max=-1.0, log_snr_min=1.0)
    with pytest.raises(ConfigError, match="beta_min"):
        LinearBeta(beta_min=2.0, beta_max=1.0)
