"""Samplers on a mixture of Gaussians, whose denoiser is known: orders of convergence, means and covariances.

The orders are measured between 160 and 320 steps on noise levels from 100 to 0.02, at the point where the last
evaluation is made, against the probability-flow ODE solved by a method and steps of its own. Multistep methods start
with steps of lower order, whose error is of lower order too. It is small because D hardly changes at those noise
levels, and at some number of steps it is all that is left: at 320 steps it is not, yet.
"""

import numpy as np
import pytest

from zoo.paths import EDM, PATHS, CosineLogSNR, RectifiedFlow, path_from
from zoo.samplers import BUILTIN, Grid
from zoo.samplers.loop import run_table

WEIGHTS = np.array([0.3, 0.5, 0.2])
MEANS = np.array([[-1.0, 0.4], [0.6, -0.3], [0.2, 1.1]])
STDS = np.array([0.5, 0.35, 0.6])
MEAN = WEIGHTS @ MEANS
COVARIANCE = (MEANS - MEAN).T * WEIGHTS @ (MEANS - MEAN) + (WEIGHTS @ STDS**2) * np.eye(2)
NOISE = {"name": "exponential", "noise_min": 0.02, "noise_max": 100.0}
START = np.random.default_rng(0).normal(size=(40, 2))


def mixture(x, alpha, sigma):
    """E[x₀ | x_t], float64 ``[n, 2]``."""
    variance = alpha**2 * STDS**2 + sigma**2
    from_mean = x[:, None, :] - alpha * MEANS
    log_weight = np.log(WEIGHTS) - np.log(variance) - 0.5 * (from_mean**2).sum(-1) / variance
    weight = np.exp(log_weight - log_weight.max(1, keepdims=True))
    posterior = MEANS + (alpha * STDS**2 / variance)[:, None] * from_mean
    return ((weight / weight.sum(1, keepdims=True))[..., None] * posterior).sum(1)


def denoise(x, row):
    return mixture(x, row.alpha, row.sigma)


@pytest.fixture(scope="session")
def exact():
    """x/α at noise level 0.02 from 100·START: Runge-Kutta of order 4 in the log noise level, 3000 steps."""
    start, end, steps = np.log(100.0), np.log(0.02), 3000
    h, y = (end - start) / steps, 100.0 * START

    def slope(s, y):
        return y - mixture(y, 1.0, np.exp(s))

    for s in start + h * np.arange(steps):
        k1 = slope(s, y)
        k2 = slope(s + h / 2, y + h / 2 * k1)
        k3 = slope(s + h / 2, y + h / 2 * k2)
        y = y + h / 6 * (k1 + 2 * k2 + 2 * k3 + slope(s + h, y + h * k3))
    return y


ORDERS = [
    ("ddim", {}, 1),
    ("euler", {}, 1),
    ("flow-euler", {}, 1),
    ("dpm-solver-pp", {"order": 1}, 1),
    ("heun", {}, 2),
    ("dpm-solver-2", {}, 2),
    ("dpm-solver-pp", {"order": 2}, 2),
    ("dpm-solver-pp-2s", {}, 2),
    ("dpm-solver-pp-sde", {"eta": 0.0}, 2),
    ("dpm-solver-pp-sde", {"eta": 0.0, "solver": "heun"}, 2),
    ("dpm-solver-pp", {"order": 3}, 3),
    ("unipc", {"order": 1}, 2),
    ("unipc", {"order": 2}, 3),
    ("unipc", {"order": 2, "variant": "bh1"}, 3),
    ("unipc", {"order": 2, "corrector": False}, 2),
    ("unipc", {"order": 3, "corrector": False}, 3),
    ("unipc", {"order": 3}, 4),
    ("lms", {"order": 2}, 2),
    ("lms", {"order": 3}, 3),
    ("lms", {"order": 4}, 4),
    ("plms", {}, 2),
    ("pndm", {}, 2),
    ("ipndm", {}, 2),
    ("deis", {"order": 1}, 1),
    ("deis", {"order": 2}, 2),
    ("deis", {"order": 3}, 3),
    ("deis", {"order": 3, "variable": "log-noise"}, 3),
    ("flow-midpoint", {}, 2),
    ("flow-heun", {}, 2),
    ("flow-rk4", {}, 4),
]


