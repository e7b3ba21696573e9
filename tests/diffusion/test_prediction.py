"""Predictions: what the network says and the denoised sample are two forms of one thing."""

from typing import get_args

import pytest
import torch

from zoo.errors import ConfigError
from zoo.paths import PATHS, CosineLogSNR, DDPMLinear, RectifiedFlow
from zoo_diffusion.prediction import Prediction, check_prediction, denoised, network_input, output_for, target


@pytest.mark.parametrize("prediction", list(get_args(Prediction)))
@pytest.mark.parametrize("t", [0.01, 0.5, 0.99])
def test_a_perfect_network_gives_the_clean_sample_back(prediction, t):
    alpha, sigma = (torch.as_tensor(a) for a in CosineLogSNR().alpha_sigma(t))
    x0, noise = torch.randn(2, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    x = alpha * x0 + sigma * noise
    output = target(prediction, x0, noise, alpha, sigma)
    torch.testing.assert_close(denoised(prediction, output, x, alpha, sigma), x0, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("path", [cls() for cls in PATHS.values()], ids=list(PATHS))
@pytest.mark.parametrize("prediction", list(get_args(Prediction)))
def test_output_and_denoised_sample_are_each_other_s_inverse(prediction, path):
    alpha, sigma = (torch.as_tensor(a) for a in path.alpha_sigma(0.4))
    x, output = torch.randn(2, 5, dtype=torch.float64)
    d = denoised(prediction, output, x, alpha, sigma)
    torch.testing.assert_close(output_for(prediction, d, x, alpha, sigma), output, rtol=1e-11, atol=1e-11)


def test_edm_preconditioning_is_table_1_of_karras_et_al():
    sigma, x, output = (torch.tensor(v, dtype=torch.float64) for v in (3.0, 1.7, -0.4))
    one, std = torch.ones((), dtype=torch.float64), 0.5
    skip, out = std**2 / (sigma**2 + std**2), sigma * std / (sigma**2 + std**2).sqrt()
    torch.testing.assert_close(denoised("edm", output, x, one, sigma), skip * x + out * output)
    torch.testing.assert_close(network_input("edm", x, one, sigma), x / (sigma**2 + std**2).sqrt())
    assert network_input("v", x, one, sigma) is x


@pytest.mark.parametrize("prediction", ["x0", "v", "velocity", "velocity-to-data", "edm"])
def test_pure_noise_is_no_exception(prediction):
    """α = 0: what the network says there is finite, and so is D."""
    zero, one = torch.zeros((), dtype=torch.float64), torch.ones((), dtype=torch.float64)
    x0, noise = torch.randn(2, 4, dtype=torch.float64)
    output = target(prediction, x0, noise, zero, one)
    torch.testing.assert_close(denoised(prediction, output, noise, zero, one), x0)


def test_what_cannot_be_predicted_is_refused():
    class NoSignal(CosineLogSNR):
        zero_terminal_snr = True

    with pytest.raises(ConfigError, match="epsilon, x0, v, velocity, velocity-to-data, edm"):
        check_prediction("score", CosineLogSNR())
    with pytest.raises(ConfigError, match="zero terminal SNR"):
        check_prediction("epsilon", NoSignal())
    for path in (RectifiedFlow(), DDPMLinear(zero_terminal_snr=True)):
        with pytest.raises(ConfigError, match="zero terminal SNR"):
            check_prediction("epsilon", path)
    assert check_prediction("epsilon", DDPMLinear()) == "epsilon"
    assert check_prediction("v", NoSignal()) == "v"
