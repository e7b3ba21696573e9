"""Checks of samplers: their tables, run in NumPy on data whose denoiser is known."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import numpy as np

from zoo import noise
from zoo.errors import CheckError, NotApplicable, UsageError
from zoo.paths import GaussianPath, path_from
from zoo.registry import Item, Registry
from zoo.registry.cards import Sampler
from zoo.samplers import StepTable
from zoo.samplers.loop import run_table
from zoo.testing.check import Checks

#: paths with data of unit scale that a sampler is tried on, and numbers of steps, few and odd ones among them
PATHS = ("rectified-flow", "cosine-log-snr", "vp-linear")
_STEPS = (1, 2, 5, 16)
_MANY, _DRAWS = 200, 20_000
#: mean and deviation of normal data, and what 200 steps may leave of an error in either
_MEAN, _DEVIATION, _ERROR = 0.5, 0.7, 0.05


def of_sampler(registry: Registry, item: Item, make: Any) -> Checks:
    """What is promised of a function ``(path, steps, **options) -> StepTable``."""
    described = cast(Sampler, item.description)
    others: Checks = {
        "repeatable": lambda: _repeatable(make),
        "stochastic": lambda: _stochastic(make, described.stochastic),
        "one-point": lambda: _one_point(make),
        "normal-data": lambda: _normal_data(make, described.denoises),
        "refuses": lambda: _refuses(make),
    }
    return {"table": lambda: _tables(make)} | {what: _after_tables(make, work) for what, work in others.items()}


def _after_tables(make: Callable[..., StepTable], work: Callable[[], None]) -> Callable[[], None]:
    """A check of tables, where there are some: one failure is not told six times."""

    def checked() -> None:
        try:
            _tables(make)
        except NotApplicable:
            raise
        except Exception as error:
            raise NotApplicable("it makes no tables, which the check `table` tells of") from error
        work()

    return checked


def _paths() -> list[GaussianPath]:
    return [path for name in PATHS if isinstance(path := path_from(name), GaussianPath)]


def _each(make: Callable[..., StepTable], steps: tuple[int, ...] = _STEPS) -> list[tuple[str, StepTable]]:
    """The tables of the paths that the sampler takes, each with what it is of.

    Raises:
        NotApplicable: it takes none of these paths.
        UsageError: it takes a path for some numbers of steps alone.
    """
    accepted, refused = [], ""
    for path in _paths():
        try:
            tables = [(f"{path.name} in {n} steps", make(path, n)) for n in steps]
        except UsageError as error:  # as a solver of another kind of path may
            refused = str(error)
        else:
            accepted += tables
    if not accepted:
        raise NotApplicable(f"it takes none of the paths {', '.join(PATHS)}: {refused}")
    return accepted


def _tables(make: Callable[..., StepTable]) -> None:
    for where, table in _each(make):
        if not isinstance(table, StepTable):
            raise CheckError(f"for {where} it returns {type(table).__name__}, not a StepTable: end with run.table(x)")


def _repeatable(make: Callable[..., StepTable]) -> None:
    for (where, first), (_, second) in zip(_each(make), _each(make), strict=True):
        if not (np.array_equal(first.matrix, second.matrix) and np.array_equal(first.noise_scale, second.noise_scale)):
            raise CheckError(
                f"for {where} the table differs the second time",
                hint="A table may depend on the path, the steps and the options alone; noise is run.noise().",
            )


def _stochastic(make: Callable[..., StepTable], declared: bool) -> None:
    fresh = any(bool(np.any(table.noise_scale != 0)) for _, table in _each(make))
    if fresh != declared:
        adds = "adds fresh noise" if fresh else "adds no fresh noise"
        raise CheckError(f"it {adds}, and is described with stochastic={declared}")


def _one_point(make: Callable[..., StepTable]) -> None:
    """Where all data are one point, D is that point, and sampling must end there."""
    for where, table in _each(make):
        x = run(table, 64, lambda x, alpha, sigma: np.full_like(x, _MEAN))
        error = float(np.abs(x - _MEAN).max())
        if not error <= 0.02:
            raise CheckError(
                f"for {where}, data of the single point {_MEAN} are sampled with an error of {error:.3g}, where at "
                "most 0.02 was expected",
                hint="The weights of x and D in the last step must remove the noise, and leave D with a weight of 1.",
            )


def _normal_data(make: Callable[..., StepTable], denoises: bool) -> None:
    """Normal data, whose denoiser is exact, have their mean and deviation after many steps."""
    if not denoises:
        raise NotApplicable("it takes D for a sample, which no denoiser of data gives (denoises=False)")

    def denoise(x: Any, alpha: float, sigma: float) -> Any:
        gain = alpha * _DEVIATION**2 / (alpha**2 * _DEVIATION**2 + sigma**2)
        return _MEAN + gain * (x - alpha * _MEAN)

    for where, table in _each(make, (_MANY,)):
        x = run(table, _DRAWS, denoise)
        for what, measured, expected in (("mean", x.mean(), _MEAN), ("deviation", x.std(), _DEVIATION)):
            if not abs(measured - expected) <= _ERROR:
                raise CheckError(
                    f"for {where}, normal data with a {what} of {expected} are sampled with a {what} of {measured:.3g}",
                    hint="Is the noise of each point that of its path: x = alpha·data + sigma·noise?",
                )


def run(table: StepTable, n: int, denoise: Callable[[Any, float, float], Any]) -> Any:
    """Samples ``[n]`` of one number each, by a table and a denoiser ``(x, alpha, sigma) -> D``."""
    random = np.random.default_rng(0)
    return run_table(
        table,
        lambda x, row: denoise(x, row.alpha, row.sigma),
        table.initial_scale * noise.normal(0, n, ()).astype(np.float64),
        lambda row: random.standard_normal(n),
    )


def _refuses(make: Callable[..., StepTable]) -> None:
    """Steps that make no sense are refused before anything runs."""
    name = _each(make)[0][0].partition(" ")[0]
    for steps in (0, -1):
        try:
            make(path_from(name), steps)
        except UsageError:
            continue
        raise CheckError(f"{steps} steps are not refused, where a zoo.UsageError was expected")
