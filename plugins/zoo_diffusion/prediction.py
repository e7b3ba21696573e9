"""What a network predicts, and its exact translation to and from the denoised sample D = E[x₀ | x_t].

Each prediction of a Gaussian path x_t = α·x₀ + σ·ε is linear in x_t and D:

================  =========================  ==========================  ===========================================
name              the network's target       D from its output F         source
================  =========================  ==========================  ===========================================
epsilon           ε                          (x_t - σ·F) / α             Ho et al. 2020, eq. 11
x0                x₀                         F                           Ho et al. 2020, section 3.2
v                 α·ε - σ·x₀                 (α·x_t - σ·F) / (α² + σ²)   Salimans & Ho 2022, section 4 and appendix D
velocity          ε - x₀                     (x_t - σ·F) / (α + σ)       Liu et al. 2023, eq. 1, from data to noise
velocity-to-data  x₀ - ε                     (x_t + σ·F) / (α + σ)       Lipman et al. 2023, eq. 23 at σ_min = 0
edm               (x₀ - skip·x_t) / out      skip·x_t + out·F            Karras et al. 2022, eqs. 7-8 and table 1
================  =========================  ==========================  ===========================================

``velocity-to-data`` is x₁ - x₀ in papers and code whose data are at time 1. Their networks also count time from noise
to data, as the path ``rectified-flow`` does for them with ``data_at_one``.

With q² = σ² + α²·s² and s the standard deviation of the data, edm has skip = α·s²/q² and out = σ·s/q, and its network
sees x_t/q: table 1 at the noise level σ/α, multiplied out so that α = 0 is not a special case.
"""

from __future__ import annotations

from typing import Literal, get_args

import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.paths import GaussianPath

Prediction = Literal["epsilon", "x0", "v", "velocity", "velocity-to-data", "edm"]

#: standard deviation of the data that EDM's preconditioning assumes (Karras et al. 2022, table 1)
DATA_STD = 0.5


def check_prediction(prediction: str, path: GaussianPath) -> Prediction:
    """Return ``prediction`` if it is one that can be used with ``path``.

    Raises:
        ConfigError: unknown, or ε with a path whose signal vanishes at t = 1, where ε says nothing about x₀.
    """
    if prediction not in get_args(Prediction):
        raise ConfigError(f"prediction must be one of {', '.join(get_args(Prediction))}, not {prediction!r}")
    if prediction == "epsilon" and path.zero_terminal_snr:
        raise ConfigError(
            f"epsilon prediction cannot be used with zero terminal SNR, as the path {path.name} has: predict v or x0",
            hint="For a network that is trained already, state a path that ends a little before pure noise, such as "
            "cosine-log-snr, and the numbers that its time has at both ends.",
        )
    return prediction  # type: ignore[return-value]


def network_input(
    prediction: Prediction, x: Tensor, alpha: Tensor, sigma: Tensor, data_std: float = DATA_STD
) -> Tensor:
    """The network's input: x_t itself, or with EDM's preconditioning c_in·x_t, of unit variance."""
    return x / _norm(alpha, sigma, data_std) if prediction == "edm" else x


def target(
    prediction: Prediction, x0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor, data_std: float = DATA_STD
) -> Tensor:
    """The network's target. ``alpha`` and ``sigma`` broadcast against ``x0``."""
    if prediction == "epsilon":
        return noise
    if prediction == "x0":
        return x0
    if prediction == "velocity":
        return noise - x0
    if prediction == "velocity-to-data":
        return x0 - noise
    if prediction == "edm":
        # (x₀ - skip·x_t) / out with x_t = α·x₀ + σ·ε put in, which divides σ out
        return (sigma * x0 - alpha * data_std**2 * noise) / (data_std * _norm(alpha, sigma, data_std))
    return alpha * noise - sigma * x0


def denoised(
    prediction: Prediction, output: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor, data_std: float = DATA_STD
) -> Tensor:
    """D from the network's output. ``alpha`` and ``sigma`` broadcast against ``x``."""
    if prediction == "epsilon":
        return (x - sigma * output) / alpha
    if prediction == "x0":
        return output
    if prediction == "velocity":
        return (x - sigma * output) / (alpha + sigma)
    if prediction == "velocity-to-data":
        return (x + sigma * output) / (alpha + sigma)
    if prediction == "edm":
        norm = _norm(alpha, sigma, data_std)
        return (alpha * data_std**2 / norm * x + sigma * data_std * output) / norm
    return (alpha * x - sigma * output) / (alpha * alpha + sigma * sigma)


def slope(prediction: Prediction, alpha: Tensor, sigma: Tensor, data_std: float = DATA_STD) -> Tensor:
    """∂D/∂F: how an error of the network's output becomes one of the denoised sample."""
    if prediction == "epsilon":
        return -sigma / alpha
    if prediction == "x0":
        return torch.ones_like(sigma)
    if prediction == "velocity":
        return -sigma / (alpha + sigma)
    if prediction == "velocity-to-data":
        return sigma / (alpha + sigma)
    if prediction == "edm":
        return sigma * data_std / _norm(alpha, sigma, data_std)
    return -sigma / (alpha * alpha + sigma * sigma)


def output_for(
    prediction: Prediction, d: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor, data_std: float = DATA_STD
) -> Tensor:
    """The inverse of :func:`denoised`: the output that stands for the denoised sample ``d``; needs σ > 0."""
    return target(prediction, d, (x - alpha * d) / sigma, alpha, sigma, data_std)


def _norm(alpha: Tensor, sigma: Tensor, data_std: float) -> Tensor:
    return (sigma * sigma + alpha * alpha * data_std**2).sqrt()
