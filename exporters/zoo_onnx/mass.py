"""The whole mass of a density in few dimensions: whether ∫ exp(log_prob) is 1, of a model that only scores.

Such a model has no samples to look around, only its ``examples``. Walkers that begin there take Metropolis steps by the
density itself (Metropolis et al. 1953), which need no constant: after these they are where its mass is, for examples
that are but near it. The mass is then estimated by importance sampling from normal kernels around the walkers, each as
wide as its neighbours are apart (Breiman, Meisel & Purcell 1977), so that neither narrow modes nor wide tails are
missed.

What this cannot see are modes that no walker reaches. Where draws have weights too unequal to be trusted, nothing is
concluded.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from zoo import noise

#: log-densities ``[n]`` of points ``[n, d]``
Score = Callable[[Tensor], Tensor]

#: the most dimensions in which a mass of 1 is required
FEW_ENOUGH = 6
_SEED = 79
_STEPS = 96
#: of the widths of a walker's steps, relative to the deviations of all, the decimal logarithms
_SHORTEST, _LONGEST = -2.5, 0.5
_DRAWS = 4096
_NEIGHBOURS = 12
#: widths of the kernels, in deviations of these neighbours
_KERNELS = (0.7, 2.0, 8.0)
#: the least share of draws that must count, by Kish's effective number of them
_TRUSTED = 0.05
_PAIRED = 2**16  # numbers compared at once


@dataclass(frozen=True)
class Mass:
    """An estimate of ∫ exp(log_prob).

    Attributes:
        value: the estimate.
        error: its standard error.
        draws: their number.
        trusted: whether enough of the draws count for the error to mean something.
    """

    value: float
    error: float
    draws: int
    trusted: bool


def whole_mass(score: Score, examples: Tensor) -> Mass:
    """The mass of a density, from examples ``[n, d]`` on.

    Args:
        score: log-densities of points.
        examples: points near its mass, float64.
    """
    centres = walked(score, examples)
    kernels = torch.from_numpy(np.resize(np.array(_KERNELS), _DRAWS))
    drawn, proposed = draws_around(centres, _reach(centres), kernels, _SEED)
    return estimated((score(drawn) - proposed).nan_to_num(-math.inf, posinf=math.inf, neginf=-math.inf))


def estimated(logs: Tensor) -> Mass:
    """A mass by importance sampling, from the log-weights ``[draws]`` log p - log q of draws from q."""
    draws, weights = len(logs), logs.exp()
    mass, error = float(weights.mean()), float(weights.std()) / math.sqrt(draws)
    # Kish's effective number of draws
    effective = float(weights.sum() ** 2 / weights.square().sum().clamp(min=1e-300))
    return Mass(mass, error, draws, effective >= _TRUSTED * draws)


def draws_around(centres: Tensor, widths: Tensor, kernels: Tensor, seed: int) -> tuple[Tensor, Tensor]:
    """Draws from a mixture of normals, and its log-density there.

    Args:
        centres: ``[n, d]``, each as probable as any other.
        widths: deviations around each, ``[n, d]``, or ``[d]`` if they are the same everywhere.
        kernels: factor of the deviations of each draw, ``[draws]``; each that occurs is as frequent as any other.
        seed: of the draws, and the number after it.

    Returns:
        draws ``[draws, d]``, and log-densities ``[draws]``.
    """
    (n, size), count = centres.shape, len(kernels)
    widths = widths.expand(n, size)
    picks = torch.from_numpy(noise.uniform(seed, count, (1,)))[:, 0].double()
    which = (picks * n).long().clamp(max=n - 1)
    z = torch.from_numpy(noise.normal(seed + 1, count, (size,))).double()
    drawn = centres[which] + kernels[:, None] * widths[which] * z
    parts = []
    for kernel in torch.unique(kernels):
        scale = kernel * widths
        # in parts that fit into a processor's cache
        some = torch.split(drawn, max(1, _PAIRED // centres.numel()))
        each = [log_normals((points[:, None] - centres) / scale) - scale.log().sum(1) for points in some]
        parts.append(torch.logsumexp(torch.cat(each), 1) - math.log(n))
    return drawn, torch.logsumexp(torch.stack(parts), 0) - math.log(len(parts))


def walked(score: Score, start: Tensor) -> Tensor:
    """Walkers ``[n, d]`` after Metropolis steps of many widths; those where the density is 0 go anywhere first."""
    n, size = start.shape
    here, logs = start, _finite(score(start))
    for step in range(_STEPS):
        seed = (_SEED << 8) + step
        u = torch.from_numpy(noise.uniform(seed, n, (2,))).double()
        z = torch.from_numpy(noise.normal(seed, n, (size,))).double()
        width = 10 ** (_SHORTEST + (_LONGEST - _SHORTEST) * u[:, :1])
        moved = here + width * _spread(here) * z
        there = _finite(score(moved))
        taken = (torch.log(u[:, 1]) < there - logs) | torch.isneginf(logs)
        here, logs = torch.where(taken[:, None], moved, here), torch.where(taken, there, logs)
    # those that found nothing would stand for nothing
    finite = here[~torch.isneginf(logs)]
    return finite if len(finite) > _NEIGHBOURS else here


def _finite(logs: Tensor) -> Tensor:
    return logs.nan_to_num(-math.inf, posinf=1e300, neginf=-math.inf)


def _spread(points: Tensor) -> Tensor:
    """A deviation for each dimension that outliers do not determine, above 0."""
    low, high = torch.quantile(points, torch.tensor([0.1, 0.9], dtype=points.dtype), dim=0)
    spread = (high - low) / 2.56  # of a normal, its deviation
    largest = float(spread.max())
    # points that are all the same say nothing of how far to look
    return spread.clamp(min=1e-3 * largest) if largest > 0 else torch.ones_like(spread)


def _reach(centres: Tensor) -> Tensor:
    """The deviations ``[n, d]`` of the nearest neighbours of each centre, dimension by dimension."""
    spread = _spread(centres)
    scaled = centres / spread
    nearest = torch.cdist(scaled, scaled).argsort(1)[:, : _NEIGHBOURS + 1]
    reach = scaled[nearest].std(1)
    least = 1e-3 * reach.median(0).values
    return reach.maximum(least).clamp(min=1e-6) * spread


def log_normals(z: Tensor) -> Tensor:
    """The standard normal log-density of the last axis."""
    return -0.5 * (z.square().sum(-1) + z.shape[-1] * math.log(2 * math.pi))
