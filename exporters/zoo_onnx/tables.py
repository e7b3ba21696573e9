"""Finished step tables, for runtimes that do not make their own."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.programs import Iterate
from zoo.samplers import StepTable, table_for
from zoo.samplers.table import COLUMNS


def tables(program: Iterate) -> dict[str, NDArray[Any]]:
    """Tensors ``<sampler>-<steps>/<column>``, the columns of :class:`zoo.samplers.StepTable` in float64.

    ``clip`` is missing where nothing is clipped, since a safetensors file of ours holds finite numbers only.
    """
    arrays = {}
    for sampler, steps in program.tables():
        for column, values in columns(table_for(program, sampler, steps)).items():
            arrays[f"{sampler}-{steps}/{column}"] = values
    return arrays


def columns(table: StepTable) -> dict[str, NDArray[Any]]:
    """The columns of one table."""
    all_columns = {name: getattr(table, name) for name in (*COLUMNS, "matrix")}
    all_columns["initial_scale"] = np.array(table.initial_scale)
    return {name: values for name, values in all_columns.items() if np.isfinite(values).all()}
