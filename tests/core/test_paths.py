"""Gaussian paths against their defining equations."""

import numpy as np
import pytest

from zoo.errors import ConfigError, UnknownNameError, UsageError
from zoo.paths import (
    EDM,
    PATHS,
    VE,
    CosineLogSNR,
    DDPMCosine,
    DDPMLinear,
    GaussianPath,
    LinearBeta,
    Masking,
    RectifiedFlow,
    SubVP,
    VariancePreserving,
    path_from,
    require_gaussian,
)

T = np.linspace(0, 1, 101)
ZERO_SNR = [path_from({"name": n, "zero_terminal_snr": True}) for n in PATHS if n.startswith("ddpm-")]
EVERY = [*(cls() for cls in PATHS.values()), *ZERO_SNR, RectifiedFlow(shift=3.0), DDPMLinear(num_timesteps=40)]


def inside(path):
    """Times at which the log-SNR is finite."""
    return np.linspace(path.t_min, 0.9995 if path.zero_terminal_snr else 1.0, 1001)


@pytest.mark.parametrize("path", EVERY, ids=lambda p: "-".join(str(v) for v in p.describe().values()))
class TestEveryPath:
    def test_alpha_sigma_agree_with_the_log_snr(self, path):
        t = inside(path)
        alpha, sigma = path.alpha_sigma(t)
        np.testing.assert_allclose(np.log(alpha**2 / sigma**2), path.log_snr(t), rtol=1e-9, atol=1e-9)
        if isinstance(path, VariancePreserving):
            np.testing.assert_allclose(alpha**2 + sigma**2, 1.0, rtol=1e-14)

    def test_the_log_snr_falls(self, path):
        assert (np.diff(path.log_snr(inside(path))) < 0).all()

    def test_time_at_inverts_the_log_snr(self, path):
        np.testing.assert_allclose(path.time_at(path.log_snr(inside(path))), inside(path), atol=1e-9)
        np.testing.assert_allclose(path.time_at(path.log_snr(1.0)), 1.0, atol=1e-12)

    def test_the_ends_are_nearly_data_and_nearly_noise(self, path):
        alpha, sigma = path.alpha_sigma(np.array([path.t_min, 1.0]))
        assert sigma[0] < 0.06
        assert alpha[0] > 0.99
        assert alpha[1] < 0.08 * sigma[1] or (path.name == "ddpm-linear" and path.num_timesteps == 40)
        assert (alpha[1] == 0.0) == path.zero_terminal_snr
        assert (path.log_snr(1.0) == -np.inf) == path.zero_terminal_snr

    def test_the_network_time_is_finite_and_grows(self, path):
        time = path.network_time(T)
        assert np.isfinite(time).all()
        assert (np.diff(time) > 0).all()

    def test_a_description_gives_the_path_back(self, path):
        assert path_from(path.describe()) == path
        assert type(path_from(path.name)) is type(path)


@pytest.mark.parametrize("name", [n for n in PATHS if n.startswith("ddpm-")])
class TestDiscrete:
    def test_alpha_bar_is_the_product_of_the_betas(self, name):
        path = path_from(name)
        alpha, _ = path.alpha_sigma(np.arange(1000) / 999)
        np.testing.assert_allclose(alpha**2, np.cumprod(1 - path.betas()), rtol=1e-11)

    def test_the_network_is_given_whole_timesteps(self, name):
        np.testing.assert_array_equal(path_from(name).network_time(np.arange(1000) / 999), np.arange(1000))
        assert path_from(name).network_time(998.5 / 999) == pytest.approx(998.5, abs=1e-9)

    def test_rescaling_ends_in_noise_and_keeps_the_first_timestep(self, name):
        """Lin et al. 2024, algorithm 1: √ᾱ is shifted and scaled, all else stays."""
        plain, rescaled = path_from(name), path_from({"name": name, "zero_terminal_snr": True})
        a, b = (p.alpha_sigma(np.arange(1000) / 999)[0] for p in (plain, rescaled))
        assert b[-1] == 0.0
        assert b[0] == pytest.approx(a[0], rel=1e-12)
        np.testing.assert_allclose((a - a[-1]) / (a[0] - a[-1]), b / b[0], atol=1e-12)


