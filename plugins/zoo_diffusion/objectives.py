"""The weighting of the training loss, its times, and the coupling of noise and data.

The loss is a weighted mean of \\|F - target\\|², with F the network's output. Weightings are given by the weight w of
the error of the denoised sample D, w(σ̃)·\\|D - x₀\\|² with the noise level σ̃ = σ/α and SNR = 1/σ̃²:

==========  ==============================  ==========================================================
name        w                               source
==========  ==============================  ==========================================================
prediction  that of weight 1 for F          Ho et al. 2020, eq. 14, for ε; and likewise for the others
min-snr     min(SNR, γ), γ = 5              Hang et al. 2023, arXiv:2303.09556, eq. 8
p2          SNR/(k + SNR)^γ, k = 1, γ = 1   Choi et al. 2022, arXiv:2204.00227, eq. 8
edm         (σ̃² + s²)/(σ̃·s)²                Karras et al. 2022, arXiv:2206.00364, table 1
likelihood  ½·SNR / density of ln SNR       Song et al. 2021, arXiv:2101.09258, section 4.1
==========  ==============================  ==========================================================

With ``likelihood``, the expected loss is the diffusion term of the variational bound on -log p in the limit of many
steps, ½·∫ SNR·E\\|D - x₀\\|² d(ln SNR) between the ends of the path (Kingma et al. 2021, arXiv:2107.00630), in nats per
dimension of the state. The bound's other terms (:mod:`zoo.likelihood.bound`) do not depend on the network.

Times are drawn from

=============  ==============================================  ===============================================
name           t                                               source
=============  ==============================================  ===============================================
uniform        U(0, 1)                                         Ho et al. 2020, algorithm 1
logit-normal   1/(1 + exp(-n)), n ~ N(mean, std²); 0 and 1     Esser et al. 2024, arXiv:2403.03206, section 3.1
noise-level    where ln σ̃ ~ N(mean, std²); -1.2 and 1.2        Karras et al. 2022, table 1
log-snr        where ln SNR is uniform                         Song et al. 2021, section 5.1
importance     where ln SNR has a density ∝ SNR/(1 + SNR)      below
=============  ==============================================  ===============================================

The last two are importance sampling for ``likelihood``, which needs one of them: between the ends of the path, their
density is that of the integrand above where ε cannot be told at all, or where the data are standard normal. The latter
spends few samples on states that are nearly pure noise; ``likelihood`` takes it unless told otherwise.

Noise is independent of the data, or paired with it so that the sum of squared distances in a batch is the least
(``coupling = "optimal-transport"``; Tong et al. 2024, arXiv:2302.00482, section 3.2): paths then cross less, and few
steps suffice.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, fields
from statistics import NormalDist
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from zoo.errors import ConfigError
from zoo.likelihood import log_noise_ends
from zoo.models.sharing import of_batch
from zoo.paths import GaussianPath
from zoo.training.pairing import paired
from zoo_diffusion.prediction import Prediction, slope

WEIGHTINGS = ("prediction", "min-snr", "p2", "edm", "likelihood")
TIMES = ("uniform", "logit-normal", "noise-level", "log-snr", "importance")
COUPLINGS = ("independent", "optimal-transport")
#: those of ``likelihood``
IMPORTANCE = ("log-snr", "importance")
#: mean and standard deviation, unless given
_SPREAD = {"logit-normal": (0.0, 1.0), "noise-level": (-1.2, 1.2)}


@dataclass(frozen=True)
class Objective:
    """How a diffusion is trained.

    Attributes:
        weighting: one of the above.
        gamma: γ of ``min-snr`` and ``p2``; None for their own.
        times: one of the above; None for ``uniform``, or ``importance`` if the weighting is ``likelihood``.
        mean: of the normal variable behind the times; None for that of the source.
        std: its standard deviation; likewise.
        coupling: ``independent`` or ``optimal-transport``.
    """

    weighting: str = "prediction"
    gamma: float | None = None
    times: str | None = None
    mean: float | None = None
    std: float | None = None
    coupling: str = "independent"

    def __post_init__(self) -> None:
        if self.times is None:
            object.__setattr__(self, "times", "importance" if self.weighting == "likelihood" else "uniform")
        for name, known in (("weighting", WEIGHTINGS), ("times", TIMES), ("coupling", COUPLINGS)):
            if getattr(self, name) not in known:
                raise ConfigError(
                    f"the objective's {name} must be one of {', '.join(known)}, not {getattr(self, name)!r}"
                )
        if self.gamma is not None and (self.weighting not in ("min-snr", "p2") or not self.gamma > 0):
            raise ConfigError("the objective's gamma applies to min-snr and p2 alone, and must be above 0")
        if self.times not in _SPREAD and (self.mean, self.std) != (None, None):
            raise ConfigError(f"{self.times} times have no mean and no std")
        if self.std is not None and not self.std > 0:
            raise ConfigError(f"the objective's std must be above 0, not {self.std!r}")
        if self.weighting == "likelihood" and self.times not in IMPORTANCE:
            raise ConfigError(f"the weighting likelihood takes times {' or '.join(IMPORTANCE)}, not {self.times}")
        if self.weighting == "likelihood" and self.coupling != "independent":
            raise ConfigError("the weighting likelihood bounds -log p with noise that is independent of the data alone")

    @classmethod
    def from_config(cls, config: Mapping[str, Any] | None) -> Objective:
        """From a config's table.

        Raises:
            ConfigError: something in it is unknown.
        """
        if config is not None and not isinstance(config, Mapping):
            raise ConfigError(f'an objective is a table, such as {{ weighting = "min-snr" }}, not {config!r}')
        known = {field.name for field in fields(cls)}
        if unknown := (config or {}).keys() - known:
            raise ConfigError(f"an objective has no {', '.join(sorted(unknown))}: it has {', '.join(sorted(known))}")
        return cls(**(config or {}))

    def draw_times(self, n: int, path: GaussianPath) -> NDArray[np.float64]:
        """Times ``[n]`` in [0, 1]: the quantiles at one uniform offset plus multiples of 1/n.

        That covers the distribution in every batch and lowers the variance of the gradient (Kingma et al. 2021,
        appendix I.1). The offset comes from torch's global generator.
        """
        quantiles = of_batch(n, spread).numpy()
        if self.times == "uniform":
            return quantiles
        if self.times in IMPORTANCE:
            return np.asarray(path.time_at(self._log_snr(quantiles, path))).clip(0.0, 1.0)
        mean, std = (
            a if b is None else b for a, b in zip(_SPREAD[str(self.times)], (self.mean, self.std), strict=True)
        )
        normal = NormalDist(mean, std)
        # the ends of the line are not in the distribution
        drawn = np.array([normal.inv_cdf(min(max(q, 1e-9), 1 - 1e-9)) for q in quantiles])
        if self.times == "logit-normal":
            return np.asarray(1.0 / (1.0 + np.exp(-drawn)))
        return np.asarray(path.time_at(-2.0 * drawn)).clip(0.0, 1.0)

    def _log_snr(self, quantiles: NDArray[np.float64], path: GaussianPath) -> NDArray[np.float64]:
        """Log-SNRs at quantiles of their distribution between the ends of the path."""
        low, high = self._integrals(path)
        integral = low + (high - low) * quantiles
        if self.times == "log-snr":
            return integral
        return np.asarray(integral + np.log(-np.expm1(-integral)))

    def _integrals(self, path: GaussianPath) -> tuple[float, float]:
        """The integral of their density, not normalised, up to the least and up to the largest log-SNR of a likelihood.

        That of 1 is λ, and that of SNR/(1 + SNR) is ln(1 + SNR).
        """
        high, low = (-2.0 * log_noise for log_noise in log_noise_ends(path))
        if self.times == "log-snr":
            return low, high
        return float(np.logaddexp(0.0, low)), float(np.logaddexp(0.0, high))

    def weights(
        self, prediction: Prediction, path: GaussianPath, alpha: Tensor, sigma: Tensor, data_std: float
    ) -> Tensor:
        """Of \\|F - target\\|², shaped as ``alpha``."""
        if self.weighting == "prediction":
            return torch.ones_like(alpha)
        level2 = (sigma / alpha).square()
        if self.weighting == "min-snr":
            of_denoised = torch.clamp(1 / level2, max=5.0 if self.gamma is None else self.gamma)
        elif self.weighting == "p2":
            of_denoised = (1 / level2) / (1 + 1 / level2) ** (1.0 if self.gamma is None else self.gamma)
        elif self.weighting == "likelihood":
            low, high = self._integrals(path)
            share = 1.0 if self.times == "log-snr" else 1 / (1 + level2)
            of_denoised = 0.5 * (high - low) / (level2 * share)
        else:
            of_denoised = (level2 + data_std**2) / (level2 * data_std**2)
        return of_denoised * slope(prediction, alpha, sigma, data_std).square()

    def paired(self, noise: Tensor, state: Tensor, condition: Tensor | None = None) -> Tensor:
        """The noise in the order in which it meets the data: within each class, where there are classes."""
        if self.coupling == "independent":
            return noise
        return paired(noise, state, condition if condition is not None and condition.ndim == 1 else None)


def spread(n: int) -> Tensor:
    """``n`` numbers in [0, 1), 1/n apart, float64: a uniform offset from torch's global generator turns them."""
    offset = torch.rand((), dtype=torch.float64)
    return (offset + torch.arange(n, dtype=torch.float64) / n) % 1.0


def drop_condition(condition: Tensor | None, null_class: int | None, share: float) -> Tensor | None:
    """Classes ``[n]`` with a random share of them replaced by the null class, if there is one (Ho & Salimans 2022)."""
    if null_class is None or condition is None:
        return condition
    hide = torch.rand(len(condition), device=condition.device) < share
    return torch.where(hide, torch.full_like(condition, null_class), condition)
