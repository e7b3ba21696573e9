"""What a network predicts, and its exact translation to and from the denoised sample D = E[x₀ | x_t].

Each prediction of a Gaussian path x_t = α·x₀ + σ·ε is linear in x_t and D:

========  =========================  ==========================  ===========================================
name      the network's target       D from its output F         source
========  =========================  ==========================  ===========================================
epsilon   ε                          (x_t - σ·F) / α             Ho et al. 2020, eq. 11
x0        x₀                         F                           Ho et al. 2020, section 3.2
v         α·ε - σ·x₀                 (α·x_t - σ·F) / (α² + σ²)   Salimans & Ho 2022, section 4 and appendix D
========  =========================  ==========================  ===========================================
"""

from __future__ import annotations

from typing import Literal, get_args

from torch import Tensor

from zoo.errors import ConfigError
from zoo.paths import Path

Prediction = Literal["epsilon", "x0", "v"]


def check_prediction(prediction: str, path: Path) -> Prediction:
    """Return ``prediction`` if it is one that can be used with ``path``.

    Raises:
        ConfigError: unknown, or ε with a path whose signal vanishes at t = 1, where ε says nothing about x₀.
    """
    if prediction not in get_args(Prediction):
        raise ConfigError(f"prediction is one of {', '.join(get_args(Prediction))}, not {prediction!r}")
    if prediction == "epsilon" and path.zero_terminal_snr:
        raise ConfigError("epsilon prediction cannot be used with zero terminal SNR: predict v or x0")
    return prediction  # type: ignore[return-value]


def target(prediction: Prediction, x0: Tensor, noise: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """What the network should have said. ``alpha`` and ``sigma`` broadcast against ``x0``."""
    if prediction == "epsilon":
        return noise
    if prediction == "x0":
        return x0
    return alpha * noise - sigma * x0


def denoised(prediction: Prediction, output: Tensor, x: Tensor, alpha: Tensor, sigma: Tensor) -> Tensor:
    """D from the network's output. ``alpha`` and ``sigma`` broadcast against ``x``."""
    if prediction == "epsilon":
        return (x - sigma * output) / alpha
    if prediction == "x0":
        return output
    return (alpha * x - sigma * output) / (alpha * alpha + sigma * sigma)
