"""How often the likelihood's error covers, where the log-density is known: mixtures of normal distributions.

python scripts/likelihood_coverage.py        # the table of docs/diffusion.md; some minutes

tests/core/test_likelihood.py holds every cell of it to 90%.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo.likelihood import log_density_with_errors
from zoo.paths import PATHS, GaussianPath

STEPS = (1, 2, 3, 4, 6, 8, 16, 32, 100, 128)
SAMPLES = 100
#: dimensions, and probes: 0 is the exact trace
CASES = ((2, 0), (10, 0), (10, 4))


class Mixture:
    """Three round normal distributions in some dimensions, and the denoiser and its derivative in float32."""

    WEIGHTS, STDS = np.array([0.3, 0.5, 0.2]), np.array([0.5, 0.35, 0.6])

    def __init__(self, dims: int) -> None:
        rng = np.random.default_rng(dims)
        self.means = 0.8 * rng.normal(size=(3, dims))
        part = rng.choice(3, SAMPLES, p=self.WEIGHTS)
        drawn = self.means[part] + self.STDS[part, None] * rng.normal(size=(SAMPLES, dims))
        self.x = drawn.astype(np.float32).astype(np.float64)
        self._shown: Any = None
        self._known: tuple[Any, ...] = ()

    def log_density(self, x: NDArray[np.float64]) -> NDArray[np.float64]:
        """Of samples ``[n, dims]``, in closed form, ``[n]``."""
        squares = ((x[:, None] - self.means) ** 2).sum(-1)
        normal = -0.5 * squares / self.STDS**2 - 0.5 * x.shape[1] * np.log(2 * np.pi * self.STDS**2)
        log_densities: NDArray[np.float64] = np.logaddexp.reduce(np.log(self.WEIGHTS) + normal, axis=1)
        return log_densities

    def evaluate(self, x: Any, time: float, alpha: Any, sigma: Any, probe: Any) -> tuple[Any, Any]:
        """The denoised samples and probeᵀ·J·probe: an evaluator of :mod:`zoo.likelihood`."""
        x, alpha, sigma, probe = (np.asarray(value, np.float32) for value in (x, alpha, sigma, probe))
        # one state is shown with every probe in turn
        if self._shown is None or not (self._shown[1:] == (alpha, sigma) and np.array_equal(self._shown[0], x)):
            self._shown, self._known = (x, alpha, sigma), self._denoised(x, alpha, sigma)
        away, weights, gains, from_mean, denoised = self._known
        moved = -np.einsum("nkd,nd->nk", away, probe)
        moved = weights * (moved - (weights * moved).sum(1, keepdims=True))
        derivative = (weights * gains).sum(1)[:, None] * probe + np.einsum("nk,nkd->nd", moved, from_mean)
        assert denoised.dtype == derivative.dtype == np.float32
        return denoised, (derivative * probe).sum(1)

    def _denoised(self, x: Any, alpha: Any, sigma: Any) -> tuple[Any, ...]:
        """(x - α·means)/(α²·variances + σ²), weights and gains of the parts, their means less D, and D."""
        means, variances = self.means.astype(np.float32), (self.STDS**2).astype(np.float32)
        total = alpha * alpha * variances + sigma * sigma
        away = x[:, None] - alpha * means
        logits = np.log(self.WEIGHTS.astype(np.float32)) - np.float32(0.5) * (
            x.shape[1] * np.log(total) + (away**2).sum(-1) / total
        )
        weights = np.exp(logits - logits.max(1, keepdims=True))
        weights /= weights.sum(1, keepdims=True)
        gains = alpha * variances / total
        parts = means + gains[:, None] * away
        denoised = np.einsum("nk,nkd->nd", weights, parts)
        return away / total[:, None], weights, gains, parts - denoised[:, None], denoised


class Covered(NamedTuple):
    """The share of samples whose exact log-density lies within the error, and the median error, in nats."""

    share: float
    error: float


def coverage(path: GaussianPath, dims: int, steps: int, probes: int = 0, samples: int = SAMPLES) -> Covered:
    """What the errors of samples of a mixture are worth on a path."""
    mixture = Mixture(dims)
    x = mixture.x[:samples]
    estimate = log_density_with_errors(mixture.evaluate, x, path, steps=steps, probes=probes)
    share = (np.abs(estimate.value - mixture.log_density(x)) <= estimate.error).mean()
    return Covered(float(share), float(np.median(estimate.error)))


def main() -> None:
    """Print the table: for each path and case the least coverage of any number of steps, and the median errors."""
    chosen = (8, 32, 100)
    print("| path | dimensions | trace | least coverage | " + " | ".join(f"error, {n} steps" for n in chosen) + " |")
    print("| --- | --- | --- | --- |" + " --- |" * len(chosen))
    for name, path_class in PATHS.items():
        for dims, probes in CASES:
            by_steps = {steps: coverage(path_class(), dims, steps, probes) for steps in STEPS}
            least = min(by_steps, key=lambda steps: by_steps[steps].share)
            errors = " | ".join(f"{by_steps[steps].error:.1e}" for steps in chosen)
            trace = f"{probes} probes" if probes else "exact"
            at = "" if by_steps[least].share == 1 else f" ({least} steps)"
            print(f"| {name} | {dims} | {trace} | {by_steps[least].share:.1%}{at} | {errors} |", flush=True)


if __name__ == "__main__":
    main()