@pytest.mark.parametrize(("name", "options", "order"), ORDERS, ids=lambda v: str(v))
def test_the_error_falls_with_the_order_that_is_claimed(name, options, order, exact):
    errors = []
    for steps in (160, 320):
        table = BUILTIN[name](RectifiedFlow(), steps, spacing=NOISE, **options)
        seen = []
        run_table(
            table, lambda x, row, seen=seen: (seen.append(x / row.alpha), denoise(x, row))[1], START * table.sigma[0]
        )
        errors.append(np.abs(seen[-1] - exact).max())
    assert np.log2(errors[0] / errors[1]) == pytest.approx(order, abs=0.2)


@pytest.mark.parametrize(("name", "options", "order"), ORDERS, ids=lambda v: str(v))
def test_all_gaussian_paths_have_the_same_solution(name, options, order):
    """On the same noise levels, a sampler does the same on every path, but for those that are polynomials in t."""
    if name in {"pndm", "deis"}:
        pytest.skip("depends on the path's t")
    levels = np.geomspace(30, 0.05, 6)
    results = []
    for path in (EDM(), CosineLogSNR(), RectifiedFlow(), path_from("sub-vp"), path_from("ve")):
        times = path.time_at(-2.0 * np.log(levels))
        table = BUILTIN[name](path, 6, spacing=list(times), **options)
        results.append(run_table(table, denoise, START * table.sigma[0]))
    for result in results[1:]:
        np.testing.assert_allclose(result, results[0], rtol=1e-7, atol=1e-8)


#: (sampler, options, steps after which its bias is below 0.01, order of the bias)
STOCHASTIC = [
    ("ddpm", {}, 400, 1),
    ("ddpm", {"variance": "large"}, 400, 1),
    ("ddim", {"eta": 1.0}, 400, 1),
    ("euler-ancestral", {}, 400, 1),
    ("edm", {"churn": 10.0}, 60, 1),
    ("dpm-solver-pp-2s", {"eta": 0.7}, 100, 1),
    ("dpm-solver-pp-sde", {}, 60, 2),
    ("dpm-solver-pp-sde", {"eta": 0.5, "solver": "heun"}, 60, 2),
]


#: the rows of the quick tier
QUICK = ("ddim-{'eta': 1.0}-400-1", "edm-{'churn': 10.0}-60-1", "dpm-solver-pp-sde-{}-60-2")


@pytest.mark.sample(*QUICK)
@pytest.mark.parametrize(("name", "options", "steps", "order"), STOCHASTIC, ids=lambda v: str(v))
def test_a_stochastic_sampler_reaches_mean_and_covariance(name, options, steps, order):
    """Within five standard errors of 10 000 samples, and 0.01 for the finite steps."""
    rng, n = np.random.default_rng(1), 10_000
    spacing = {"name": "karras", "noise_min": 0.02, "noise_max": 30.0}
    table = BUILTIN[name](RectifiedFlow(), steps, spacing=spacing, **options)
    assert (table.noise_scale > 0).any()
    x = run_table(table, denoise, table.initial_scale * rng.normal(size=(n, 2)), lambda _: rng.normal(size=(n, 2)))
    np.testing.assert_allclose(x.mean(0), MEAN, atol=0.01 + 5 * np.sqrt(COVARIANCE.max() / n))
    np.testing.assert_allclose(np.cov(x.T), COVARIANCE, atol=0.01 + 5 * COVARIANCE.max() * np.sqrt(2 / n))


def mean_discrepancy(x, y):
    """MMD² without bias (Gretton et al. 2012, eq. 3) under the kernel exp(-|x - y|²/2h²), h = 0.3."""

    def kernel(a, b):
        squares = (a**2).sum(1)[:, None] + (b**2).sum(1) - 2.0 * a @ b.T
        return np.exp(squares / (-2 * 0.3**2))

    n, m = len(x), len(y)
    within = [(kernel(a, a).sum() - len(a)) / (len(a) * (len(a) - 1)) for a in (x, y)]
    return sum(within) - 2.0 * kernel(x, y).sum() / (n * m)


