"""Recorded samplers: slots are found, and what no table can hold is refused."""

import numpy as np
import pytest

from zoo.errors import UsageError
from zoo.paths import CosineLogSNR
from zoo.samplers import BUILTIN, Recorder
from zoo.samplers.ddim import ddim
from zoo.samplers.euler import euler
from zoo.samplers.loop import run_table

PATH = CosineLogSNR()


def recorder():
    return Recorder(PATH, 3)


def test_the_recorded_euler_is_ddim():
    a, b = euler(PATH, 7), ddim(PATH, 7)
    np.testing.assert_allclose(a.matrix, b.matrix, rtol=1e-12, atol=1e-15)
    assert a.initial_scale == b.initial_scale
    assert a.slots == 1


def test_a_table_computes_what_the_code_says():
    """The same arithmetic with numbers: past x, past D, a kept sum and noise, over steps of slots reused."""
    run, rng = recorder(), np.random.default_rng(0)
    values, noises = rng.normal(size=(3, 4)), rng.normal(size=(3, 4))
    here = run.grid.points
    x0, d0 = run.denoise(run.start(), here[0])
    kept = run.keep(2.0 * x0 - 3.0 * d0)
    x1, d1 = run.denoise(0.5 * x0 + d0 + 0.25 * run.noise(), here[1])
    x2, d2 = run.denoise(kept + x1 / 4.0 - d0, here[2])
    table = run.table(x2 + 2.0 * d2 - kept + d1 + x0 + 3.0 * run.noise() + 4.0 * run.noise())

    start = rng.normal(size=4)
    n0 = start
    n1 = 0.5 * n0 + values[0] + 0.25 * noises[0]
    k = 2 * n0 - 3 * values[0]
    n2 = k + n1 / 4 - values[0]
    expected = n2 + 2 * values[2] - k + values[1] + n0 + 5.0 * noises[2]
    result = run_table(table, lambda x, row: values[row.index], start, lambda i: noises[i])
    np.testing.assert_allclose(result, expected, rtol=1e-13)


def test_d_and_d_before_its_bound_are_two_values():
    """Both in one evaluation, and both carried to a later one."""
    run, rng = recorder(), np.random.default_rng(0)
    values, here = rng.normal(size=(2, 4)), run.grid.points
    x0, d0, u0 = run.denoise_both(run.start(), here[0])
    x1, d1 = run.denoise(x0 + 2.0 * d0 - u0, here[1])
    table = run.table(x1 + 3.0 * u0 - d0 + d1)
    assert (table.slots, table.matrix.shape, table.unclipped_column) == (3, (2, 3, 5), True)
    start, bound = rng.normal(size=4), 0.2
    (c0, c1), (v0, _) = np.clip(values, -bound, bound), values
    result = run_table(table.with_clip(bound), lambda x, row: values[row.index], start)
    np.testing.assert_allclose(result, start + 2 * c0 - v0 + 3 * v0 - c0 + c1, rtol=1e-13)
    assert np.abs(c0 - v0).max() > 0.1


@pytest.mark.parametrize(
    ("name", "slots"),
    [
        ("ddim", 1),
        ("ddpm", 1),
        ("euler-ancestral", 1),
        ("lcm", 1),
        ("heun", 2),
        ("dpm-solver-2", 2),
        ("flow-rk4", 5),
        ("dpm-solver-pp", 2),
        ("dpm-solver-pp-sde", 2),
        ("unipc", 4),
        ("lms", 4),
        ("ipndm", 4),
        ("deis", 3),
    ],
)
def test_no_more_history_than_the_method_has(name, slots):
    assert BUILTIN[name](PATH, 12).slots == slots


def test_what_is_no_sampler_is_refused():
    run = recorder()
    x = run.start()
    with pytest.raises(UsageError, match="kept"):
        run.keep(x)
    here = run.grid.points[0]
    new, d = run.denoise(x, here)
    with pytest.raises(UsageError, match="kept"):
        run.keep(d + run.noise())
    with pytest.raises(UsageError, match="used again"):
        run.denoise(x + d, here)
    empty = recorder()
    with pytest.raises(UsageError, match="at least once"):
        empty.table(empty.start())
    with pytest.raises(UsageError, match="noise alone"):
        recorder().denoise(new, here)
