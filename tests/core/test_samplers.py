"""Step tables against closed forms: a Gaussian, whose denoiser is known, is sampled exactly in the limit."""

from functools import partial

import numpy as np
import pytest

from zoo import noise
from zoo.errors import UnknownNameError, UsageError
from zoo.noise import Stream
from zoo.paths import PATHS, CosineLogSNR, path_from
from zoo.programs import Iterate
from zoo.samplers import BUILTIN, StepTable, ddim, ddpm, evaluations, table_for

PATH = CosineLogSNR()
MEAN, STD = 0.3, 0.5


def gaussian_denoiser(x: np.ndarray, alpha: float, sigma: float) -> np.ndarray:
    """E[x₀ | x_t] for x₀ ~ N(MEAN, STD²)."""
    gain = alpha * STD**2 / (alpha**2 * STD**2 + sigma**2)
    return MEAN + gain * (x - alpha * MEAN)


def run(table: StepTable, n: int, seed: int = 0) -> np.ndarray:
    x = table.initial_scale * noise.normal(seed, n, ()).astype(np.float64)
    for step in table:
        denoised = np.clip(gaussian_denoiser(x, step.alpha, step.sigma), -step.clip, step.clip)
        x = (step.matrix @ np.stack([x, denoised]))[0]
        x = x + step.noise_scale * noise.normal(seed, n, (), step=step.index, stream=Stream.STEP)
    return x


@pytest.mark.parametrize("path", [cls() for cls in PATHS.values()], ids=list(PATHS))
@pytest.mark.parametrize("make", [ddim, partial(ddim, eta=1.0), ddpm, partial(ddpm, variance="large")])
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
    for sampler in BUILTIN.values():
        with pytest.raises(UsageError, match="steps must be a whole number"):
            sampler(PATH, steps)


def test_options_out_of_range_are_refused():
    with pytest.raises(UsageError, match="eta"):
        ddim(PATH, 5, eta=1.5)
    with pytest.raises(UsageError, match="variance"):
        ddpm(PATH, 5, variance="medium")  # type: ignore[arg-type]


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
    condition = np.array([3, 4], np.int32)
    both, weights = evaluations(condition, 2.0, 10)
    np.testing.assert_array_equal(both, [[3, 4], [10, 10]])
    np.testing.assert_array_equal(weights, [2.0, -1.0])
    only, weights = evaluations(condition, 1.0, 10)
    np.testing.assert_array_equal(only, [[3, 4]])
    np.testing.assert_array_equal(weights, [1.0])
    null, _ = evaluations(condition, 0.0, 10)
    np.testing.assert_array_equal(null, [[10, 10]])
    assert evaluations(None, 1.0, None)[0] is None
    with pytest.raises(UsageError, match="null class"):
        evaluations(condition, 2.0, None)