def drawn(rng, n):
    """Samples of the target."""
    part = rng.choice(len(WEIGHTS), n, p=WEIGHTS)
    return MEANS[part] + STDS[part, None] * rng.normal(size=(n, 2))


@pytest.mark.sample(*QUICK)
@pytest.mark.parametrize(("name", "options", "steps", "order"), STOCHASTIC, ids=lambda v: str(v))
def test_a_stochastic_sampler_reaches_the_distribution(name, options, steps, order):
    """Ten times closer to it than the normal distribution of the same mean and covariance."""
    rng, n = np.random.default_rng(3), 3000
    spacing = {"name": "karras", "noise_min": 0.02, "noise_max": 30.0}
    table = BUILTIN[name](RectifiedFlow(), steps, spacing=spacing, **options)
    x = run_table(table, denoise, table.initial_scale * rng.normal(size=(n, 2)), lambda _: rng.normal(size=(n, 2)))
    normal, target = rng.multivariate_normal(MEAN, COVARIANCE, n), drawn(rng, n)
    assert mean_discrepancy(x, target) < 0.1 * mean_discrepancy(normal, target)


def gaussian_variance(table, std):
    """The exact variance of what a table makes of Gaussian data: D = gain·x, so the covariance is just propagated."""
    covariance = np.zeros((table.slots, table.slots))
    covariance[0, 0] = table.initial_scale**2
    for row in table:
        gain = row.alpha * std**2 / (row.alpha**2 * std**2 + row.sigma**2)
        move = row.matrix[:, :-1].copy()
        move[:, 0] += row.matrix[:, -1] * gain
        covariance = move @ covariance @ move.T
        covariance[0, 0] += row.noise_scale**2
    return covariance[0, 0]


@pytest.mark.sample(*(f"{row}-{path}" for row in QUICK for path in ("vp-linear", "edm", "rectified-flow")))
@pytest.mark.parametrize("path", [cls() for cls in PATHS.values()], ids=list(PATHS))
@pytest.mark.parametrize(("name", "options", "steps", "order"), STOCHASTIC, ids=lambda v: str(v))
def test_the_variance_of_gaussian_data_is_reached(name, options, steps, order, path):
    """Without sampling: the bias vanishes, and as fast as the order of the method says or faster."""
    levels = {"noise_min": 0.035, "noise_max": min(float(np.exp(-0.5 * path.log_snr(0.999))), 100.0)}
    bias = []
    for count in (200, 400, 800):
        table = BUILTIN[name](path, count, spacing={"name": "exponential", **levels}, **options)
        # what one noise level, and the last step to D, leave of the variance
        bias.append(gaussian_variance(table, 0.5))
    changes = np.abs(np.diff(bias))
    assert changes[1] < changes[0] * 2.0 ** -(order - 0.2)
    assert bias[-1] == pytest.approx(0.25, abs=0.004)


@pytest.mark.parametrize("name", ["consistency", "lcm"])
def test_a_consistency_model_of_a_gaussian_is_sampled_exactly(name):
    """Its D is the flow to the path's end, affine for a Gaussian, so any number of steps gives the Gaussian."""
    path, mean, std = EDM(), 0.3, 0.5
    least = path.sigma_min if name == "consistency" else 0.0

    def flow(x, row):
        return mean + np.sqrt((std**2 + least**2) / (std**2 + row.sigma**2)) * (x - mean)

    rng, n = np.random.default_rng(0), 200_000
    for steps in (1, 2, 4):
        table = BUILTIN[name](path, steps)
        x = run_table(table, flow, table.initial_scale * rng.normal(size=n), lambda _: rng.normal(size=n))
        # the first state lacks the data's mean: it is noise alone
        assert x.mean() == pytest.approx(mean, abs=0.01)
        assert x.std() == pytest.approx(std, abs=0.005)


def test_the_grid_is_the_one_that_the_orders_are_measured_on():
    grid = Grid(RectifiedFlow(), 160, NOISE)
    assert grid.points[0].noise_level == pytest.approx(100.0)
    assert grid.points[-2].noise_level == pytest.approx(0.02)
