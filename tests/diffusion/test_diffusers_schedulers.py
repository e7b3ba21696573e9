"""Schedulers of diffusers with random configs: whole runs are those of our tables, or the config is refused.

diffusers computes here in float64 (its modules see another ``float32``), so what is left is rounding. Its run and ours
use the same analytic network, which is told the time that is shown, and the same noise.
"""

import importlib
import inspect
import random
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")
diffusers = pytest.importorskip("diffusers", reason="diffusers, whose schedulers are compared, is not installed")

from zoo.errors import ConfigError  # noqa: E402 - after the checks
from zoo.paths import path_from  # noqa: E402
from zoo.samplers import BUILTIN, spaced_times  # noqa: E402
from zoo_diffusion.from_diffusers import keys  # noqa: E402
from zoo_diffusion.from_diffusers.config_reader import ConfigReader  # noqa: E402
from zoo_diffusion.from_diffusers.scheduler import schedule  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")

WHERE = Path("scheduler_config.json")
SHAPE = (2, 3, 2, 2)
SPACINGS = ("linspace", "leading", "trailing")
#: ε is divided by α, down to 1/160 of 1 on these paths and to 1/20,000 on the cosine one, of which the clipped step
#: keeps ε; a step of 2⁻⁵² in x is then 4e-12 in D, and up to a hundred steps follow
ROUNDING = 1e-8


class Wider:
    """A module that takes single precision for double."""

    def __init__(self, module, wide):
        self._module, self.float32 = module, wide

    def __getattr__(self, name):
        return getattr(self._module, name)


@pytest.fixture
def doubled(monkeypatch):
    """Schedulers of diffusers by name, computing in float64, with a list of the noises that they are given."""
    noises = []

    def load(name):
        kind = getattr(diffusers, name)
        module = importlib.import_module(kind.__module__)
        monkeypatch.setattr(module, "np", Wider(np, np.float64))
        monkeypatch.setattr(module, "torch", Wider(torch, torch.float64))
        monkeypatch.setattr(module, "randn_tensor", lambda *_, **__: torch.from_numpy(next(given)), raising=False)
        given = iter(noises)
        return kind

    return load, noises


def network(x, time, path, prediction):
    """(prediction, variance) of a network whose D is bounded and smooth; ``path`` says how noisy x is at that time."""
    alpha, sigma = path.alpha_sigma(time / ((path.timesteps or path.time_scale + 1) - 1))
    if prediction == "velocity":
        alpha, sigma = 1 - time / path.time_scale, time / path.time_scale
    d = 1.3 * np.tanh(1.5 * x + np.sin(0.7 * time))
    made = {
        "epsilon": lambda: (x - alpha * d) / sigma,
        "x0": lambda: d,
        "v": lambda: (alpha * x - d) / sigma,
        "velocity": lambda: (x - d) / sigma,
    }
    return made[prediction](), np.sin(3 * x + time)


def translated(config, learned=False):
    """What a config says, or None and why it is refused."""
    try:
        return schedule(config, WHERE, learned_variance=learned, sampler=None), ""
    except ConfigError as error:
        return None, str(error)


def our_run(plan, steps, start, noises, learned):
    """The times shown to the network, and the last state."""
    path, options = path_from(plan.path), dict(plan.options)
    scale = options.pop("initial_scale", None)
    table = BUILTIN[plan.sampler](path, steps, **options)
    table = table if scale is None else replace(table, initial_scale=scale)
    table = table if plan.clip is None else table.with_clip(plan.clip)
    slots = [table.initial_scale * start] + [np.zeros(SHAPE)] * (table.slots - 1)
    fresh, times = iter(noises), []
    for row in table:
        x, (alpha, sigma) = slots[0], (row.alpha, row.sigma)
        output, variance = network(x, row.time, path, plan.prediction)
        of = {
            "epsilon": lambda: (x - sigma * output) / alpha,  # noqa: B023 - called in this round
            "x0": lambda: output,  # noqa: B023
            "v": lambda: alpha * x - sigma * output,  # noqa: B023
            "velocity": lambda: x - sigma * output,  # noqa: B023
        }
        unclipped = of[plan.prediction]()
        columns = [*slots, np.clip(unclipped, -row.clip, row.clip), unclipped][: row.matrix.shape[1]]
        slots = [sum(m * value for m, value in zip(line, columns, strict=True)) for line in row.matrix]
        if row.noise_scale:
            spread = np.exp(row.noise_range * (variance + 1) / 2) if learned else 1.0
            slots[0] = slots[0] + row.noise_scale * spread * next(fresh)
        times.append(row.time)
    return np.array(times), slots[0]


