"""Samplers: functions ``(path, steps, **options) -> StepTable``. One algorithm a file, named as its paper names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zoo.errors import UnknownNameError, UsageError
from zoo.paths import path_from
from zoo.programs import Iterate
from zoo.samplers.consistency import consistency, lcm
from zoo.samplers.ddim import ddim
from zoo.samplers.ddpm import ddpm
from zoo.samplers.deis import deis
from zoo.samplers.dpm_solver_2 import dpm_solver_2
from zoo.samplers.dpm_solver_pp import dpm_solver_pp
from zoo.samplers.dpm_solver_pp_2s import dpm_solver_pp_2s
from zoo.samplers.dpm_solver_pp_sde import dpm_solver_pp_sde
from zoo.samplers.edm import edm, heun
from zoo.samplers.euler import euler
from zoo.samplers.euler_ancestral import euler_ancestral
from zoo.samplers.flow import flow_euler, flow_heun, flow_midpoint, flow_rk4
from zoo.samplers.guidance import evaluations
from zoo.samplers.lms import lms
from zoo.samplers.plms import ipndm, plms, pndm
from zoo.samplers.recorder import Recorder
from zoo.samplers.spacing import SPACINGS, Grid, Point
from zoo.samplers.table import Step, StepTable
from zoo.samplers.unipc import unipc

SamplerFunction = Callable[..., StepTable]

#: the samplers that need no plugin, by name
BUILTIN: dict[str, SamplerFunction] = {
    "ddim": ddim,
    "ddpm": ddpm,
    "euler": euler,
    "euler-ancestral": euler_ancestral,
    "heun": heun,
    "edm": edm,
    "dpm-solver-2": dpm_solver_2,
    "dpm-solver-pp": dpm_solver_pp,
    "dpm-solver-pp-2s": dpm_solver_pp_2s,
    "dpm-solver-pp-sde": dpm_solver_pp_sde,
    "unipc": unipc,
    "lms": lms,
    "plms": plms,
    "pndm": pndm,
    "ipndm": ipndm,
    "deis": deis,
    "flow-euler": flow_euler,
    "flow-midpoint": flow_midpoint,
    "flow-heun": flow_heun,
    "flow-rk4": flow_rk4,
    "consistency": consistency,
    "lcm": lcm,
}

__all__ = [
    "BUILTIN",
    "SPACINGS",
    "Grid",
    "Point",
    "Recorder",
    "SamplerFunction",
    "Step",
    "StepTable",
    "consistency",
    "ddim",
    "ddpm",
    "deis",
    "dpm_solver_2",
    "dpm_solver_pp",
    "dpm_solver_pp_2s",
    "dpm_solver_pp_sde",
    "edm",
    "euler",
    "euler_ancestral",
    "evaluations",
    "flow_euler",
    "flow_heun",
    "flow_midpoint",
    "flow_rk4",
    "heun",
    "ipndm",
    "lcm",
    "lms",
    "plms",
    "pndm",
    "table_for",
    "unipc",
]


def table_for(
    program: Iterate,
    sampler: str | StepTable | None = None,
    steps: int | None = None,
    guidance: float | None = None,
    *,
    samplers: Mapping[str, SamplerFunction] = BUILTIN,
    **options: Any,
) -> StepTable:
    """The step table that a program runs, with its own defaults for whatever is None.

    Args:
        program: says path, bound on the denoised sample, and defaults.
        sampler: a name, or a finished table, which is used as it is.
        steps: number of steps.
        guidance: weight of classifier-free guidance.
        samplers: where names are looked up.
        options: the sampler's own.

    Raises:
        UnknownNameError: no such sampler.
        UsageError: steps, guidance or options that the sampler cannot take.
    """
    if isinstance(sampler, StepTable):
        return sampler
    name = program.sampler if sampler is None else sampler
    if name not in samplers:
        raise UnknownNameError("sampler", name, samplers)
    try:
        table = samplers[name](path_from(program.path), program.steps if steps is None else steps, **options)
    except TypeError as error:
        raise UsageError(f"sampler {name}: {error}") from error
    if program.clip is not None:
        table = table.with_clip(program.clip)
    weight = program.guidance if guidance is None else guidance
    if weight != 1.0 and program.null_class is None:
        raise UsageError("guidance needs a model with a null class, which this one has not")
    return table.with_guidance(weight)
