"""The plan of ``zoo run``: the files of a request are read, and everything is checked before anything runs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypedDict

import numpy as np

from zoo.arrays import Array
from zoo.cli import _editing as editing
from zoo.cli._app import App
from zoo.cli._conditions import composition_from, negative_from
from zoo.cli._piping import named
from zoo.cli._request import Request, condition_of, file_name
from zoo.cli._shards import data_and_condition
from zoo.errors import UnknownNameError, UsageError
from zoo.modality import Text

if TYPE_CHECKING:
    from zoo.conditions import ConditionLike
    from zoo.models.sources import Facts, Source
    from zoo.runtime import BundledModel
    from zoo.samplers import Guidance, StepTable
    from zoo.samplers.options import Composition
    from zoo.samplers.state import SamplerState


@dataclass(frozen=True)
class Inputs:
    """The content of a request's files.

    Attributes:
        state: of ``--resume``.
        init: data ``[n, *event]`` of ``--init``; bytes for a picture.
        mask: of ``--mask``, or of the gaps of texts.
        noise: ``[n, *noise]`` of ``--noise``.
        condition: the condition in the file of data or noise, unless the request states one.
    """

    state: SamplerState | None = None
    init: Array | None = None
    mask: Array | None = None
    noise: Array | None = None
    condition: ConditionLike = None

    @property
    def count(self) -> int | None:
        """The number of data or noises; None without any."""
        data = self.noise if self.init is None else self.init
        return None if data is None else len(data)

    @property
    def table(self) -> StepTable | None:
        """The steps of the state to resume from; None without one."""
        return None if self.state is None else self.state.table


@dataclass(frozen=True)
class Wanted:
    """What a request asks for, as far as it is known before a model is opened.

    Attributes:
        request: the request.
        facts: the facts about the model.
        inputs: the content of the request's files.
        n: number of samples.
        condition: ``[n]`` or ``[n, d]``, or values by the names of parts, or None.
        rows: of an interpolation, each between two ends, or None.
    """

    request: Request
    facts: Facts
    inputs: Inputs
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
        draw: draws the samples ``[n, *event]``, or writes a state and returns None. Its keywords are ``batch_size``,
            ``progress`` and ``preview``, as for :meth:`zoo.runtime.BundledModel.sample`.
        first: the row to begin at.
    """

    n: int
    condition: ConditionLike
    seed: int
    table: StepTable | None
    draw: Callable[..., Array | None]
    first: int = 0

    @property
    def rows(self) -> int:
        """The number of rows to run."""
        return 0 if self.table is None else len(self.table) - self.first

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

    if request.previews is not None:
        check_output(request.previews, facts.event_shape, facts.modality, replace=request.force)
    if request.to_stdout:
        return Path(named(request, facts))

    output = request.output or Path(file_name(facts.name) + default_suffix(facts.event_shape, facts.modality))
    if request.stop_after is None:
        check_output(output, facts.event_shape, facts.modality, replace=request.force)
    else:
        check_writable(output, replace=request.force)
    return output


def _read(request: Request, facts: Facts) -> Inputs:
    """Read the files of a request."""
    from zoo.render.read import read_samples
    from zoo.samplers.state import SamplerState

    state = None if request.resume is None else SamplerState.load(request.resume)
    init = mask = noise = condition = None
    beside = not (request.classes or request.condition or request.compose)
    if request.init is not None:
        data = partial(editing.read_data, event_shape=facts.event_shape, modality=facts.modality, length=facts.length)
        init, condition = data_and_condition(facts, request.init, data, beside=beside)
        if isinstance(facts.modality, Text):
            init, mask = editing.gaps(init)
    if request.mask is not None:
        mask = editing.read_mask(request.mask, facts.event_shape)
    if request.noise is not None:
        reading = partial(read_samples, event_shape=facts.event_shape)
        noise, condition = data_and_condition(facts, request.noise, reading, beside=beside)
    return Inputs(state, init, mask, noise, condition)


def wanted_of(request: Request, facts: Facts) -> Wanted:
    """Read the files of a request, and settle the number of samples and their condition.

    Raises:
        DataError: a file cannot be read, or does not fit the model.
        UsageError: a number of samples that contradicts other options.
        ConditionError: a condition that the model does not accept.
    """
    inputs = _read(request, facts)
    if inputs.state is not None:
        encoded = inputs.state.condition
        # the encodings of named parts are of no use outside the state
        return Wanted(request, facts, inputs, inputs.state.n, None if isinstance(encoded, Mapping) else encoded)
    if request.interpolate is None:
        return Wanted(request, facts, inputs, *condition_of(request, facts, inputs.count, inputs.condition))
    ends = inputs.count if inputs.count is not None else request.n or 5
    if request.n is not None and request.n != ends:
        raise UsageError(f"-n {request.n} and the {ends} given exclude each other")
    rows = ends - 1
    if rows < 1:
        raise UsageError("--interpolate needs at least two samples")
    # a row has one condition, that of its start
    each_row = replace(request, n=rows)
    _, condition = condition_of(each_row, facts, rows, of_samples(facts, inputs.condition, ends, range(rows)))
    each = np.repeat(np.arange(rows), request.interpolate)
    n = rows * request.interpolate
    return Wanted(request, facts, inputs, n, of_samples(facts, condition, rows, each), rows)