def their_run(scheduler, plan, steps, start, learned):
    path = path_from(plan.path)
    scheduler.set_timesteps(steps)
    x = torch.from_numpy(start) * float(getattr(scheduler, "init_noise_sigma", 1.0))
    for time in scheduler.timesteps:
        shown = scheduler.scale_model_input(x, time) if hasattr(scheduler, "scale_model_input") else x
        output, variance = (torch.from_numpy(a) for a in network(shown.numpy(), float(time), path, plan.prediction))
        output = torch.cat([output, variance], 1) if learned else output
        x = scheduler.step(output, time, x).prev_sample
        assert x.dtype == torch.float64
    return scheduler.timesteps.double().numpy(), x.numpy()


# -- random configs ---------------------------------------------------------------------------------------------------


def mostly(rng, usual, *others, share=0.15):
    return rng.choice(others) if rng.random() < share else usual


def betas(rng):
    values = {
        "num_train_timesteps": rng.choice([100, 1000]),
        "beta_schedule": rng.choice(["linear", "scaled_linear", "squaredcos_cap_v2"]),
        "beta_start": rng.choice([1e-4, 8.5e-4]),
        "beta_end": rng.choice([0.02, 0.012]),
        "prediction_type": rng.choice(["epsilon", "sample", "v_prediction"]),
        "timestep_spacing": rng.choice(SPACINGS),
        "steps_offset": mostly(rng, 0, 1),
        "rescale_betas_zero_snr": mostly(rng, False, True),
    }
    return {name: value for name, value in values.items() if rng.random() < 0.9}


def sigmas(rng):
    return {
        f"use_{name}_sigmas": True for name in ("karras", "exponential", "beta") if rng.random() < 0.04 and SCIPY
    } | {"final_sigmas_type": mostly(rng, "zero", "sigma_min")}


SCIPY = importlib.util.find_spec("scipy") is not None
CONFIGS = {
    "DDPMScheduler": lambda rng: (
        betas(rng)
        | {
            "variance_type": rng.choice(
                ["fixed_small", "fixed_small_log", "fixed_large", "fixed_large_log", "learned_range"]
            ),
            "clip_sample": rng.choice([True, False, None]),
            "clip_sample_range": rng.choice([1.0, 0.7]),
            "thresholding": mostly(rng, False, True, share=0.05),
            "sample_max_value": rng.choice([1.0, 2.0]),
        }
    ),
    "DDIMScheduler": lambda rng: (
        betas(rng)
        | {
            "clip_sample": rng.choice([True, False, None]),
            "clip_sample_range": rng.choice([1.0, 0.7]),
            "set_alpha_to_one": mostly(rng, True, False),
            "thresholding": mostly(rng, False, True, share=0.05),
        }
    ),
    "EulerDiscreteScheduler": lambda rng: (
        betas(rng)
        | sigmas(rng)
        | {
            "interpolation_type": mostly(rng, "linear", "log_linear"),
            "timestep_type": mostly(rng, "discrete", "continuous"),
            "sigma_max": mostly(rng, None, 80.0),
        }
    ),
    "EulerAncestralDiscreteScheduler": betas,
    "DPMSolverMultistepScheduler": lambda rng: (
        betas(rng)
        | sigmas(rng)
        | {
            "timestep_spacing": mostly(rng, "trailing", "linspace", "leading"),
            "solver_order": rng.choice([1, 2, 2, 2, 3]),
            "algorithm_type": mostly(rng, rng.choice(["dpmsolver++", "sde-dpmsolver++"]), "deis"),
            "solver_type": rng.choice(["midpoint", "midpoint", "heun", "bh2", "logrho"]),
            "lower_order_final": rng.choice([True, False]),
            "euler_at_final": rng.choice([True, False]),
            "use_lu_lambdas": mostly(rng, False, True, share=0.05),
            "lambda_min_clipped": mostly(rng, -float("inf"), -5.1, share=0.05),
            "flow_shift": rng.choice([1.0, 3.0]),
        }
    ),
    "FlowMatchEulerDiscreteScheduler": lambda rng: (
        sigmas(rng)
        | {
            "num_train_timesteps": rng.choice([100, 1000]),
            "shift": rng.choice([0.5, 1.0, 3.0]),
            "base_shift": rng.choice([0.5, 0.7]),
            "shift_terminal": mostly(rng, None, 0.1),
            "stochastic_sampling": mostly(rng, False, True),
            "invert_sigmas": mostly(rng, False, True),
        }
    ),
}
CONFIGS["FlowMatchEulerDiscreteScheduler"] = (
    lambda make: lambda rng: {k: v for k, v in make(rng).items() if k != "final_sigmas_type"}
)(CONFIGS["FlowMatchEulerDiscreteScheduler"])
#: 7, 13, 19, 25 and 55 steps have times half-way between timesteps; with 29 and 61 diffusers counts one too many
STEPS = (1, 2, 3, 4, 5, 7, 9, 10, 13, 19, 20, 25, 29, 30, 33, 48, 50, 55, 61, 64, 75, 96, 99, 100)
#: random configs a scheduler, of which so many are not refused
EACH, IMPORTED = 60, {"DPMSolverMultistepScheduler": 3, "EulerDiscreteScheduler": 5}


