"""Log-density of a diffusion by its probability-flow ODE, in NumPy, given any evaluator of the denoiser.

In y = x/α and the log noise level s = ln(σ/α), the probability-flow ODE of every Gaussian path is the same
(Karras et al. 2022, eq. 1), and so is the change of log-density along it (Chen et al. 2018, eq. 8; Song et al. 2021,
eq. 39)::

    dy/ds        = y - D(x, t)
    d log p(y)/ds = -(d - α·tr ∂D/∂x)            d = number of dimensions

It is integrated from the data, assumed to lie at the path's smallest noise level, to the largest, where x is normal
with variance σ² + α² for data of unit scale. On a path that ends in pure noise, where σ/α is infinite,
integration stops at the noise level e¹⁰, where one part in 10⁹ of the variance is data.

The trace is Hutchinson's estimate probeᵀ·J·probe with Rademacher probes held fixed along the path (Grathwohl et al.
2019, section 3.1), or, with unit vectors as probes, the sum of the diagonal: exact, at d times the evaluations.

Error estimates are available with the value, see :func:`log_density_with_errors`: the errors of the steps, of the two
ends of the path and of float32, and that of the probes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from zoo import noise
from zoo.arrays import Float64Array
from zoo.errors import UsageError
from zoo.paths import GaussianPath

#: (state float32 [n, *event], time, α, σ, probe float32) -> (D [n, *event], probeᵀ·∂D/∂x·probe [n])
Evaluator = Callable[[NDArray[np.float32], float, float, float, NDArray[np.float32]], tuple[Any, Any]]

#: the largest noise level to which a path is integrated
LOG_NOISE_MAX = 10.0
#: the distance from 1 to the next float32
FLOAT32 = 2.0**-23

#: the number of probes that selects the exact trace
EXACT = 0
#: the largest number of dimensions whose trace is exact by default
EXACT_SIZE = 16


class LogDensity(NamedTuple):
    """Log-densities and how far they can be trusted, each float64 ``[n]``, in nats.

    Attributes:
        value: with twice the requested steps.
        numerical_error: estimated error due to the steps, the ends of the path and float32.
        standard_error: of the mean over probes; 0 for the exact trace, and NaN for a single probe.
        error: half the width of a 95% confidence interval around the value: the numerical error, and the standard error
            times the quantile of Student's t distribution for that number of probes; NaN for a single probe.
    """

    value: Float64Array
    numerical_error: Float64Array
    standard_error: Float64Array
    error: Float64Array


class _Solved(NamedTuple):
    """One solution of the ODE, each float64 ``[n]``: the log-density, and bounds of the errors not due to its steps."""

    density: Float64Array
    ends: Float64Array
    rounding: Float64Array


def default_probes(dims: int) -> int:
    """The exact trace for few dimensions, one probe for more."""
    return EXACT if dims <= EXACT_SIZE else 1


def evaluations(steps: int, probes: int, dims: int) -> int:
    """The number of evaluations of the denoiser."""
    return 4 * steps * (dims if probes == EXACT else probes)


def log_density(
    evaluate: Evaluator,
    state: Float64Array,
    path: GaussianPath,
    *,
    seed: int = 0,
    steps: int = 32,
    probes: int = 1,
    first: int = 0,
) -> Float64Array:
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
    solved = _of_probes(_in_float64(evaluate), state, path, seed, steps, probes, first)
    mean: Float64Array = np.mean([each.density for each in solved], axis=0)
    return mean


def differentiable_log_density(
    evaluate: Callable[[Any, float, float, float, Any], tuple[Any, Any]],
    state: Any,
    path: GaussianPath,
    *,
    seed: int = 0,
    steps: int = 32,
    probes: int = 1,
) -> Any:
    """:func:`log_density` of tensors of an autodiff library, in its own arithmetic.

    Args:
        evaluate: as for :func:`log_density`, but returns float64 tensors that keep their gradients.
        state: float64 tensor ``[n, *event]``.
        path: the Gaussian path.
        seed: key of the probes.
        steps: number of Runge-Kutta steps.
        probes: estimates averaged for each sample, or :data:`EXACT`.

    Returns:
        float64 tensor ``[n]``.
    """
    estimates: list[Any] = [each.density for each in _estimates(evaluate, state, path, seed, steps, probes, 0)]
    return sum(estimates[1:], estimates[0]) / len(estimates)


def log_density_with_errors(
    evaluate: Evaluator,
    state: Float64Array,
    path: GaussianPath,
    *,
    seed: int = 0,
    steps: int = 32,
    probes: int = 1,
    first: int = 0,
) -> LogDensity:
    """As :func:`log_density` with twice the steps, with error estimates, at three times as many evaluations.

    The numerical error is the sum of three terms, none of which needs additional evaluations:

    - the steps: the difference between 2·N and N of them, times 1 + h² for a step h in the log noise level,
      since that difference estimates the error only if h is small. With few steps it can be larger than the value.
    - the ends of the path: data is assumed to be noised at the smallest level, and the last state to be normal. The
      resulting error follows, to first order in the smallest variance and to second in 1/largest level, from D and
      its trace there, see :func:`_start_error` and :func:`_end_error`. The absolute values of its parts are added.
    - float32, in which states are passed and D is returned: one unit in the last place of either at every step,
      always of the same sign.

    It cannot account for structure in the data finer than the smallest noise level.
    """
    exact = _in_float64(evaluate)
    coarse, fine = (_of_probes(exact, state, path, seed, n, probes, first) for n in (steps, 2 * steps))
    each = np.array([solved.density for solved in fine])
    value = each.mean(0)
    h = np.subtract(*log_noise_ends(path)[::-1]) / steps
    by_steps = (1.0 + h**2) * np.abs(value - np.mean([solved.density for solved in coarse], axis=0))
    numerical = by_steps + np.mean([solved.ends + solved.rounding for solved in fine], axis=0)
    if probes == EXACT:
        spread, error = np.zeros(len(state)), numerical
    elif probes == 1:
        spread = error = np.full(len(state), np.nan)
    else:
        spread = each.std(0, ddof=1) / math.sqrt(probes)
        error = numerical + student_t(probes - 1) * spread
    return LogDensity(value, numerical, spread, error)


def student_t(freedom: int, confidence: float = 0.95) -> float:
    """The t with P(\\|T\\| < t) = ``confidence`` for Student's T with ``freedom`` degrees of freedom.

    With T = √ν·tan θ, the density of θ is cos^(ν-1) θ up to a constant. Its integral is computed by quadrature, and
    the quantile by bisection.

    Raises:
        UsageError: ``freedom`` below 1, or a ``confidence`` outside (0, 1).
    """
    if freedom < 1 or not 0.0 < confidence < 1.0:
        raise UsageError(
            f"a t distribution needs 1 degree of freedom or more and a confidence in (0, 1), not {freedom}"
        )
    # beyond some thousands of degrees of freedom it is normal to all relevant digits
    power = min(freedom, 10_000) - 1
    abscissae, weights = np.polynomial.legendre.leggauss(256)

    def share(theta: float) -> float:
        # cos^(ν-1) vanishes beyond a few 1/√ν
        return 0.5 * theta * float(weights @ np.cos(0.5 * theta * (abscissae + 1.0)) ** power)

    whole, low, high = share(min(math.pi / 2, 12.0 / math.sqrt(power + 1))), 0.0, math.pi / 2
    for _ in range(60):
        middle = 0.5 * (low + high)
        low, high = (middle, high) if share(middle) < confidence * whole else (low, middle)
    return math.sqrt(power + 1) * math.tan(low)


def _in_float64(
    evaluate: Evaluator,
) -> Callable[[Float64Array, float, float, float, Any], tuple[Float64Array, Float64Array]]:
    """An evaluator in float32, wrapped to take states in float64."""

    def exact(
        x: Float64Array, time: float, alpha: float, sigma: float, probe: Any
    ) -> tuple[Float64Array, Float64Array]:
        d, trace = evaluate(x.astype(np.float32), time, alpha, sigma, probe)
        return np.asarray(d, np.float64), np.asarray(trace, np.float64)

    return exact


def _of_probes(
    evaluate: Callable[..., tuple[Any, Any]],
    state: Float64Array,
    path: GaussianPath,
    seed: int,
    steps: int,
    probes: int,
    first: int,
) -> list[_Solved]:
    """A solution for each probe; one with the exact trace."""
    return list(_estimates(evaluate, state, path, seed, steps, probes, first))


def _estimates(
    evaluate: Callable[..., tuple[Any, Any]],
    state: Any,
    path: GaussianPath,
    seed: int,
    steps: int,
    probes: int,
    first: int,
) -> Iterator[_Solved]:
    """The solutions of :func:`_of_probes`, as arrays or tensors like the state."""
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
    evaluate: Callable[..., tuple[Any, Any]],
    state: Any,
    path: GaussianPath,
    steps: int,
    probes: Sequence[NDArray[np.float32]],
) -> _Solved:
    """Integrates with the trace summed over probes; generic over arrays and tensors, with errors only for arrays."""
    n, dims = len(state), math.prod(state.shape[1:])
    start, end = log_noise_ends(path)

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
    y, change, ends, rounding = state / alpha0, 0.0, np.zeros(n), np.zeros(n)
    told = isinstance(state, np.ndarray)
    h = (end - start) / steps
    for i in range(steps):
        s = start + i * h
        k1, l1 = slope(s, y)
        if told and i == 0:
            ends = _start_error(alpha0, math.exp(s), y, k1, l1)
        if told:
            rounding = rounding + h * _rounding_rate(math.exp(s), y, k1, l1)
        k2, l2 = slope(s + h / 2, y + h / 2 * k1)
        k3, l3 = slope(s + h / 2, y + h / 2 * k2)
        k4, l4 = slope(s + h, y + h * k3)
        if told and i == steps - 1:
            # D hardly depends on its argument there, so the last stage's is used
            ends = ends + _end_error(math.exp(end), y + h * k3, k4, l4)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + k4)
        change = change + h / 6 * (l1 + 2 * l2 + 2 * l3 + l4)
    alpha1, sigma1 = (float(a) for a in path.alpha_sigma(path.time_at(-2.0 * end)))
    # x, in units of its standard deviation
    scale1 = alpha1 / math.hypot(alpha1, sigma1)
    x = scale1 * y
    prior = -0.5 * _dot(x, x) - 0.5 * dims * math.log(2 * math.pi) + dims * math.log(scale1)
    # `change` is the change of log p(y) from data to noise, so it is subtracted; y = x/α scales the density by α
    return _Solved(prior - change - dims * math.log(alpha0), ends, rounding)


def log_noise_ends(path: GaussianPath) -> tuple[float, float]:
    """ln(σ/α) at the two ends of a likelihood, towards data and towards noise."""
    start, end = (min(-0.5 * float(path.log_snr(t)), LOG_NOISE_MAX) for t in (path.t_min, 1.0))
    return start, end


def _dot(a: Any, b: Any) -> Any:
    return (a * b).reshape(len(a), -1).sum(1)


def _start_error(alpha: float, level: float, y: Float64Array, k: Float64Array, change: Float64Array) -> Float64Array:
    """The error of taking x₀ for x at the smallest noise level n, ``[n]``: in the density there, and in the scale of y.

    The heat equation gives ∂ log p(y)/∂s = n²·(Δ log p + |∇ log p|²) = change + |k|²/n² with k = y - D = -n²·∇ log p.
    It grows as n², so its integral from s = -∞ is half of it. y - x₀ = (1 - α)·y changes log p by that times the
    score, and by half its square times the curvature, which is at most the Laplacian where log p is concave; the
    score itself is known only to the digits that float32 leaves of k.
    """
    spread = 0.5 * (np.abs(change) + _dot(k, k) / level**2)
    size = _dot(y, y)
    lost = FLOAT32 * size
    moved = (1.0 - alpha) * (np.abs(_dot(y, k)) + lost) / level**2
    bent = 0.5 * (1.0 - alpha) ** 2 * size * np.abs(change) / level**2
    return np.asarray(spread + moved + bent - _dims(y) * math.log(alpha))


def _end_error(level: float, y: Float64Array, k: Float64Array, change: Float64Array) -> Float64Array:
    """The error of taking y for normal, with mean 0 and variance 1 + n², at the largest noise level n, ``[n]``.

    Data of mean m and covariance C gives N(m, n² + C), and D = m + C·(y - m)/n² up to 1/n⁴. Against N(0, n² + 1), the
    log-density is (y·D - |D|²/2)/n² larger, less terms of trace C/n² = α·trace and d/n²; yᵀ·C·y is estimated by
    |y|²·trace C/d.
    """
    dims, d = _dims(y), y - k
    # |y|²/(d·n²), near 1
    size = _dot(y, y) / (dims * level**2)
    mean = np.abs(_dot(y, d) - 0.5 * _dot(d, d)) / level**2
    return np.asarray(mean + 0.5 * (1.0 + size) * (np.abs(change + dims) + dims / level**2))


def _rounding_rate(level: float, y: Float64Array, k: Float64Array, change: Float64Array) -> Float64Array:
    """The error of log p due to float32, ``[n]`` per unit of s: y moved by ε·|y| along the score, and ε of the
    trace."""
    score = np.sqrt(_dot(k, k)) / level**2
    return np.asarray(FLOAT32 * (np.sqrt(_dot(y, y)) * score + np.abs(change + _dims(y)) + _dims(y)))


def _dims(y: Float64Array) -> int:
    return math.prod(y.shape[1:])
