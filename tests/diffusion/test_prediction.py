"""Predictions: what the network says and the denoised sample are two forms of one thing."""

import pytest
import torch

from zoo.errors import ConfigError
from zoo.paths import CosineLogSNR
from zoo_diffusion.prediction import check_prediction, denoised, target


@pytest.mark.parametrize("prediction", ["epsilon", "x0", "v"])
@pytest.mark.parametrize("t", [0.01, 0.5, 0.99])
def test_a_perfect_network_gives_the_clean_sample_back(prediction, t):
    alpha, sigma = (torch.as_tensor(a) for a in CosineLogSNR().alpha_sigma(t))
    x0, noise = torch.randn(2, 4, dtype=torch.float64), torch.randn(2, 4, dtype=torch.float64)
    x = alpha * x0 + sigma * noise
    output = target(prediction, x0, noise, alpha, sigma)
    torch.testing.assert_close(denoised(prediction, output, x, alpha, sigma), x0, rtol=1e-9, atol=1e-9)


def test_what_cannot_be_predicted_is_refused():
    class NoSignal(CosineLogSNR):
        zero_terminal_snr = True

    with pytest.raises(ConfigError, match="epsilon, x0, v"):
        check_prediction("score", CosineLogSNR())
    with pytest.raises(ConfigError, match="zero terminal SNR"):
        check_prediction("epsilon", NoSignal())
    assert check_prediction("v", NoSignal()) == "v"