def not_imitated(name, config, steps):
    """What docs/diffusion.md names under "Not imitated"."""
    spacing = config.get("timestep_spacing", "leading" if name.startswith("DD") else "linspace")
    count = config.get("num_train_timesteps", 1000)
    if config.get("rescale_betas_zero_snr"):
        if config.get("prediction_type", "epsilon") == "epsilon":
            return True  # divided by 0 there, and refused when the model is built
        if spacing == "trailing" and not name.startswith("DD"):
            return True
    if spacing == "linspace" and steps == 1 and name.startswith("DD"):
        return True
    return spacing == "trailing" and len(np.arange(count, 0, -count / steps)) != steps


@pytest.mark.parametrize("name", CONFIGS)
def test_runs_are_those_of_diffusers_or_refused(name, doubled):
    load, noises = doubled
    rng = random.Random(name)
    run = 0
    for index in range(EACH):
        config, steps = CONFIGS[name](rng), rng.choice(STEPS)
        learned = config.get("variance_type") == "learned_range"
        plan, refused = translated({"_class_name": name, **config}, learned)
        if plan is None:
            assert any(f"{WHERE} has {key}" in refused for key in (*keys.KEYS[name], "timestep_spacing")), refused
            continue
        if steps > plan.path.get("num_timesteps", 1000) or not_imitated(name, config, steps):
            continue
        drawn = np.random.default_rng(index)
        start = drawn.standard_normal(SHAPE)
        noises[:] = drawn.standard_normal((101, *SHAPE))
        theirs = load(name)(**config)
        times, expected = their_run(theirs, plan, steps, start, learned)
        shown, given = our_run(plan, steps, start, noises, learned)
        told = f"{config} in {steps} steps"
        np.testing.assert_allclose(shown, times, rtol=0, atol=1e-9, err_msg=told)
        np.testing.assert_allclose(given, expected, rtol=0, atol=ROUNDING, err_msg=told)
        run += 1
    assert run >= IMPORTED.get(name, 8)


@pytest.mark.parametrize("count", [100, 1000])
@pytest.mark.parametrize("spacing", SPACINGS)
def test_every_number_of_steps_shows_the_times_of_diffusers(spacing, count):
    theirs = diffusers.DDPMScheduler(num_train_timesteps=count, timestep_spacing=spacing)
    plan = schedule({"_class_name": "DDPMScheduler", **theirs.config}, WHERE, learned_variance=False, sampler=None)
    path, extra = path_from(plan.path), []
    for steps in range(1, count + 1):
        theirs.set_timesteps(steps)
        times = theirs.timesteps.numpy()
        if len(times) > steps:
            extra.append(steps)
            assert times[-1] == -1
        elif spacing == "linspace" and steps == 1:
            assert times.tolist() == [0]
            continue
        given = path.network_time(spaced_times(path, steps, spacing))
        np.testing.assert_array_equal(given, times[:steps], err_msg=f"{steps} steps")
    assert extra[:2] == ({100: [29, 31], 1000: [61, 103]}[count] if spacing == "trailing" else [])


