"""The plan of ``zoo run``: the files of a request are read, and everything is checked before anything runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from zoo.arrays import Array
from zoo.cli import _editing as editing
from zoo.cli._app import App
from zoo.cli._conditions import condition_of_file, negative_from
from zoo.cli._request import Request, condition_of, file_name
from zoo.errors import UnknownNameError, UsageError
from zoo.modality import Text

if TYPE_CHECKING:
    from zoo.conditions import ConditionLike, StoredCondition
    from zoo.models.sources import Facts, Source
    from zoo.runtime import BundledModel
    from zoo.samplers import Guidance, StepTable
    from zoo.samplers.state import SamplerState


@dataclass(frozen=True)
class Inputs:
    """The content of a request's files.

    Attributes:
        state: of ``--resume``.
        init: data ``[n, *event]`` of ``--init``; bytes for a picture.
        mask: of ``--mask``, or of the gaps of texts.
        noise: ``[n, *noise]`` of ``--noise``.
        condition: the condition in the file of data or noise: an array, or arrays by the names of parts.
    """

    state: SamplerState | None = None
    init: Array | None = None
    mask: Array | None = None
    noise: Array | None = None
    condition: StoredCondition = None

    @property
    def count(self) -> int | None:
        """The number of data or noises; None without any."""
        data = self.noise if self.init is None else self.init
        return None if data is None else len(data)


@dataclass(frozen=True)
class Wanted:
    """The number of samples and their condition.

    Attributes:
        n: number of samples.
        condition: ``[n]`` or ``[n, d]``, or values by the names of parts, or None.
        rows: of an interpolation, each between two ends, or None.
    """

    n: int
    condition: ConditionLike
    rows: int | None = None


@dataclass(frozen=True)
class Plan:
    """A run, ready to go.

    Attributes:
        n: number of samples.
        condition: ``[n]`` or ``[n, d]``, or values by the names of parts, or None.
        seed: key of the noise.
        table: the steps; None for a model, or a graph, that samples in one call.
        state: the state to resume from; None to start.
        noise: ``[n, *noise]`` to start from; None for that of the seed.
        options: the other keywords of :meth:`zoo.runtime.BundledModel.sample`.
    """

    n: int
    condition: ConditionLike
    seed: int
    table: StepTable | None = None
    state: SamplerState | None = None
    noise: Array | None = None
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def rows(self) -> int:
        """The number of rows to run."""
        return 0 if self.table is None else len(self.table) - (0 if self.state is None else self.state.row)

    @property
    def guidance(self) -> float | None:
        """The guidance weight that is farthest from 1; None without a table."""
        if self.table is None:
            return None
        return float(self.table.guidance[np.argmax(np.abs(self.table.guidance - 1.0))])


def check_sampler(app: App, source: Source, request: Request) -> None:
    """Refuse a sampler that is not installed before a model is exported, which takes long.

    A bundle may hold the tables of one: whether it does is known when it is opened.

    Raises:
        UnknownNameError: no such sampler.
    """
    if source.bundle is None and request.sampler is not None and request.sampler not in app.registry.samplers():
        raise UnknownNameError("sampler", request.sampler, app.registry.samplers())


def output_of(facts: Facts, request: Request) -> Path:
    """The file to write.

    Raises:
        UsageError, OutputError: a file cannot be written; see :func:`zoo.render.check_output`.
    """
    from zoo.render import check_output, default_suffix
    from zoo.render.files import check_writable

    output = request.output or Path(file_name(facts.name) + default_suffix(facts.event_shape, facts.modality))
    if request.stop_after is None:
        check_output(output, facts.event_shape, facts.modality, replace=request.force)
    else:
        check_writable(output, replace=request.force)
    if request.previews is not None:
        check_output(request.previews, facts.event_shape, facts.modality, replace=request.force)
    return output


def read_inputs(request: Request, facts: Facts) -> Inputs:
    """Read the files of a request.

    Raises:
        DataError: a file cannot be read, or does not fit the model.
    """
    from zoo.render.read import read_samples
    from zoo.samplers.state import SamplerState

    state = None if request.resume is None else SamplerState.load(request.resume)
    init = mask = noise = condition = None
    if request.init is not None:
        init, condition = editing.read_data(request.init, facts.event_shape, facts.modality)
        if isinstance(facts.modality, Text):
            init, mask = editing.gaps(init)
    if request.mask is not None:
        mask = editing.read_mask(request.mask, facts.event_shape)
    if request.noise is not None:
        noise, condition = read_samples(request.noise, facts.event_shape)
    return Inputs(state, init, mask, noise, condition)


def wanted_of(request: Request, facts: Facts, inputs: Inputs) -> Wanted:
    """The number of samples and the condition that a request selects.

    Raises:
        UsageError: a number of samples that contradicts other options.
        ConditionError: a condition that the model does not accept.
    """
    if inputs.state is not None:
        encoded = inputs.state.condition
        # the encodings of named parts are of no use outside the state
        return Wanted(inputs.state.n, None if isinstance(encoded, Mapping) else encoded)
    if request.interpolate is None:
        return Wanted(*condition_of(request, facts, inputs.count, inputs.condition))
    ends = inputs.count if inputs.count is not None else request.n or 5
    if request.n is not None and request.n != ends:
        raise UsageError(f"-n {request.n} and the {ends} given exclude each other")
    rows = ends - 1
    if rows < 1:
        raise UsageError("--interpolate needs at least two samples")
    # a row has one condition, that of its start
    each_row = replace(request, n=rows)
    _, condition = condition_of(each_row, facts, rows, _first(facts, inputs.condition, ends, rows))
    each = np.repeat(np.arange(rows), request.interpolate)
    return Wanted(rows * request.interpolate, _of_samples(facts, condition, rows, each), rows)


def _first(facts: Facts, stored: StoredCondition, n: int, rows: int) -> StoredCondition:
    """The condition of the first ``rows`` of ``n`` data in a file."""
    if not isinstance(stored, Mapping):
        return None if stored is None else stored[:rows]
    if facts.condition is None:
        return None
    return facts.condition.taken(condition_of_file(facts.condition, stored, n), n, range(rows))


def _of_samples(facts: Facts, condition: ConditionLike, n: int, samples: Sequence[int] | Array) -> ConditionLike:
    """The condition of some of ``n`` samples, by their numbers; None for a model without one."""
    if isinstance(condition, Mapping) and facts.condition is not None:
        return facts.condition.taken(condition, n, samples)
    return None if condition is None else np.asarray(condition)[samples]


def plan_of(app: App, model: BundledModel, request: Request, facts: Facts, inputs: Inputs, wanted: Wanted) -> Plan:
    """Plan a run completely; the table is made here and nowhere else.

    Raises:
        UsageError, UnknownNameError, DataError, ConditionError: options that this model does not support.
    """
    guiding = _guiding(model, request, facts)
    state, table = inputs.state, None
    if state is not None:
        table = state.table
    elif not request.fused:
        strength = request.strength or None  # at strength 0 nothing is run, whatever the table
        guidance = guiding.get("guidance")
        table = model.table(request.sampler, request.steps, guidance, strength=strength, **request.options)
    seed = _seed(app, request, inputs)
    if request.previews is not None and table is None:
        raise UsageError(f"{model.name} samples in one call and has no previews")
    if state is not None or request.fused:
        return Plan(wanted.n, wanted.condition, seed, table, state)
    init, noise = _start(model, request, facts, inputs, wanted, seed)
    edits = {"init": init, "mask": inputs.mask, "strength": request.strength, "negative": guiding.get("negative")}
    options: dict[str, Any] = {name: value for name, value in edits.items() if value is not None}
    if table is None:
        options |= {**request.options, **guiding}
    else:
        options["sampler"] = table
    return Plan(wanted.n, wanted.condition, seed, table, None, noise, options)


class _Guiding(TypedDict, total=False):
    guidance: Guidance
    negative: ConditionLike


def _guiding(model: BundledModel, request: Request, facts: Facts) -> _Guiding:
    """The keywords ``guidance`` and ``negative``, if given."""
    usual = model.manifest.sampling.guidance
    default = 1.0 if usual is None else float(usual)
    guidance = request.guided(default)
    guiding: _Guiding = {} if guidance is None else {"guidance": guidance}
    if request.negative is not None:
        if facts.condition is None:
            raise UsageError(f"{facts.name} takes no condition, so there is no class to guide away from")
        if (default if guidance is None else guidance.weight) == 1.0:
            raise UsageError("--negative has no effect without guidance", hint="Give a weight, e.g. --guidance 2.")
        guiding["negative"] = negative_from(facts.condition, request.negative)
    return guiding


def _seed(app: App, request: Request, inputs: Inputs) -> int:
    """The seed: that of the state, the given one, or a random one that is reported."""
    from zoo.runtime import fresh_seed

    if inputs.state is not None:
        return inputs.state.seed
    if request.seed is not None:
        return request.seed
    seed = fresh_seed()
    app.say(f"seed {seed}")
    return seed


def _start(
    model: BundledModel, request: Request, facts: Facts, inputs: Inputs, wanted: Wanted, seed: int
) -> tuple[Array | None, Array | None]:
    """The initial data and noise of a run, or None."""
    init = inputs.init
    if init is not None:
        assert request.init is not None
        init = editing.data_of(init, request.init, model)
    if wanted.rows is None:
        return init, inputs.noise
    assert request.interpolate is not None
    ends = inputs.noise
    if init is not None:
        starts = np.arange(0, wanted.n, request.interpolate)
        each = _of_samples(facts, wanted.condition, wanted.n, [*starts, starts[-1]])
        ends = model.encode(init, condition=each, steps=request.steps, batch_size=request.batch_size)
    elif ends is None:
        ends = editing.noises(model, seed, wanted.rows + 1)
    return None, editing.between(ends, request.interpolate)
