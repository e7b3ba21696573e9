"""Where samplers evaluate: known grids, and requests that no path can take."""

import numpy as np
import pytest

from zoo.errors import UnknownNameError, UsageError
from zoo.paths import EDM, PATHS, CosineLogSNR, DDPMLinear, RectifiedFlow, path_from
from zoo.samplers import SPACINGS, Grid
from zoo.samplers.spacing import CLEAN, spaced_times

BOUNDED = {"karras", "exponential", "uniform-lambda"}


def timesteps(steps, spacing, **path):
    return DDPMLinear(**path).network_time(spaced_times(DDPMLinear(**path), steps, spacing)).tolist()


def test_discrete_grids_are_those_of_lin_et_al():
    """The grids that Lin et al. 2024, table 2, gives for T = 1000 and 10 steps, and one that needs rounding."""
    assert timesteps(10, "leading") == [900, 800, 700, 600, 500, 400, 300, 200, 100, 0]
    assert timesteps(10, "linspace") == [999, 888, 777, 666, 555, 444, 333, 222, 111, 0]
    assert timesteps(10, "trailing") == [999, 899, 799, 699, 599, 499, 399, 299, 199, 99]
    assert timesteps(7, "trailing") == [999, 856, 713, 570, 428, 285, 142]
    assert timesteps(7, "leading") == [852, 710, 568, 426, 284, 142, 0]
    assert timesteps(1, "linspace") == [999]


@pytest.mark.parametrize("spacing", ["trailing", "leading", "linspace"])
def test_a_discrete_path_can_be_walked_timestep_by_timestep(spacing):
    assert timesteps(1000, spacing) == list(range(999, -1, -1))


def test_continuous_grids():
    path = CosineLogSNR()
    np.testing.assert_allclose(spaced_times(path, 4, "trailing"), [1, 0.75, 0.5, 0.25])
    np.testing.assert_allclose(spaced_times(path, 4, "leading"), [0.75, 0.5, 0.25, 0])
    np.testing.assert_allclose(spaced_times(path, 5, "linspace"), [1, 0.75, 0.5, 0.25, 0])
    np.testing.assert_allclose(spaced_times(RectifiedFlow(t_min=0.01), 2, "leading"), [0.5, 0.01])


def levels(path, steps, spacing):
    return np.array([p.noise_level for p in Grid(path, steps, spacing).points[:-1]])


def test_karras_is_equation_5():
    i = np.arange(18)
    expected = (80 ** (1 / 7) + i / 17 * (0.002 ** (1 / 7) - 80 ** (1 / 7))) ** 7
    np.testing.assert_allclose(levels(EDM(), 18, "karras"), expected, rtol=1e-11)
    np.testing.assert_allclose(levels(EDM(), 18, "linspace"), expected, rtol=1e-11)
    other = {"name": "karras", "rho": 3.0, "noise_min": 0.1, "noise_max": 8.0}
    np.testing.assert_allclose(levels(CosineLogSNR(), 3, other), [8, ((2 + 0.1 ** (1 / 3)) / 2) ** 3, 0.1], rtol=1e-9)


def test_exponential_and_uniform_lambda_fall_by_a_constant_factor():
    bounds = {"noise_min": 0.01, "noise_max": 100.0}
    np.testing.assert_allclose(
        levels(RectifiedFlow(), 5, {"name": "exponential", **bounds}), [100, 10, 1, 0.1, 0.01], rtol=1e-9
    )
    np.testing.assert_allclose(
        levels(RectifiedFlow(), 4, {"name": "uniform-lambda", **bounds}), [100, 10, 1, 0.1], rtol=1e-9
    )


@pytest.mark.parametrize("spacing", SPACINGS)
@pytest.mark.parametrize("path", [cls() for cls in PATHS.values()], ids=list(PATHS))
@pytest.mark.parametrize("steps", [1, 2, 3, 5, 50, 1000])
def test_every_grid_falls_to_clean_data(path, spacing, steps):
    asked = {"name": spacing, "noise_max": 500.0} if path.zero_terminal_snr and spacing in BOUNDED else spacing
    grid = Grid(path, steps, asked)
    assert len(grid) == steps
    assert grid.points[-1] is CLEAN
    assert (np.diff([p.log_noise for p in grid.points]) < 0).all()
    assert (grid.times >= path.t_min).all()
    assert (grid.times <= 1).all()


def test_custom_times_are_taken_as_they_are():
    np.testing.assert_array_equal(spaced_times(CosineLogSNR(), 3, [0.9, 0.4, 0.0]), [0.9, 0.4, 0.0])
    np.testing.assert_array_equal(spaced_times(CosineLogSNR(), 2, np.array([0.9, 0.4])), [0.9, 0.4])


@pytest.mark.parametrize(
    ("spacing", "message"),
    [
        ([0.9, 0.4], "is 3 times"),
        ([0.4, 0.9, 0.1], "must fall"),
        ([0.9, 0.9, 0.1], "must fall"),
        ([1.1, 0.9, 0.1], "lies in"),
        ([0.9, 0.5, float("nan")], "lies in"),
        (["a", "b", "c"], "a name, a mapping"),
        (None, "is 3 times"),
        ({"name": "karras", "rho": 0.0}, "rho must be above 0"),
        ({"name": "karras", "sigma": 1.0}, "unexpected keyword"),
        ({"name": "exponential", "noise_min": -1.0}, "above 0"),
        ({"name": "exponential", "noise_max": 1e9}, "not a range"),
        ({"name": "exponential", "noise_max": 1.0, "noise_min": 2.0}, "not a range"),
        ({"name": "trailing", "rho": 1.0}, "unexpected keyword"),
    ],
)
def test_a_spacing_that_is_none_is_refused(spacing, message):
    with pytest.raises(UsageError, match=message):
        Grid(CosineLogSNR(), 3, spacing)


def test_an_unknown_spacing_is_named():
    with pytest.raises(UnknownNameError, match="karas") as caught:
        Grid(CosineLogSNR(), 3, "karas")
    assert "karras" in str(caught.value.hint)
    with pytest.raises(UnknownNameError):
        Grid(CosineLogSNR(), 3, {"rho": 3.0})


@pytest.mark.parametrize("spacing", SPACINGS)
def test_more_steps_than_timesteps_are_refused(spacing):
    with pytest.raises(UsageError, match="has 20 timesteps"):
        Grid(DDPMLinear(num_timesteps=20), 21, spacing)


@pytest.mark.parametrize("spacing", sorted(BOUNDED))
@pytest.mark.parametrize("path", ["rectified-flow", {"name": "ddpm-linear", "zero_terminal_snr": True}])
def test_infinite_noise_needs_a_bound(path, spacing):
    with pytest.raises(UsageError, match="noise_max") as caught:
        Grid(path_from(path), 3, spacing)
    assert "trailing" in str(caught.value.hint)


def test_more_steps_than_anybody_needs_are_refused():
    with pytest.raises(UsageError, match="at most 10000 steps, not 100000000"):
        spaced_times(CosineLogSNR(), 100_000_000)
    with pytest.raises(UsageError, match="has 1000 timesteps"):
        spaced_times(path_from("ddpm-linear"), 1001)
