"""Log-density of a diffusion by its probability-flow ODE, in NumPy around any evaluator of the denoiser.

In y = x/α and the log noise level s = ln(σ/α), the probability-flow ODE of every Gaussian path is the same
(Karras et al. 2022, eq. 1), and so is the change of log-density along it (Chen et al. 2018, eq. 8; Song et al. 2021,
eq. 39)::

    dy/ds        = y - D(x, t)
    d log p(y)/ds = -(d - α·tr ∂D/∂x)            d = number of dimensions

It is integrated from the data, taken to lie at the path's smallest noise level, to the largest, where x is normal with
variance σ² plus α² times that of data of unit scale. A path that ends in pure noise, where σ/α is infinite, is left at
the noise level e¹⁰, at which one part in 10⁹ of the variance is data.

The trace is Hutchinson's estimate probeᵀ·J·probe with Rademacher probes held fixed along the path (Grathwohl et al.
2019, section 3.1), or, with unit vectors for probes, the sum of the diagonal: exact, at d evaluations for one.

Both errors can be had with the value. What the steps get wrong is seen from N against 2·N of them; with few steps it
can be larger than the value. What the probes get wrong is their standard error.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo import noise
from zoo.errors import UsageError
from zoo.paths import Path

Array = NDArray[np.float64]
#: (state float32 [n, *event], time, α, σ, probe float32) -> (D [n, *event], probeᵀ·∂D/∂x·probe [n])
Evaluator = Callable[[NDArray[np.float32], float, float, float, NDArray[np.float32]], tuple[Any, Any]]

#: where a path of infinite noise level is left
LOG_NOISE_MAX = 10.0


#: number of probes that stands for the exact trace
EXACT = 0
#: the largest number of dimensions whose trace is exact unless something else is asked for
EXACT_SIZE = 16


class LogDensity(NamedTuple):
    """Log-densities and how far they can be trusted, each float64 ``[n]``, in nats.

    Attributes:
        value: with twice the steps that were asked for.
        numerical_error: how far it is from that with as many as were asked for, whatever their sign.
        standard_error: of the mean over probes; 0 for the exact trace, and not a number for a single probe.
    """

    value: Array
    numerical_error: Array
    standard_error: Array


def default_probes(dims: int) -> int:
    """The exact trace for few dimensions, one probe for more."""
    return EXACT if dims <= EXACT_SIZE else 1


def evaluations(steps: int, probes: int, dims: int) -> int:
    """How often the denoiser is evaluated."""
    return 4 * steps * (dims if probes == EXACT else probes)


def log_density(
    evaluate: Evaluator,
    state: Array,
    path: Path,
    *,
    seed: int = 0,
    steps: int = 32,
    probes: int = 1,
    first: int = 0,
) -> Array:
    """Log-density of states, by the classical Runge-Kutta method of order 4 on an even grid of log noise levels.

    Args:
        evaluate: the denoiser and its trace estimate.
        state: float64 ``[n, *event]``.
        path: the Gaussian path.
        seed: key of the probes, which are drawn on :attr:`zoo.noise.Stream.PROBE`.
        steps: number of Runge-Kutta steps, four evaluations each.
        probes: estimates averaged for each sample, or :data:`EXACT`.
        first: index of the first sample.

    Returns:
        float64 ``[n]``, nats per state.

    Raises:
        UsageError: ``steps`` below 1, or ``probes`` below 0.
    """
    mean: Array = _of_probes(_in_float64(evaluate), state, path, seed, steps, probes, first).mean(0)
    return mean


def differentiable_log_density(
    evaluate: Callable[[Any, float, float, float, Any], tuple[Any, Any]],
    state: Any,
    path: Path,
    *,
    seed: int = 0,
    steps: int = 32,
    probes: int = 1,
) -> Any:
    """:func:`log_density` of tensors of a library that differentiates, in its own arithmetic.

    Args:
        evaluate: as for :func:`log_density`, but from states to tensors that keep their gradients, in float64.
        state: float64 tensor ``[n, *event]``.
        path: the Gaussian path.
        seed: key of the probes.
        steps: number of Runge-Kutta steps.
        probes: estimates averaged for each sample, or :data:`EXACT`.

    Returns:
        float64 tensor ``[n]``.
    """
    estimates = list(_estimates(evaluate, state, path, seed, steps, probes, 0))
    return sum(estimates[1:], estimates[0]) / len(estimates)


def log_density_with_errors(
    evaluate: Evaluator,
    state: Array,
    path: Path,
    *,
    seed: int = 0,
    steps: int = 32,
    probes: int = 1,
    first: int = 0,
) -> LogDensity:
    """As :func:`log_density` with twice the steps, and how far it can be trusted: three times as many evaluations."""
    exact = _in_float64(evaluate)
    coarse, fine = (_of_probes(exact, state, path, seed, n, probes, first) for n in (steps, 2 * steps))
    if probes == EXACT:
        spread = np.zeros(len(state))
    elif probes == 1:
        spread = np.full(len(state), np.nan)
    else:
        spread = fine.std(0, ddof=1) / math.sqrt(probes)
    return LogDensity(fine.mean(0), np.abs(fine.mean(0) - coarse.mean(0)), spread)


def _in_float64(evaluate: Evaluator) -> Callable[[Array, float, float, float, Any], tuple[Array, Array]]:
    """The evaluator of a denoiser in float32 for a state in float64."""

    def exact(x: Array, time: float, alpha: float, sigma: float, probe: Any) -> tuple[Array, Array]:
        d, trace = evaluate(x.astype(np.float32), time, alpha, sigma, probe)
        return np.asarray(d, np.float64), np.asarray(trace, np.float64)

    return exact


def _of_probes(
    evaluate: Callable[..., tuple[Any, Any]],
    state: Array,
    path: Path,
    seed: int,
    steps: int,
    probes: int,
    first: int,
) -> NDArray[np.float64]:
    """An estimate for each probe ``[probes, n]``; ``[1, n]`` with the exact trace."""
    return np.stack(list(_estimates(evaluate, state, path, seed, steps, probes, first)))


def _estimates(
    evaluate: Callable[..., tuple[Any, Any]], state: Any, path: Path, seed: int, steps: int, probes: int, first: int
) -> Iterator[Any]:
    """The rows of :func:`_of_probes`, arrays or tensors as the state is one."""
    if steps < 1 or probes < 0:
        raise UsageError(f"steps must be 1 or more and probes 0 (exact) or more, not {steps} and {probes}")
    n, event = len(state), tuple(state.shape[1:])
    if probes == EXACT:
        units = np.eye(math.prod(event), dtype=np.float32).reshape(-1, 1, *event)
        yield _integrated(evaluate, state, path, steps, [np.broadcast_to(unit, (n, *event)) for unit in units])
    for p in range(probes):
        probe = noise.rademacher(seed, n, event, first=first, step=p)
        yield _integrated(evaluate, state, path, steps, [probe])


def _integrated(
    evaluate: Callable[..., tuple[Any, Any]], state: Any, path: Path, steps: int, probes: Sequence[NDArray[np.float32]]
) -> Any:
    """Log-densities ``[n]`` with the trace the sum over probes; plain arithmetic, for arrays and for tensors."""
    n, dims = len(state), math.prod(state.shape[1:])
    start, end = (min(-0.5 * float(path.log_snr(t)), LOG_NOISE_MAX) for t in (path.t_min, 1.0))

    def slope(s: float, y: Any) -> tuple[Any, Any]:
        t = path.time_at(-2.0 * s).clip(0.0, 1.0)
        alpha, sigma = (float(a) for a in path.alpha_sigma(t))
        x, time = alpha * y, float(path.network_time(t))
        d, total = y, 0.0
        for probe in probes:
            d, trace = evaluate(x, time, alpha, sigma, probe)
            total = total + trace
        return y - d, alpha * total - dims

    alpha0 = float(path.alpha_sigma(path.t_min)[0])
    y, change = state / alpha0, 0.0
    h = (end - start) / steps
    for i in range(steps):
        s = start + i * h
        k1, l1 = slope(s, y)
        k2, l2 = slope(s + h / 2, y + h / 2 * k1)
        k3, l3 = slope(s + h / 2, y + h / 2 * k2)
        k4, l4 = slope(s + h, y + h * k3)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        change = change + h / 6 * (l1 + 2 * l2 + 2 * l3 + l4)
    alpha1, sigma1 = (float(a) for a in path.alpha_sigma(path.time_at(-2.0 * end)))
    # x, in units of its standard deviation
    scale1 = alpha1 / math.hypot(alpha1, sigma1)
    x = scale1 * y
    prior = -0.5 * (x**2).reshape(n, -1).sum(1) - 0.5 * dims * math.log(2 * math.pi) + dims * math.log(scale1)
    # `change` is the change of log p(y) from data to noise, so it is taken off; y = x/α scales the density by α
    return prior - change - dims * math.log(alpha0)