def test_cosine_and_sigmoid_follow_their_alpha_bar():
    """Until the clipped betas at the end, ᾱ is the paper's function of (τ + 1)/T."""
    u = np.arange(1, 1000) / 1000
    cosine = np.cos(np.pi / 2 * (u + 0.008) / 1.008) ** 2 / np.cos(np.pi / 2 * 0.008 / 1.008) ** 2
    np.testing.assert_allclose(path_from("ddpm-cosine").alpha_sigma(np.arange(999) / 999)[0] ** 2, cosine, rtol=1e-9)
    s = lambda z: 1 / (1 + np.exp(-z))  # noqa: E731
    sigmoid = (s(3) - s(-3 + 6 * u)) / (s(3) - s(-3))
    np.testing.assert_allclose(path_from("ddpm-sigmoid").alpha_sigma(np.arange(999) / 999)[0] ** 2, sigmoid, rtol=1e-9)


def test_sub_vp_has_less_variance_than_vp():
    """Song et al. 2021, eq. 29: the standard deviation of sub-VP is the variance of VP."""
    sub, vp = SubVP(start=1e-5), LinearBeta(start=1e-5)
    np.testing.assert_allclose(sub.alpha_sigma(T)[0], vp.alpha_sigma(T)[0], rtol=1e-12)
    np.testing.assert_allclose(sub.alpha_sigma(T)[1], vp.alpha_sigma(T)[1] ** 2, rtol=1e-9)


def test_ve_and_edm_reach_the_noise_levels_they_name():
    np.testing.assert_allclose(VE(0.1, 10.0).alpha_sigma(np.array([0.0, 0.5, 1.0]))[1], [0.1, 1.0, 10.0])
    t = np.linspace(1, 0, 18)
    i = np.arange(18)  # Karras et al. 2022, eq. 5
    karras = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(EDM().alpha_sigma(t)[1], karras, rtol=1e-12)
    np.testing.assert_allclose(EDM().network_time(t), np.log(karras) / 4, rtol=1e-9)


def test_the_shift_multiplies_the_noise_level():
    plain, shifted = RectifiedFlow(), RectifiedFlow(shift=3.0)
    t = np.linspace(0.1, 0.9, 9)
    np.testing.assert_allclose(np.exp(-0.5 * shifted.log_snr(t)), 3.0 * np.exp(-0.5 * plain.log_snr(t)), rtol=1e-12)
    np.testing.assert_allclose(shifted.network_time(t), 3000 * t / (1 + 2 * t))


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


def test_masking_is_a_path_and_not_a_gaussian_one():
    path = path_from("masking")
    assert path == Masking()
    assert not isinstance(path, GaussianPath)
    assert path_from(path.describe()) == path
    with pytest.raises(UsageError, match="masking has no noise levels"):
        require_gaussian(path)
    assert all(require_gaussian(gaussian) is gaussian for gaussian in (path_from(name) for name in PATHS))


def test_bad_descriptions_are_refused():
    with pytest.raises(UnknownNameError, match="cosine-log-snrr"):
        path_from("cosine-log-snrr")
    with pytest.raises(ConfigError, match="bogus"):
        path_from({"name": "vp-linear", "bogus": 1})
    with pytest.raises(ConfigError, match="must be below"):
        CosineLogSNR(log_snr_max=-1.0, log_snr_min=1.0)
    with pytest.raises(ConfigError, match="beta_min"):
        LinearBeta(beta_min=2.0, beta_max=1.0)
    with pytest.raises(ConfigError, match="sub-vp needs"):
        SubVP(start=0.0)
    with pytest.raises(ConfigError, match="sigma_min < sigma_max"):
        VE(sigma_min=3.0, sigma_max=2.0)
    with pytest.raises(ConfigError, match="edm needs"):
        EDM(rho=0.0)
    with pytest.raises(ConfigError, match="shift above 0"):
        RectifiedFlow(shift=0.0)
    with pytest.raises(ConfigError, match="num_timesteps"):
        DDPMCosine(num_timesteps=1)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        DDPMLinear(beta_end=1.5)
    with pytest.raises(ConfigError, match="between 0 and 1"):
        path_from({"name": "ddpm-scaled-linear", "beta_start": -0.1})
