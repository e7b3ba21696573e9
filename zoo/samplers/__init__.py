"""Samplers: functions ``(path, steps, **options) -> StepTable``. One algorithm per file, named as in its paper."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from zoo.conditions import Condition
from zoo.errors import UnknownNameError, UsageError
from zoo.paths import CorruptionPath, absent, lacking, path_from
from zoo.samplers.builtin import BUILTIN, GAUSSIAN, SamplerFunction
from zoo.samplers.guidance import Guidance, evaluations
from zoo.samplers.inversion import inversion
from zoo.samplers.options import OptionValue, SamplingOptions, check_strength
from zoo.samplers.recorder import Recorder
from zoo.samplers.spacing import SPACINGS, Grid, Point, spaced_times
from zoo.samplers.table import Step, StepTable

if TYPE_CHECKING:
    from zoo.programs import Iterate

__all__ = [
    "BUILTIN",
    "GAUSSIAN",
    "SPACINGS",
    "Grid",
    "Guidance",
    "Point",
    "Recorder",
    "SamplerFunction",
    "SamplingOptions",
    "Step",
    "StepTable",
    "StoredTables",
    "check_strength",
    "evaluations",
    "inversion",
    "table_for",
    "table_of",
]

#: gives the tables of a bundle by sampler and steps, with the model's default options and without guidance
StoredTables = Callable[[], Mapping[tuple[str, int], StepTable]]


def table_for(
    program: Iterate,
    sampler: str | StepTable | None = None,
    steps: int | None = None,
    guidance: float | Guidance | None = None,
    *,
    strength: float | None = None,
    samplers: Mapping[str, SamplerFunction] = BUILTIN,
    **options: OptionValue,
) -> StepTable:
    """The step table of a run, with the program's defaults for whatever is None.

    Args:
        program: provides the path, the bound on the denoised sample, and defaults.
        sampler: a name, or a finished table, which is used unchanged.
        steps: number of steps.
        guidance: weight of classifier-free guidance, or a :class:`Guidance`.
        strength: in [0, 1], to start from noised data: the share of the steps, counted from the end, that are run.
        samplers: where names are looked up.
        options: options of the sampler, and for every sampler ``initial_scale``: the factor of the initial noise,
            instead of the path's σ; many published networks start from 1.

    Raises:
        UnknownNameError: no such sampler.
        UsageError: steps, guidance, strength or options that the sampler or the model does not support.
    """
    asked = SamplingOptions(sampler, steps, guidance, strength=strength, own=options)
    return table_of(program, asked, samplers)


def table_of(
    program: Iterate,
    options: SamplingOptions,
    samplers: Mapping[str, SamplerFunction] = BUILTIN,
    condition: Condition | None = None,
    stored: StoredTables | None = None,
) -> StepTable:
    """The step table for options of ``sample``; arguments and errors as for :func:`table_for`.

    The condition is the model's, whose named parts can be guided if each has a null. Where the plugin of the path or of
    the sampler is not installed, the table is one of ``stored``.

    At strength 0 nothing is run, so the table is that of strength 1.
    """
    sampler, strength = options.sampler, options.strength or None
    if isinstance(sampler, StepTable):
        if strength is not None and strength not in (1, sampler.strength):
            raise UsageError("a finished table determines where it starts, so its strength cannot be changed")
        table = sampler
    else:
        name = program.sampler if sampler is None else sampler
        if stored is not None and (name not in samplers or absent(program.path) is not None):
            table = _found(program, name, options, samplers, stored())
        else:
            table = _computed(program, name, options, samplers)
        table = table.with_guidance(program.guidance if options.guidance is None else options.guidance)
    if program.null_class is None and (table.guidance != 1.0).any():
        if condition is None or condition.plain:
            raise UsageError("guidance needs a model with a null class, which this one does not have")
        condition.nulls()  # raises an error that names the part without one
    if not program.learned_variance and table.noise_range.any():
        raise UsageError("a learned variance needs a network that predicts it, which this model's does not")
    return table


def _computed(
    program: Iterate, name: str, options: SamplingOptions, samplers: Mapping[str, SamplerFunction]
) -> StepTable:
    """The table of a sampler, without guidance."""
    if name not in samplers:
        raise UnknownNameError("sampler", name, samplers)
    own, strength = _own(program, name, options), options.strength or None
    initial = _initial_scale(own)
    count = program.steps if options.steps is None else options.steps
    path, function = path_from(program.path), samplers[name]
    try:
        if strength is not None and strength < 1:
            count, own = _end_of_grid(name, function, path, count, own, strength)
        table = function(path, count, **own)
    except TypeError as error:
        raise UsageError(f"sampler {name}: {error}") from error
    table = replace(
        table,
        strength=table.strength if strength is None else float(strength),
        initial_scale=table.initial_scale if initial is None else initial,
    )
    return table if program.clip is None else table.with_clip(program.clip)


def _own(program: Iterate, name: str, options: SamplingOptions) -> dict[str, object]:
    """The options of a sampler: those given, over the model's for its default sampler."""
    return {**program.options, **options.own} if name == program.sampler else dict(options.own)


def _found(
    program: Iterate,
    name: str,
    options: SamplingOptions,
    samplers: Mapping[str, SamplerFunction],
    tables: Mapping[tuple[str, int], StepTable],
) -> StepTable:
    """The same table among the stored ones.

    Raises:
        MissingDependencyError: it is not one of them, and the path is of a plugin that is not installed.
        UnknownNameError: it is not one of them, and no such sampler is installed.
    """
    own, count = _own(program, name, options), program.steps if options.steps is None else options.steps
    initial = _initial_scale(own)
    usual = _own(program, name, SamplingOptions())
    usual.pop("initial_scale", None)
    table = tables.get((name, count)) if own == usual and options.strength in (None, 0, 1) else None
    if table is not None:
        return table if initial is None else replace(table, initial_scale=initial)
    if absent(program.path) is None:
        raise _unknown(name, samplers, sorted(steps for sampler, steps in tables if sampler == name))
    listed = ", ".join(f"{sampler}-{steps}" for sampler, steps in tables) or "none"
    raise lacking(program.path, f"run other step tables than the stored ones ({listed})")


def _unknown(name: str, samplers: Mapping[str, SamplerFunction], counts: list[int]) -> UnknownNameError:
    """The error for a sampler that is not installed, and whose tables of ``counts`` steps are stored."""
    error = UnknownNameError("sampler", name, samplers)
    if counts:
        stored = " or ".join(map(str, counts))
        error.hint = (
            f"Without the plugin that brings it, {name} runs as stored in the bundle: in {stored} steps, from noise, "
            "with the model's own options."
        )
    return error


def _initial_scale(own: dict[str, object]) -> float | None:
    """The option that every sampler has, taken out of a sampler's own."""
    initial = own.pop("initial_scale", None)
    if initial is None:
        return None
    if not (isinstance(initial, (int, float)) and initial > 0):
        raise UsageError(f"initial_scale is a number above 0, not {initial!r}")
    return float(initial)


def _end_of_grid(
    name: str, function: SamplerFunction, path: CorruptionPath, count: int, own: dict[str, Any], strength: float
) -> tuple[int, dict[str, object]]:
    """Number of steps and options with which any sampler takes the last ``strength`` of its own grid."""
    parameters = inspect.signature(function).parameters
    if "spacing" not in parameters:
        raise UsageError(f"sampler {name} takes no spacing, so it cannot start from noised data")
    times = spaced_times(path, count, own.get("spacing", parameters["spacing"].default))
    count = max(1, round(strength * count))
    return count, {**own, "spacing": [float(t) for t in times[-count:]]}
