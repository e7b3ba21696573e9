"""Runs of step tables: the table that options stand for, and an :class:`Engine`, which runs its rows.

:func:`table_of` is called once a run. :meth:`Engine.run` is the one loop over the rows, wherever the network runs.
"""

from __future__ import annotations

import contextlib
import inspect
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any, Generic, Protocol, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from zoo.arrays import Array
from zoo.conditions import Condition, ConditionLike
from zoo.errors import PluginError, UnknownNameError, UsageError, ZooError
from zoo.paths import CorruptionPath, absent, lacking, path_from
from zoo.samplers.builtin import BUILTIN, SamplerFunction
from zoo.samplers.guidance import Guidance, RunCondition, Weighted, rest
from zoo.samplers.options import OptionValue, SamplingOptions
from zoo.samplers.spacing import spaced_times
from zoo.samplers.state import FloatType, RowInputs, SamplerState
from zoo.samplers.table import Step, StepTable

if TYPE_CHECKING:
    from zoo.programs import Iterate

Tick = Callable[[], None]
#: (row, slice of the samples, the denoised samples [n, *event] of that slice in data units)
Preview = Callable[[int, slice, Any], None]
#: gives the tables of a bundle by sampler and steps, with the model's default options and without guidance
StoredTables = Callable[[], Mapping[tuple[str, int], StepTable]]
Slots = TypeVar("Slots")
Data = TypeVar("Data", covariant=True)


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
        PluginError: a sampler of a plugin fails, or returns no table.
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
    chosen = program.sampler if options.sampler is None else options.sampler
    if isinstance(chosen, StepTable):
        table = chosen
        if options.strength not in (None, 0, 1, table.strength):
            raise UsageError("a finished table determines where it starts, so its strength cannot be changed")
    else:
        if stored is not None and (chosen not in samplers or absent(program.path) is not None):
            table = _from_bundle(program, chosen, options, samplers, stored())
        else:
            own, initial = _own(program, chosen, options)
            call = _call(program, chosen, options, own, samplers)
            try:
                table = call()
            except ZooError:
                raise
            except TypeError as error:
                raise UsageError(f"sampler {chosen}: {error}") from error
            except Exception as error:
                if chosen in BUILTIN:
                    raise
                raise _failure(chosen, error) from error
            if not isinstance(table, StepTable):
                raise _no_table(chosen, table)
            table = _adapted(table, program, options, initial)
        table = table.with_guidance(program.guidance if options.guidance is None else options.guidance)
    further: tuple[Weighted, ...] = ()
    if options.compose is not None:  # of a finished table too, whose guidance is that of one condition
        weight, *others = (float(weight) for _, weight in options.compose)
        table, further = table.with_guidance(weight), tuple(Weighted(None, each) for each in others)
    _check(program, table, condition, further)
    return table


def _call(
    program: Iterate,
    name: str,
    options: SamplingOptions,
    own: dict[str, Any],
    samplers: Mapping[str, SamplerFunction],
) -> Callable[[], StepTable]:
    """The call of a sampler with its path, number of steps and own options."""
    if name not in samplers:
        raise UnknownNameError("sampler", name, samplers)
    count = program.steps if options.steps is None else options.steps
    path, function, strength = path_from(program.path), samplers[name], options.strength or None
    if strength is not None and strength < 1:
        count, own = _end_of_grid(name, function, path, count, own, strength)
    if "unclipped_column" in inspect.signature(function).parameters:
        own = {"unclipped_column": program.unclipped_column, **own}
    return partial(function, path, count, **own)


def _no_table(name: str, value: object) -> PluginError:
    """What a plugin's sampler returned, told as its failure."""
    told = f"sampler {name} returns {type(value).__name__}, not a StepTable"
    return PluginError(told, hint="It ends with `return run.table(x)`.")


def _failure(name: str, error: Exception) -> PluginError:
    """What a plugin's sampler raised, told as its failure."""
    from zoo.registry.discovery import located

    return PluginError(f"sampler {name} fails: {located(error)}")


def _adapted(table: StepTable, program: Iterate, options: SamplingOptions, initial_scale: float | None) -> StepTable:
    """The table of a sampler with what applies to every sampler: strength, initial scale and clipping."""
    strength = options.strength or None
    table = replace(
        table,
        strength=table.strength if strength is None else float(strength),
        initial_scale=table.initial_scale if initial_scale is None else initial_scale,
    )
    return table if program.clip is None else table.with_clip(program.clip)


def _check(program: Iterate, table: StepTable, condition: Condition | None, further: Sequence[Weighted] = ()) -> None:
    """Refuse a table that needs what the model does not have."""
    if program.null_class is None and any(rest(w, further) for w in np.unique(table.guidance)):
        if condition is None or condition.plain:
            raise UsageError("guidance needs a model with a null class, which this one does not have")
        condition.nulls()  # raises an error that names the part without one
    if program.coupled and table.noise_scale.any():
        raise UsageError(
            "this sampler adds noise on the way, which a field of coupled data and noise does not allow",
            hint="Its velocity is not a score. Take one without fresh noise: flow-euler, heun, or ddim with eta=0.",
        )
    if not program.learned_variance and table.noise_range.any():
        raise UsageError("a learned variance needs a network that predicts it, which this model's does not")
    if table.unclipped_column and not program.unclipped_column:
        raise lacking_column()


def lacking_column() -> UsageError:
    """The error for a table whose matrix has a column that the graph does not take."""
    return UsageError(
        "this step table needs the denoised sample before it is clipped, which the model's step graph does not give",
        hint="Name the sampler instead of its table, or make it with unclipped_column=False. A bundle takes such "
        "tables if it is exported again.",
    )


