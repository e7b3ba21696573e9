"""A path given as a table of log-SNRs: what it interpolates, and what samplers make of it."""

import json

import numpy as np
import pytest

from zoo import schema
from zoo.errors import ConfigError
from zoo.paths import EDM, CosineLogSNR, LinearBeta, RectifiedFlow, path_from
from zoo.paths.tabulated import SCALINGS, Tabulated
from zoo.programs import Iterate, describe, program_from
from zoo.samplers.builtin import BUILTIN

#: denser towards data, where the log-SNR of vp-linear falls steeply
CURVED = 2.0


def tabulated(path, knots, **more):
    time = np.linspace(0.0, 1.0, knots) ** CURVED
    log_snr = path.log_snr(time)
    if path.zero_terminal_snr or path.t_min:
        ends = np.clip(time, path.t_min, 0.999)
        log_snr = path.log_snr(ends)
        keep = np.concatenate([[True], np.diff(log_snr) < 0])
        time, log_snr = time[keep], log_snr[keep]
        time[-1] = 1.0
    return Tabulated(time.tolist(), log_snr.tolist(), **more)


def test_the_knots_are_met_exactly_and_time_at_inverts():
    path = tabulated(CosineLogSNR(), 40)
    np.testing.assert_array_equal(path.log_snr(path.time), path.log_snrs)
    t = np.linspace(0, 1, 1001)
    np.testing.assert_allclose(path.time_at(path.log_snr(t)), t, atol=1e-14)
    assert (path.time_at(1e9), path.time_at(-1e9), path.time_at(np.inf)) == (0.0, 1.0, 0.0)
    assert path.log_snr(0.3).shape == ()


def test_the_interpolant_is_of_third_order():
    """Fritsch & Butland's slopes are of second order, so that the cubic is of third, where the table is smooth."""
    exact, t = LinearBeta(), np.linspace(0.05, 1.0, 4001)
    errors = [np.abs(tabulated(exact, n).log_snr(t) - exact.log_snr(t)).max() for n in (33, 65, 129, 257)]
    orders = np.log2(np.divide(errors[:-1], errors[1:]))
    assert (orders > 2.5).all(), (errors, orders)


@pytest.mark.parametrize("seed", range(20))
def test_it_falls_wherever_the_table_does(seed):
    random = np.random.default_rng(seed)
    knots = int(random.integers(2, 30))
    time = np.concatenate([[0.0], np.cumsum(random.exponential(size=knots - 1) ** 3 + 1e-6)])
    log_snr = 12.0 - np.concatenate([[0.0], np.cumsum(random.exponential(size=knots - 1) ** 4 + 1e-6)])
    log_snr = 20.0 * log_snr / np.abs(log_snr).max()
    path = Tabulated((time / time[-1]).tolist(), log_snr.tolist())
    t = np.union1d(np.linspace(0, 1, 5001), path.time)
    assert (np.diff(path.log_snr(t)) <= 0).all()
    assert path.log_snr(t).max() == path.log_snrs[0]
    assert path.log_snr(t).min() == path.log_snrs[-1]


def gaussian_end(path, steps, std=0.6, sampler="ddim"):
    """Where a sampler takes the state 1.0 if the data are N(0, std²), whose denoiser is known."""
    table = BUILTIN[sampler](path, steps)
    slots = np.zeros((table.matrix.shape[1], 1))
    slots[0] = table.initial_scale
    for row in range(steps):
        alpha, sigma = table.alpha[row], table.sigma[row]
        d = alpha * std**2 * slots[0] / (alpha**2 * std**2 + sigma**2)
        slots = table.matrix[row] @ np.concatenate([slots, d[None]])
    return float(slots[0, 0])


def test_ddim_converges_with_the_order_and_to_the_limit_that_it_has_on_the_path_itself():
    exact, table = LinearBeta(), tabulated(LinearBeta(), 1025)
    ends = {path: np.array([gaussian_end(path, n) for n in (200, 400, 800, 1600)]) for path in (exact, table)}
    for found in ends.values():
        first, second = np.diff(found)[:-1], np.diff(found)[1:]
        # of first order: each doubling halves what changes
        np.testing.assert_allclose(first / second, 2.0, atol=0.1)
    np.testing.assert_allclose(ends[table], ends[exact], rtol=1e-5)
    # of a coarse table it is the table's own limit, not that of the path it was read from
    coarse = gaussian_end(tabulated(LinearBeta(), 9), 1600)
    assert coarse != pytest.approx(ends[exact][-1], rel=1e-7)


