"""Samplers: functions ``(path, steps, **options) -> StepTable``. One algorithm a file, named as its paper names it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from zoo.errors import UnknownNameError, UsageError
from zoo.paths import path_from
from zoo.programs import Iterate
from zoo.samplers.ddim import ddim
from zoo.samplers.ddpm import ddpm
from zoo.samplers.guidance import evaluations
from zoo.samplers.table import Step, StepTable

SamplerFunction = Callable[..., StepTable]

#: the samplers that need no plugin, by name
BUILTIN: dict[str, SamplerFunction] = {"ddim": ddim, "ddpm": ddpm}

__all__ = ["BUILTIN", "SamplerFunction", "Step", "StepTable", "ddim", "ddpm", "evaluations", "table_for"]


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