def test_a_flow_counts_its_times_in_its_timesteps():
    config = {"_class_name": "FlowMatchEulerDiscreteScheduler", "num_train_timesteps": 100}
    plan = schedule(config, WHERE, learned_variance=False, sampler=None)
    table = BUILTIN[plan.sampler](path_from(plan.path), 5, **plan.options)
    np.testing.assert_allclose(table.time, [100, 75.25, 50.5, 25.75, 1], atol=1e-9)


# -- keys -------------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", keys.KEYS)
def test_the_keys_are_those_of_diffusers(name):
    kind = getattr(diffusers, name)
    own = set(inspect.signature(kind.__init__).parameters) - {"self"}
    assert keys.KEYS[name] == own
    others = [set(inspect.signature(each.__init__).parameters) for each in kind._get_compatibles()]
    needs_torchsde = {"noise_sampler_seed"}  # DPMSolverSDEScheduler's; without torchsde a dummy of that name takes all
    assert keys.carried_along(name, name) - needs_torchsde == (
        set().union(*others) - own - {"self", "args", "kwargs"} - needs_torchsde
    )


@pytest.mark.parametrize("name", CONFIGS)
def test_every_key_of_a_scheduler_is_looked_at(name, monkeypatch):
    """With the values that diffusers writes, where a spacing that can be imported is chosen."""
    seen = set()
    monkeypatch.setattr(ConfigReader, "finish", lambda reader, **_: seen.update(reader.seen))
    config = dict(getattr(diffusers, name)().config) | {"_class_name": name}
    if name not in ("DDPMScheduler", "DDIMScheduler", "FlowMatchEulerDiscreteScheduler"):
        config["timestep_spacing"] = "trailing"
    schedule(config, WHERE, learned_variance=False, sampler=None)
    assert keys.KEYS[name] <= seen


@pytest.mark.parametrize("name", CONFIGS)
def test_a_value_that_is_not_the_default_is_used_or_refused(name, doubled):
    """Each key alone, with another value: a whole run is that of diffusers, or it is refused with the key's name."""
    load, noises = doubled
    usual = {"timestep_spacing": "trailing", "prediction_type": "v_prediction"}
    base = {key: value for key, value in usual.items() if key in keys.KEYS[name]}
    drawn = np.random.default_rng(0)
    start, noises[:] = drawn.standard_normal(SHAPE), drawn.standard_normal((101, *SHAPE))
    for key, parameter in inspect.signature(getattr(diffusers, name).__init__).parameters.items():
        if key in ("self", *base, "prediction_type"):
            continue
        default = parameter.default
        values = OTHER.get(key, [not default] if isinstance(default, bool) else [2 * default] if default else [0.3])
        for value in values:
            config = base | {key: value}
            plan, refused = translated({"_class_name": name, **config})
            if plan is None:
                assert key in refused
                continue
            if not_imitated(name, config, 10):
                continue
            times, expected = their_run(load(name)(**config), plan, 10, start, False)
            shown, given = our_run(plan, 10, start, noises, False)
            np.testing.assert_allclose(shown, times, rtol=0, atol=1e-9, err_msg=f"{key} {value}")
            np.testing.assert_allclose(given, expected, rtol=0, atol=ROUNDING, err_msg=f"{key} {value}")


OTHER = {
    "num_train_timesteps": [100],
    "beta_schedule": ["scaled_linear", "squaredcos_cap_v2"],
    "trained_betas": [[0.01] * 1000],
    "variance_type": ["fixed_small_log", "fixed_large", "learned"],
    "dynamic_thresholding_ratio": [0.5],
    "steps_offset": [1],
    "interpolation_type": ["log_linear"],
    "timestep_type": ["continuous"],
    "final_sigmas_type": ["sigma_min"],
    "algorithm_type": ["sde-dpmsolver++", "dpmsolver"],
    "solver_type": ["heun", "bh1"],
    "solver_order": [1, 3],
    "lambda_min_clipped": [-5.1],
    "time_shift_type": ["linear"],
    "sigma_max": [80.0],
    "shift_terminal": [0.1],
}


