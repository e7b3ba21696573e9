"""Step tables as tensors ``<sampler>-<steps>/<column>``, as stored in ``tables.safetensors`` of a bundle."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from zoo.arrays import Array
from zoo.programs import Iterate
from zoo.samplers import BUILTIN, SamplerFunction, table_for
from zoo.samplers.table import COLUMNS, StepTable

Arrays = dict[str, Array]


def columns(table: StepTable) -> Arrays:
    """The columns of one table in float64, by name.

    ``clip`` is missing where nothing is clipped, since our safetensors files contain only finite numbers.
    """
    arrays = {name: getattr(table, name) for name in (*COLUMNS, "matrix")}
    arrays["initial_scale"] = np.array(table.initial_scale)
    return {name: values for name, values in arrays.items() if np.isfinite(values).all()}


def stored(
    program: Iterate, choices: Iterable[tuple[str, int]], samplers: Mapping[str, SamplerFunction] = BUILTIN
) -> Arrays:
    """The tensors of tables of a program, given samplers and numbers of steps.

    Raises:
        UnknownNameError, UsageError: as for :func:`zoo.samplers.table_for`.
    """

    def table(sampler: str, steps: int) -> StepTable:
        # a model is guided by default only if it can be, whether by a null class or by the nulls of its parts
        return table_for(program, sampler, steps, 1.0, samplers=samplers).with_guidance(program.guidance)

    return {
        f"{sampler}-{steps}/{column}": values
        for sampler, steps in dict.fromkeys(choices)
        for column, values in columns(table(sampler, steps)).items()
    }


def table_from(arrays: Mapping[str, Array]) -> StepTable:
    """The inverse of :func:`columns`.

    Raises:
        ValueError: other columns.
        UsageError: columns that do not fit one another.
    """
    columns = {name: np.asarray(values, np.float64) for name, values in arrays.items()}
    known = {*COLUMNS, "matrix", "initial_scale"}
    if columns.keys() - known or known - {"clip"} - columns.keys():
        raise ValueError(f"a step table has the columns {', '.join(sorted(columns))}")
    initial = columns.pop("initial_scale")
    if initial.shape != () or not np.isfinite(initial):
        raise ValueError("the initial scale of a step table is not a finite number")
    return StepTable(**{"clip": np.full(columns["time"].shape, np.inf), **columns}, initial_scale=float(initial))  # type: ignore[arg-type]


def table_named(name: str) -> tuple[str, int]:
    """Sampler and steps of a table's name.

    Raises:
        ValueError: it is not such a name.
    """
    sampler, dash, steps = name.rpartition("-")
    if not (sampler and dash and steps.isascii() and steps.isdecimal() and len(steps) <= 5 and steps[0] != "0"):
        raise ValueError(f"{name!r} is not named as <sampler>-<steps>")
    return sampler, int(steps)