def of_samples(facts: Facts, condition: ConditionLike, n: int, samples: Sequence[int] | Array) -> ConditionLike:
    """The condition of some of ``n`` samples, by their numbers; None if there is none."""
    if isinstance(condition, Mapping) and facts.condition is not None:
        return facts.condition.taken(condition, n, samples)
    return None if condition is None else np.asarray(condition)[samples]


class Guiding(TypedDict, total=False):
    """Keywords of :meth:`zoo.runtime.BundledModel.sample`, where they are given."""

    guidance: Guidance
    negative: ConditionLike
    compose: Composition


def guiding_of(model: BundledModel, wanted: Wanted) -> Guiding:
    """The guidance that a request asks for.

    Raises:
        UsageError: a class to guide away from that has no effect, or of a model without classes.
        ConditionError: one that the model does not accept.
    """
    request, facts, usual = wanted.request, wanted.facts, model.manifest.sampling.guidance
    default = 1.0 if usual is None else float(usual)
    guidance = request.guided(default)
    guiding: Guiding = {} if guidance is None else {"guidance": guidance}
    if request.negative is not None:
        if facts.condition is None:
            raise UsageError(f"{facts.name} takes no condition, so there is no class to guide away from")
        if request.compose is None and (default if guidance is None else guidance.weight) == 1.0:
            raise UsageError("--negative has no effect without guidance", hint="Give a weight, e.g. --guidance 2.")
        guiding["negative"] = negative_from(facts.condition, request.negative)
    if request.compose is not None:
        if facts.condition is None:
            raise UsageError(f"{facts.name} takes no condition, so there is nothing to compose")
        guiding["compose"] = composition_from(facts.condition, request.compose, wanted.n)
    return guiding


def plan_of(
    app: App, model: BundledModel, wanted: Wanted, guiding: Guiding, table: StepTable | None, output: Path
) -> Plan:
    """Plan a run completely, whose table has been made, and whose state goes to ``output`` if it is to stop.

    Raises:
        UsageError, DataError: options that this model does not support.
    """
    request, state, n = wanted.request, wanted.inputs.state, wanted.n
    seed = _seed(app, wanted)
    check_temperature(model, request)
    if request.previews is not None and table is None:
        raise UsageError(f"{model.name} samples in one call and has no previews")
    keywords = {}
    if state is None:
        keywords = {"condition": wanted.condition, "seed": seed, **_edits(model, wanted, guiding, table, seed)}
    draw: Callable[..., Array | None]
    if request.stop_after is not None:
        draw = partial(_stop, model, wanted, keywords, output)
    elif state is not None:
        draw = partial(model.finish, state)
    else:
        draw = partial(model.sample, n, fused=request.fused, **keywords)
    return Plan(n, wanted.condition, seed, table, draw, 0 if state is None else state.row)


def check_temperature(model: BundledModel, request: Request) -> None:
    """Refuse a temperature of a model that has none.

    Raises:
        UsageError: with what may have one instead.
    """
    if request.temperature is not None and not model.manifest.sampling.tempers:
        raise UsageError(
            f"{model.name} is no flow of normal noise, so its samples have no temperature",
            hint="A sampler may have one: -O temperature=T, as the sampler unmasking does.",
        )


def _stop(model: BundledModel, wanted: Wanted, keywords: Mapping[str, Any], output: Path, **watch: Any) -> None:
    """Take the first rows, or the next ones, and write the state."""
    state = wanted.inputs.state
    if state is None:
        state = model.begin(wanted.n, **keywords)
    model.advance(state, wanted.request.stop_after, **watch).save(output, about={"model": wanted.facts.name})


def _edits(model: BundledModel, wanted: Wanted, guiding: Guiding, table: StepTable | None, seed: int) -> dict[str, Any]:
    """The keywords of a run that starts, besides condition and seed."""
    init, noise = _start(model, wanted, seed)
    edits = {"init": init, "mask": wanted.inputs.mask, "strength": wanted.request.strength, "noise": noise}
    stated = {name: value for name, value in edits.items() if value is not None}
    # that of an interpolation is in its ends, and what cannot be taken the model refuses
    if wanted.request.temperature is not None and noise is None:
        stated["temperature"] = wanted.request.temperature
    if table is None:
        return {**stated, **wanted.request.options, **guiding}
    towards = {name: value for name, value in guiding.items() if name != "guidance"}  # that is in the table
    return {**stated, **towards, "sampler": table}


def _seed(app: App, wanted: Wanted) -> int:
    """The seed: that of the state, the given one, or a random one that is reported."""
    from zoo.runtime import fresh_seed

    if wanted.inputs.state is not None:
        return wanted.inputs.state.seed
    if wanted.request.seed is not None:
        return wanted.request.seed
    seed = fresh_seed()
    app.say(f"seed {seed}")
    return seed


def _start(model: BundledModel, wanted: Wanted, seed: int) -> tuple[Array | None, Array | None]:
    """The initial data and noise of a run, or None."""
    request, init, ends = wanted.request, wanted.inputs.init, wanted.inputs.noise
    if init is not None:
        assert request.init is not None
        init = editing.data_of(init, request.init, model)
    if wanted.rows is None:
        return init, ends
    assert request.interpolate is not None
    if init is not None:
        starts = np.arange(0, wanted.n, request.interpolate)
        each = of_samples(wanted.facts, wanted.condition, wanted.n, [*starts, starts[-1]])
        ends = model.encode(init, condition=each, steps=request.steps, batch_size=request.batch_size)
    elif ends is None:
        ends = editing.noises(model, seed, wanted.rows + 1, wanted.request.temperature)
    return None, editing.between(ends, request.interpolate)