@pytest.mark.parametrize(
    ("scaling", "exact"),
    [("variance-preserving", CosineLogSNR()), ("variance-exploding", EDM()), ("linear", RectifiedFlow())],
)
def test_each_scaling_is_that_of_its_paths(scaling, exact):
    path = tabulated(exact, 800, scaling=scaling)
    t = np.linspace(0.05, 0.95, 181)
    for ours, theirs in zip(path.alpha_sigma(t), exact.alpha_sigma(t), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=1e-4)
    alpha, sigma = path.alpha_sigma(t)
    np.testing.assert_allclose(2 * np.log(alpha / sigma), path.log_snr(t), atol=1e-9)
    assert set(SCALINGS) == {"variance-preserving", "variance-exploding", "linear"}


def test_a_description_is_json_and_comes_back_through_a_manifests_program():
    path = tabulated(CosineLogSNR(), 12, time_scale=1.0)
    described = json.loads(json.dumps(path.describe()))
    assert described == path.describe()
    assert path_from(described) == path
    assert hash(path_from(described)) == hash(path)
    program = program_from(json.loads(json.dumps(describe(Iterate("step", path=described)))))
    assert path_from(program.path) == path
    checker = schema._Checker(schema.load("manifest-2"))
    checker.check(described, {"$ref": "#/$defs/path"}, "path")
    with pytest.raises(ValueError, match="too many"):
        checker.check({**described, "time": [0.0] * 4097}, {"$ref": "#/$defs/path"}, "path")
    with pytest.raises(ValueError, match="expected a number"):
        checker.check({**described, "time": ["0"]}, {"$ref": "#/$defs/path"}, "path")


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"time": [0, 0.5, 0.5, 1]}, "times increase from 0 to 1"),
        ({"time": [0.1, 0.2, 0.5, 1]}, "times increase from 0 to 1"),
        ({"time": [0, 0.2, 0.5, 0.9]}, "times increase from 0 to 1"),
        ({"time": [0, 0.5, 1]}, "3 times and 4 log-SNRs"),
        ({"time": "0123"}, "time is a list of 2 to 4096 finite numbers"),
        ({"time": None}, "time is a list of 2 to 4096 finite numbers"),
        ({"time": [0], "log_snr": [1]}, "time is a list of 2 to 4096"),
        ({"log_snr": [9, 3, 3, -9]}, "log-SNRs decrease"),
        ({"log_snr": [9, 3, 4, -9]}, "log-SNRs decrease"),
        ({"log_snr": [101, 3, 0, -9]}, "within ±100"),
        ({"log_snr": [9, 3, float("nan"), -9]}, "log_snr is a list of 2 to 4096 finite numbers"),
        ({"log_snr": [9, 3, True, -9]}, "log_snr is a list of 2 to 4096 finite numbers"),
        ({"log_snr": [float("inf"), 3, 0, -9]}, "log_snr is a list of 2 to 4096 finite numbers"),
        ({"scaling": "cubic"}, "scaling is one of"),
        ({"time_scale": 0}, "time_scale is a finite number above 0"),
        ({"bogus": 1}, "bogus"),
    ],
)
def test_a_table_that_is_none_is_refused(change, told):
    with pytest.raises(ConfigError, match=told):
        path_from({"name": "tabulated", "time": [0, 0.2, 0.5, 1], "log_snr": [9, 3, 0, -9], **change})


def test_a_name_alone_is_no_table():
    with pytest.raises(ConfigError, match="path 'tabulated'"):
        path_from("tabulated")


@pytest.mark.parametrize("sampler", ["ddpm", "heun", "dpm-solver-pp", "unipc", "edm", "dpm-solver-2"])
def test_other_samplers_agree_with_the_path_itself(sampler):
    exact, table = LinearBeta(), tabulated(LinearBeta(), 1025)
    for ours, theirs in ((BUILTIN[sampler](path, 12).matrix for path in (table, exact)),):
        np.testing.assert_allclose(ours, theirs, atol=2e-4)