@pytest.mark.parametrize(
    ("config", "says"),
    [
        ({"speed": 3}, "speed 3, which genzoo does not know"),
        ({"speed": None}, "speed None, which genzoo does not know"),
        ({"predict_epsilon": False}, "predict_epsilon False"),
        ({"timesteps": 50}, "timesteps 50"),
        ({"timestep_values": [3, 2, 1]}, r"timestep_values \[3, 2, 1\]"),
        (
            {"variance_type": "fixed_large", "timestep_spacing": "trailing"},
            "variance_type 'fixed_large', which with tr",
        ),
        ({"variance_type": "fixed_large_log"}, "variance_type 'fixed_large_log'"),
        ({"_class_name": "EulerAncestralDiscreteScheduler", "prediction_type": "sample"}, "prediction_type 'sample'"),
        (
            {"_class_name": "EulerDiscreteScheduler", "interpolation_type": "log_linear"},
            "interpolation_type 'log_linear'",
        ),
        (
            {"_class_name": "FlowMatchEulerDiscreteScheduler", "clip_sample": True},
            "clip_sample True, which genzoo does not know",
        ),
    ],
)
def test_a_key_that_is_not_understood_is_refused(config, says):
    with pytest.raises(ConfigError, match=says):
        schedule({"_class_name": "DDPMScheduler", **config}, WHERE, learned_variance=False, sampler=None)


@pytest.mark.parametrize(
    "config",
    [
        {"tensor_format": "pt", "timestep_values": None, "timesteps": 1000, "predict_epsilon": True},
        {"skip_prk_steps": True, "use_karras_sigmas": True, "solver_order": 3, "set_alpha_to_one": False},
        {"clip_sample": False, "_private": 3, "_use_default_values": ["beta_start"]},
    ],
)
def test_keys_without_effect_are_passed_over_as_diffusers_does(config):
    made = diffusers.DDPMScheduler.from_config({"_class_name": "DDPMScheduler", **config})
    plain = diffusers.DDPMScheduler(**{key: config[key] for key in config.keys() & keys.KEYS["DDPMScheduler"]})
    assert torch.equal(made.alphas_cumprod, plain.alphas_cumprod)
    given, bare = (
        schedule({"_class_name": "DDPMScheduler", **each}, WHERE, learned_variance=False, sampler=None)
        for each in (config, {"clip_sample": config.get("clip_sample", True)})
    )
    assert given == bare


@pytest.mark.parametrize("name", ["PNDMScheduler", "LMSDiscreteScheduler", "DEISMultistepScheduler"])
def test_a_noise_schedule_has_zero_terminal_snr_only_where_its_class_has(name):
    """These three carry the key along without effect."""
    config = {"_class_name": name, "rescale_betas_zero_snr": True}
    theirs = getattr(diffusers, name).from_config(config)
    path = path_from(schedule(config, WHERE, learned_variance=False, sampler="ddim").path)
    alpha, _ = path.alpha_sigma(np.arange(1000) / 999)
    np.testing.assert_allclose(alpha**2, theirs.alphas_cumprod.numpy(), rtol=1e-4)


@pytest.mark.parametrize("steps", [9, 30])
def test_a_run_that_begins_in_between_goes_to_its_own_times(steps):
    """An even stride is that of a whole run."""
    path = path_from("ddpm-linear")
    whole = BUILTIN["ddim"](path, steps, spacing="trailing")
    part = BUILTIN["ddim"](path, 3, stride="even", spacing=[float(t) / 999 for t in whole.time[-3:]])
    np.testing.assert_allclose(part.matrix, whole.matrix[-3:], atol=1e-12)
    even = BUILTIN["ddim"](path, steps, stride="even", spacing="trailing")
    assert np.abs(even.matrix - whole.matrix).max() > 1e-4


@pytest.mark.parametrize(
    "name", ["EulerDiscreteScheduler", "EulerAncestralDiscreteScheduler", "DPMSolverMultistepScheduler"]
)
def test_zero_terminal_snr_is_zero_here(name, doubled):
    """diffusers takes ᾱ = 2⁻²⁴ instead, and there is the difference that docs/diffusion.md tells."""
    load, noises = doubled
    config = {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing", "prediction_type": "v_prediction"}
    drawn = np.random.default_rng(0)
    start, noises[:] = drawn.standard_normal(SHAPE), drawn.standard_normal((101, *SHAPE))
    plan, _ = translated({"_class_name": name, **config})
    times, expected = their_run(load(name)(**config), plan, 10, start, False)
    shown, given = our_run(plan, 10, start, noises, False)
    np.testing.assert_allclose(shown, times, rtol=0, atol=1e-9)
    assert 1e-3 < np.abs(given - expected).max() < 5e-3