def _own(program: Iterate, name: str, options: SamplingOptions) -> tuple[dict[str, object], float | None]:
    """The options of a sampler, those given over the model's for its default sampler, and the initial scale, which
    every sampler has."""
    own: dict[str, object] = {**program.options, **options.own} if name == program.sampler else dict(options.own)
    initial = own.pop("initial_scale", None)
    if initial is None:
        return own, None
    if not (isinstance(initial, (int, float)) and initial > 0):
        raise UsageError(f"initial_scale is a number above 0, not {initial!r}")
    return own, float(initial)


def _from_bundle(
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
    (own, initial), (usual, _) = (_own(program, name, each) for each in (options, SamplingOptions()))
    count = program.steps if options.steps is None else options.steps
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


class StepFunction(Protocol[Slots]):
    """Runs one row of a table: one evaluation of the network, wherever it runs."""

    def __call__(self, slots: Slots, row: Step, inputs: dict[str, Array]) -> tuple[Slots, Any]:
        """Slots ``[slots, n, *state_shape]`` to the next ones, and the denoised sample ``[n, *state_shape]``.

        Args:
            slots: x and its history, on the engine's device.
            row: the row.
            inputs: its :class:`~zoo.samplers.state.RowInputs`.
        """
        ...


class Engine(ABC, Generic[Slots, Data]):
    """Runs the network of a model that samples in steps.

    Attributes:
        name: the model's name, for messages.
        program: the model's program.
        event_shape: shape of one sample.
        state_shape: shape of one state, which differs from that of a sample if there is a decoder.
        samplers: where samplers are looked up by name.
        described: the model's condition, or None.
        stored: gives the finished tables by sampler and steps, for a path or a sampler that is not installed; or None.
        dtype: of states, a NumPy type.
    """

    name: str
    program: Iterate
    event_shape: tuple[int, ...]
    state_shape: tuple[int, ...]
    samplers: Mapping[str, SamplerFunction] = BUILTIN
    described: Condition | None = None
    stored: StoredTables | None = None
    dtype: FloatType = np.float32

    @abstractmethod
    def condition(self, condition: ConditionLike, n: int) -> RunCondition:
        """The condition of ``n`` samples as an array ``[n]`` or ``[n, d]``; None for a model without any.

        Of named parts, a mapping of arrays ``[n, ...]``, or something that gives such mappings by a slice of samples
        and ``arrays()``, as :class:`zoo.runtime.conditioning.ConditionRows` does.
        """

    def null(self, n: int, condition: RunCondition) -> RunCondition:
        """The null condition of ``n`` samples of a model of named parts, likewise; None for any other.

        Tokens and sequences are as long as those of the condition.
        """
        return None

    def even(self, *conditions: RunCondition) -> tuple[RunCondition, ...]:
        """Conditions and what they are guided away from, of named parts, with tokens and sequences of equal lengths."""
        return conditions

    def centred(self, x: ArrayLike) -> ArrayLike:
        """Data to start from, as values of the model's data; returns ``x`` unless overridden."""
        return x

    @abstractmethod
    def to_latent(self, x: Array) -> Array:
        """Data ``[n, *event_shape]`` to latents ``[n, *state_shape]``; for most models the data itself."""

    @abstractmethod
    def to_data(self, latent: Array) -> Data:
        """Latents to data."""

    @abstractmethod
    def stepping(
        self, state: SamplerState, *, denoises: bool
    ) -> AbstractContextManager[tuple[Slots, StepFunction[Slots]]]:
        """The slots of one batch on the engine's device, and the function that takes a step, for one run.

        Args:
            state: of the batch, after :meth:`filled`.
            denoises: whether the denoised samples are wanted.
        """

    @abstractmethod
    def fetch(self, values: Slots) -> Array:
        """Slots, or denoised samples, from the engine's device."""

    def filled(self, state: SamplerState) -> SamplerState:
        """A state with more samples if the network takes only batches of one size; the first ones are its own."""
        return state

    def check(self, state: SamplerState, rows: int | None, slots: Array) -> None:
        """Refuse the slots that :meth:`run` got to, unless that is done at every step."""

    def run(
        self, state: SamplerState, rows: int | None, tick: Tick, preview: Callable[[int, Array], None] | None
    ) -> Array:
        """Slots after the next rows of one batch: the loop of all sampling.

        Args:
            state: of the batch, left unchanged.
            rows: how many rows, or None for all that are left.
            tick: to call after each row.
            preview: to call before ``tick`` with the row's index and the denoised samples ``[n, *state_shape]``.
        """
        n, state = state.n, self.filled(state)
        with (
            RowInputs(self.program, state, self.dtype) as inputs,
            self.stepping(state, denoises=preview is not None) as (slots, step),
        ):
            for row in state.remaining(rows):
                slots, denoised = step(slots, row, inputs(row))
                if preview is not None:
                    preview(row.index, self.fetch(denoised)[:n])
                tick()
            ended = self.fetch(slots)
        self.check(state, rows, ended)
        return ended[:, :n]

    def batches(self, n: int, batch_size: int | None) -> list[slice]:
        """Slices that cover ``n`` samples: one, unless overridden."""
        return [slice(0, n)]

    def attempts(self, batches: Sequence[slice], batch_size: int | None) -> Iterator[AbstractContextManager[slice]]:
        """:meth:`batches` of a size that was asked for or is None, each to be run in its ``with`` block.

        One after another, unless overridden.
        """
        for part in batches:
            yield contextlib.nullcontext(part)
