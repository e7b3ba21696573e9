"""Step tables against closed forms: a Gaussian, whose denoiser is known, is sampled exactly in the limit."""

import importlib
import inspect
from dataclasses import replace

import numpy as np
import pytest

from zoo import noise
from zoo.errors import UnknownNameError, UsageError
from zoo.paths import PATHS, CosineLogSNR, DDPMLinear, LinearBeta, Masking, path_from
from zoo.programs import Iterate
from zoo.registry.cards import Sampler
from zoo.samplers import BUILTIN, GAUSSIAN, SPACINGS, StepTable, evaluations, table_for
from zoo.samplers.ddim import ddim
from zoo.samplers.ddpm import ddpm
from zoo.samplers.edm import edm, heun
from zoo.samplers.euler_ancestral import euler_ancestral
from zoo.samplers.loop import run_table
from zoo.samplers.plugin import zoo_samplers

PATH = CosineLogSNR()
#: samplers that lower the order of a step that is too long for it
LIMITED = [name for name, made in GAUSSIAN.items() if "max_gain" in inspect.signature(made).parameters]
MEAN, STD = 0.3, 0.5


def gaussian_denoiser(x: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
    """E[x₀ | x_t] for x₀ ~ N(MEAN, STD²)."""
    gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
    return MEAN + gain * (x - alpha * MEAN)


def run(table: StepTable, n: int, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    x = table.initial_scale * noise.normal(seed, n, ()).astype(np.float64)
    for step in table:
        denoised = np.clip(gaussian_denoiser(x, step.alpha, step.sigma), -step.clip, step.clip)
        x = (step.matrix @ np.stack([x, denoised]))[0]
        x = x + step.noise_scale * rng.standard_normal(n)
    return x


@pytest.mark.parametrize("path", [CosineLogSNR(), LinearBeta()], ids=lambda p: p.name)
@pytest.mark.parametrize(
    "make", [ddim, lambda p, n: ddim(p, n, eta=1.0), ddpm, lambda p, n: ddpm(p, n, variance="large")]
)
def test_every_sampler_reaches_the_gaussian(path, make):
    x = run(make(path, 400), 100_000)
    assert abs(x.mean() - MEAN) < 0.01
    assert abs(x.std() - STD) < 0.01


def test_ddim_follows_the_exact_flow_of_a_gaussian():
    """The probability-flow ODE of a Gaussian maps noise affinely; DDIM converges to that map at first order."""
    z = noise.normal(0, 50, ()).astype(np.float64)
    alpha, sigma = (float(a) for a in PATH.alpha_sigma(1.0))
    exact = MEAN + STD * (sigma * z - alpha * MEAN) / np.sqrt(alpha**2 * STD**2 + sigma**2)
    errors = [np.abs(run(ddim(PATH, n), 50) - exact).max() for n in (100, 200, 400)]
    orders = np.log2(np.array(errors[:-1]) / errors[1:])
    np.testing.assert_allclose(orders, 1.0, atol=0.2)


def test_ddim_with_eta_one_adds_the_noise_of_ddpm():
    a, b = ddim(PATH, 20, eta=1.0), ddpm(PATH, 20)
    np.testing.assert_allclose(a.noise_scale, b.noise_scale, rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(a.matrix, b.matrix, rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("eta", [0.0, 0.6])
@pytest.mark.parametrize("once", [True, False])
def test_an_unclipped_epsilon_is_the_network_s_own(eta, once):
    """Against eq. 12 of Song et al. with D clipped where it stands alone, and not in ε̂: in one evaluation a step if the
    graph takes a column for D before it is clipped, else in two."""
    path, bound, steps = DDPMLinear(), 0.4, 5
    program = Iterate("step", path=path.describe(), clip=bound, unclipped_column=once)
    table = table_for(program, "ddim", steps, epsilon="unclipped", eta=eta, spacing="leading")
    assert (len(table), table.slots, table.unclipped_column) == (
        (steps, 1, True) if once else (2 * steps - 1, 2, False)
    )
    assert np.isfinite(table.clip).all()
    x = noise.normal(0, 50, ()).astype(np.float64)
    drawn = np.random.default_rng(0).standard_normal((len(table), 50))
    got = run_table(
        table,
        lambda y, row: gaussian_denoiser(y, row.alpha, row.sigma),
        x * table.initial_scale,
        lambda row: drawn[row],
    )
    grid = [*path.alpha_sigma(np.arange(steps)[::-1] * 200 / 999)]
    x = x * table.initial_scale
    for i in range(steps):
        alpha, sigma = grid[0][i], grid[1][i]
        d = gaussian_denoiser(x, alpha, sigma)
        epsilon = (x - alpha * d) / sigma
        if i == steps - 1:
            x = np.clip(d, -bound, bound)
            continue
        alpha_s, sigma_s = grid[0][i + 1], grid[1][i + 1]
        variance = eta**2 * (sigma_s / sigma) ** 2 * (1 - (alpha / alpha_s) ** 2)
        x = alpha_s * np.clip(d, -bound, bound) + np.sqrt(sigma_s**2 - variance) * epsilon
        x = x + np.sqrt(variance) * drawn[i if once else 2 * i + 1]
    np.testing.assert_allclose(got, x, rtol=1e-9, atol=1e-12)


def test_without_a_bound_both_epsilons_are_the_same():
    a, b = ddim(PATH, 7), ddim(PATH, 7, epsilon="unclipped", unclipped_column=False)
    assert not np.isfinite(b.with_clip(np.inf).clip).any()
    x = a.initial_scale * noise.normal(0, 50, ()).astype(np.float64)
    once, twice = (run_table(t, lambda y, row: gaussian_denoiser(y, row.alpha, row.sigma), x) for t in (a, b))
    np.testing.assert_allclose(once, twice, rtol=1e-9, atol=1e-12)


def test_a_table_with_a_column_that_a_graph_does_not_take_is_refused():
    table = ddim(PATH, 3, epsilon="unclipped")
    assert table.matrix.shape == (3, 1, 3)
    with pytest.raises(UsageError, match="before it is clipped, which the model's step graph does not give"):
        table_for(Iterate("step", path=PATH.describe()), table)
    with pytest.raises(UsageError, match="before it is clipped"):
        table_for(Iterate("step", path=PATH.describe()), "ddim", 3, epsilon="unclipped", unclipped_column=True)
    program = Iterate("step", path=PATH.describe(), unclipped_column=True)
    assert table_for(program, table).unclipped_column
    assert len(table_for(program, "ddim", 3, epsilon="unclipped", unclipped_column=False)) == 5
    with pytest.raises(UsageError, match="k\\+2 or k\\+3"):
        replace(table, matrix=np.zeros((3, 1, 4)))


def test_ddpm_is_the_posterior_of_ho_et_al():
    """Ho et al. 2020, eqs. 6-7, written with discrete betas, on the same noise levels."""
    table = ddpm(PATH, 10)
    bars = np.concatenate([table.alpha**2, [1.0]])
    for i in range(10):
        bar, bar_previous = bars[i], bars[i + 1]
        beta = 1 - bar / bar_previous
        mean_x0 = np.sqrt(bar_previous) * beta / (1 - bar)
        mean_xt = np.sqrt(1 - beta) * (1 - bar_previous) / (1 - bar)
        np.testing.assert_allclose(table.matrix[i, 0], [mean_xt, mean_x0], rtol=1e-9, atol=1e-12)
        np.testing.assert_allclose(table.noise_scale[i] ** 2, beta * (1 - bar_previous) / (1 - bar), atol=1e-12)


@pytest.mark.parametrize("variance", ["small", "large"])
@pytest.mark.parametrize("steps", [1, 2, 7, 1000])
def test_the_last_step_returns_the_denoised_sample(variance, steps):
    table = ddpm(PATH, steps, variance=variance)
    assert len(table) == steps
    np.testing.assert_allclose(table.matrix[-1, 0], [0.0, 1.0], atol=1e-12)
    assert table.noise_scale[-1] == 0.0


@pytest.mark.parametrize("steps", [0, -1, 2.5, "ten", True])
def test_a_number_of_steps_that_is_none_is_refused(steps):
    for sampler in GAUSSIAN.values():
        with pytest.raises(UsageError, match="steps must be a whole number"):
            sampler(PATH, steps)


@pytest.mark.parametrize(
    ("sampler", "options", "message"),
    [
        ("ddim", {"eta": 1.5}, "eta"),
        ("ddim", {"epsilon": "free"}, "'clipped' or 'unclipped'"),
        ("ddpm", {"variance": "medium"}, "variance"),
        ("euler-ancestral", {"eta": -0.1}, "eta"),
        ("edm", {"churn": -1.0}, "churn"),
        ("edm", {"churn_min": 2.0, "churn_max": 1.0}, "churn_min <= churn_max"),
        ("dpm-solver-pp", {"order": 4}, "orders 1, 2 and 3"),
        ("dpm-solver-pp-2s", {"eta": 2.0}, "eta"),
        ("dpm-solver-pp-sde", {"eta": -1.0}, "eta"),
        ("dpm-solver-pp-sde", {"eta": float("nan")}, "eta"),
        ("dpm-solver-pp-sde", {"solver": "euler"}, "'midpoint' or 'heun'"),
        ("unipc", {"order": 0}, "orders 1 to 4"),
        ("unipc", {"variant": "bh3"}, "'bh1' or 'bh2'"),
        ("lms", {"order": 5}, "orders 1 to 4"),
        ("deis", {"order": 9}, "orders 1 to 4"),
        *(
            (name, {"max_gain": gain}, "max_gain is a number, 1 or more")
            for name in LIMITED
            for gain in (0.5, np.nan, "a")
        ),
        ("deis", {"variable": "rho"}, "'time' or 'log-noise'"),
    ],
)
def test_options_out_of_range_are_refused(sampler, options, message):
    with pytest.raises(UsageError, match=message):
        BUILTIN[sampler](PATH, 5, **options)


ZERO_SNR = [path_from({"name": n, "zero_terminal_snr": True}) for n in PATHS if n.startswith("ddpm-")]


#: the paths of the quick tier: one of each kind, and one without signal at its end
QUICK = ("cosine-log-snr", "vp-linear", "rectified-flow", "ddpm-linear")


def rows(paths):
    """Paths as parameters, most of them of the second tier."""
    tiers = [(path, () if path.name in QUICK else pytest.mark.full) for path in paths]
    return [pytest.param(path, marks=marks, id=str(path.describe())) for path, marks in tiers]


@pytest.mark.parametrize("path", rows([*(cls() for cls in PATHS.values()), *ZERO_SNR]))
@pytest.mark.parametrize("sampler", GAUSSIAN)
def test_every_table_is_finite(sampler, path):
    """For every spacing and number of steps, pure noise at the start included; StepTable checks the numbers."""
    for spacing in SPACINGS:
        bounded = path.zero_terminal_snr and spacing in {"karras", "exponential", "uniform-lambda"}
        asked = {"name": spacing, "noise_max": 100.0} if bounded else spacing
        for steps in (1, 2, 3, 5, 10, 50):
            with np.errstate(invalid="raise", divide="raise"):
                table = BUILTIN[sampler](path, steps, spacing=asked)
            assert table.noise_scale[-1] == 0.0
            assert len(table) >= steps


@pytest.mark.sample("ddim", "ddpm", "euler", "dpm-solver-pp", "pndm", "unipc")
@pytest.mark.parametrize("sampler", GAUSSIAN)
def test_a_thousand_steps_on_a_discrete_path(sampler):
    for path in (DDPMLinear(), DDPMLinear(zero_terminal_snr=True)):
        assert len(BUILTIN[sampler](path, 1000)) >= 1000


@pytest.mark.parametrize("path", [*(cls() for cls in PATHS.values()), *ZERO_SNR], ids=lambda p: str(p.describe()))
@pytest.mark.parametrize("sampler", GAUSSIAN)
def test_a_point_is_found_by_every_sampler(sampler, path):
    """Data that is one point c has D = c, and x_t - α_t·c is then pure noise that shrinks to nothing."""
    c, noises = 1.7, np.random.default_rng(0).normal(size=200)
    table = BUILTIN[sampler](path, 7)
    start = table.alpha[0] * c + table.initial_scale * np.array([0.3])
    states = []
    x = run_table(
        table,
        lambda x, row: np.full_like(x, c),
        start,
        lambda i: noises[i : i + 1],
        lambda row, x, d: states.append(float(x[0])),
    )
    np.testing.assert_allclose(x, c, rtol=1e-9)
    # each state is α·c plus a few σ of noise at the place of the next evaluation
    assert (np.abs(np.array(states[:-1]) - table.alpha[1:] * c) < 5 * table.sigma[1:]).all()


def test_euler_ancestral_is_ddim_with_eta():
    for eta in (0.0, 0.4, 1.0):
        a, b = euler_ancestral(PATH, 9, eta=eta), ddim(PATH, 9, eta=eta)
        np.testing.assert_allclose(a.matrix, b.matrix, rtol=1e-7, atol=1e-9)
        np.testing.assert_allclose(a.noise_scale, b.noise_scale, rtol=1e-7, atol=1e-9)


def test_edm_is_algorithm_2_of_karras_et_al():
    """Lines 3-11 in plain numbers; the churn of the first step is part of the initial noise."""
    path, steps, churn, s_noise = path_from("edm"), 6, 3.0, 1.003
    rng = np.random.default_rng(2)
    noise = rng.normal(size=2 * steps)
    t = [*path.alpha_sigma(np.linspace(1, 0, steps))[1], 0.0]
    denoiser = lambda x, sigma: MEAN + STD**2 / (STD**2 + sigma**2) * (x - MEAN)  # noqa: E731
    gamma = min(churn / steps, np.sqrt(2) - 1)
    table = edm(path, steps, churn=churn, churn_noise=s_noise, churn_min=0.05, max_gain=np.inf, spacing="linspace")
    assert table.initial_scale == pytest.approx(np.hypot(t[0], s_noise * t[0] * np.sqrt((1 + gamma) ** 2 - 1)))

    start = np.array([table.initial_scale * 0.4])
    x, row = float(start[0]), 0
    for i in range(steps):
        hat = t[i] * (1 + gamma) if t[i] >= 0.05 else t[i]
        if i > 0 and hat > t[i]:
            x += np.sqrt(hat**2 - t[i] ** 2) * s_noise * noise[row]
        slope = (x - denoiser(x, hat)) / hat
        after = x + (t[i + 1] - hat) * slope
        if t[i + 1] > 0:
            slope_after = (after - denoiser(after, t[i + 1])) / t[i + 1]
            after = x + (t[i + 1] - hat) * (slope + slope_after) / 2
        x = after
        row = 2 * i + 1
    result = run_table(table, lambda x, row: denoiser(x, row.sigma), start, lambda i: noise[i : i + 1])
    assert result[0] == pytest.approx(x, rel=1e-10)
    assert len(heun(path, steps, max_gain=np.inf)) == 2 * steps - 1


def test_no_noise_is_left_by_the_large_variance():
    """The step that ends at data adds none, whatever the spacing."""
    for spacing in ("trailing", "leading", "linspace"):
        assert ddpm(DDPMLinear(), 20, variance="large", spacing=spacing).noise_scale[-1] == 0.0


def test_the_hook_describes_every_sampler_once():
    described = {s.name: s for s in zoo_samplers()}
    assert set(described) == set(BUILTIN)
    assert len(described) == len(zoo_samplers())
    for name, sampler in described.items():
        assert isinstance(sampler, Sampler)
        module, function = sampler.entry.split(":")
        assert getattr(importlib.import_module(module), function) is BUILTIN[name]
        table = BUILTIN[name](PATH if name in GAUSSIAN else Masking(), 4)
        assert sampler.stochastic == (name == "edm" or bool((table.noise_scale > 0).any()))


def test_a_table_that_no_loop_could_run_is_refused():
    table = ddim(PATH, 3)
    fields = {k: getattr(table, k) for k in table.__dataclass_fields__}
    with pytest.raises(UsageError, match="has shape"):
        StepTable(**{**fields, "time": np.zeros(2)})
    with pytest.raises(UsageError, match="not finite"):
        StepTable(**{**fields, "sigma": np.array([1.0, np.nan, 0.1])})
    with pytest.raises(UsageError, match="matrix"):
        StepTable(**{**fields, "matrix": np.zeros((3, 2, 2))})
    with pytest.raises(UsageError, match="matrix has values"):
        StepTable(**{**fields, "matrix": np.full((3, 1, 2), np.inf)})


def test_a_program_fills_in_its_defaults():
    program = Iterate("step", path=PATH.describe(), clip=1.0, null_class=10, sampler="ddpm", steps=4, guidance=2.0)
    table = table_for(program)
    assert len(table) == 4
    np.testing.assert_array_equal(table.clip, 1.0)
    np.testing.assert_array_equal(table.guidance, 2.0)
    assert len(table_for(program, "ddim", 9, 1.0, eta=0.5)) == 9
    assert table_for(program, ddim(path_from("vp-linear"), 2)).guidance.tolist() == [1.0, 1.0]


def test_sampling_starts_from_the_scale_that_is_asked_for():
    program = Iterate("step", path=DDPMLinear().describe(), options={"spacing": "leading", "initial_scale": 1.0})
    assert table_for(program, steps=10).initial_scale == 1.0
    assert table_for(program, steps=10, initial_scale=0.5).initial_scale == 0.5
    assert table_for(program, "ddpm", 10).initial_scale == DDPMLinear().alpha_sigma(1.0)[1]
    with pytest.raises(UsageError, match="initial_scale is a number above 0, not -1"):
        table_for(program, initial_scale=-1)


def test_a_request_that_a_program_cannot_take_is_refused():
    program = Iterate("step", path=PATH.describe())
    with pytest.raises(UnknownNameError, match="dimm") as caught:
        table_for(program, "dimm")
    assert "ddim" in str(caught.value.hint)
    with pytest.raises(UsageError, match="unexpected keyword"):
        table_for(program, "ddim", colour="red")
    with pytest.raises(UsageError, match="null class"):
        table_for(program, guidance=2.0)


def test_guidance_weighs_class_and_null():
    condition, none = np.array([3, 4], np.int32), np.array([10, 10], np.int32)
    both, weights = evaluations(condition, 2.0, none)
    np.testing.assert_array_equal(both, [[3, 4], [10, 10]])
    np.testing.assert_array_equal(weights, [2.0, -1.0])
    only, weights = evaluations(condition, 1.0, none)
    np.testing.assert_array_equal(only, [[3, 4]])
    np.testing.assert_array_equal(weights, [1.0])
    null, _ = evaluations(condition, 0.0, none)
    np.testing.assert_array_equal(null, [[10, 10]])
    assert evaluations(None, 1.0, None)[0] is None
    with pytest.raises(UsageError, match="null class"):
        evaluations(condition, 2.0, None)
