"""``zoo run``: samples are drawn, edited, resumed, or encoded as noise."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.cli import _editing as editing
from zoo.cli._again import command_of
from zoo.cli._app import App
from zoo.cli._opening import open_model, warn_of_fallback
from zoo.cli._piping import shown, to_stdout
from zoo.cli._plan import Plan, check_sampler, guiding_of, output_of, plan_of, wanted_of
from zoo.cli._request import Request, file_name, given_condition
from zoo.cli._shards import data_and_condition
from zoo.cli._text import counted, rate

if TYPE_CHECKING:
    from zoo.conditions import Condition, ConditionLike
    from zoo.models.sources import Facts, Source
    from zoo.programs import Program
    from zoo.render.files import Density, Extras
    from zoo.runtime import BundledModel
    from zoo.samplers.runs import Preview


@dataclass(frozen=True)
class _Drawn:
    """The result of a run.

    Attributes:
        samples: ``[n, *event]``; None if a state was written instead.
        previews: ``[n, rows, *event]``, or None.
        provider: the provider it ran on.
        seconds: the time it took.
    """

    samples: Array | None
    previews: Array | None
    provider: str
    seconds: float


def sample(app: App, source: Source, facts: Facts, request: Request, stack: ExitStack) -> None:
    """Draw samples, from noise or from data, and write them, or the state after some steps."""
    from zoo.render import write

    check_sampler(app, source, request)
    output = output_of(facts, request)
    wanted = wanted_of(request, facts)
    model = open_model(app, source, request.device, stack)
    guiding = guiding_of(model, wanted)
    if wanted.inputs.state is not None or request.fused:
        table = wanted.inputs.table
    else:
        strength = request.strength or None  # at strength 0 nothing is run, whatever the table
        guidance = guiding.get("guidance", None if request.compose is None else 1.0)  # a composition has its weights
        table = model.table(request.sampler, request.steps, guidance, strength=strength, **request.options)
    plan = plan_of(app, model, wanted, guiding, table, output)
    tell_temperature(app, model, request)
    _tell_condition(app, request, facts, wanted.inputs.condition)
    warn_of_fallback(app, model.session().fallback)
    previews, preview = (None, None) if request.previews is None else _previews(model, plan)
    begin = time.perf_counter()
    with app.progress(f"sampling {facts.name}", 1) as update:
        samples = plan.draw(batch_size=request.batch_size, progress=update, preview=preview)
    drawn = _Drawn(samples, previews, model.provider, time.perf_counter() - begin)
    extras = _extras(app, model, facts, request, plan, drawn)
    if drawn.samples is not None and request.to_stdout:
        to_stdout(drawn.samples, output.name, extras)
    elif drawn.samples is not None:
        write(drawn.samples, output, extras, replace=request.force)
    _report(app, model, request, plan, drawn, extras, output)
    if drawn.samples is not None and _shows_density(facts, request, output):
        _draw_density(app, model, request, plan, drawn, extras, output)
    if drawn.previews is not None:
        _write_previews(app, model, request, drawn.previews, output)


def _temperature(model: BundledModel, request: Request) -> float | None:
    """The temperature of the samples; None where the noise is stated, or there is none."""
    program = model.manifest.sampling
    if not program.tempers or request.noise is not None or request.init is not None:
        return None
    return program.temperature if request.temperature is None else request.temperature


def tell_temperature(app: App, model: BundledModel, request: Request) -> None:
    """Say that samples do not follow the model's density, where they do not."""
    temperature = _temperature(model, request)
    if temperature is not None and temperature != 1:
        whose = ", the model's own" if request.temperature is None else ""
        how = "tidier and less varied" if temperature < 1 else "less tidy and more varied"
        app.say(
            f"temperature {temperature:g}{whose}: {how} than the model's density, which --log-prob gives and "
            "--temperature 1 samples"
        )


def _tell_condition(app: App, request: Request, facts: Facts, stored: ConditionLike) -> None:
    """Say which condition data have that came without one on the command line."""
    path = request.init or request.noise or request.encode
    if path is None or facts.condition is None or request.classes or request.condition or request.compose:
        return
    if stored is not None:
        app.say(f"conditions are those of {shown(path)}")
    elif facts.condition.kind == "classes":
        app.say(f"{shown(path)} states no classes, so each comes in turn; --class says which")


def _previews(model: BundledModel, plan: Plan) -> tuple[Array, Preview]:
    """Zeros ``[n, rows, *event]``, and a function that puts denoised samples there."""
    previews = np.zeros((plan.n, plan.rows, *model.event_shape), np.float32)

    def preview(row: int, part: slice, x: Array) -> None:
        previews[part, row - plan.first] = x

    return previews, preview


#: options that change the distribution of samples
_EDITS = (
    "guidance_interval",
    "guidance_rescale",
    "negative",
    "compose",
    "init",
    "strength",
    "mask",
    "noise",
    "interpolate",
)


def _extras(app: App, model: BundledModel, facts: Facts, request: Request, plan: Plan, drawn: _Drawn) -> Extras:
    """The metadata that files of samples hold."""
    from zoo.render.files import Extras

    return Extras(
        written(facts, plan.condition, plan.n),
        () if facts.condition is None else facts.condition.labels,
        model.levels,
        model.modality,
        columns=request.interpolate,
        length=model.manifest.length,
        value_range=shown_range(model),
        **worded(facts),
        about={**_told(model, facts, request, plan, drawn), "command": command_of(app.arguments, _seed(request, plan))},
    )


def worded(facts: Facts) -> dict[str, Any]:
    """What gives conditions back in the words of the file that the model was trained on."""
    parts = () if facts.condition is None or facts.condition.plain else facts.condition.parts
    labels = {part.name: part.labels for part in parts if part.modality == "classes" and part.labels}
    return {"part_labels": labels, "given_columns": facts.condition_columns}


def _seed(request: Request, plan: Plan) -> int | None:
    """The seed to state; the state of a run that is resumed has it."""
    return plan.seed if request.resume is None else None


def shown_range(model: BundledModel) -> tuple[float, float] | None:
    """What is black and white in a picture, so that it reads back as the same numbers; None where levels say it."""
    bounds = model.manifest.main.data_range
    return None if model.levels is not None or bounds is None else (float(bounds[0]), float(bounds[1]))


def _report(
    app: App, model: BundledModel, request: Request, plan: Plan, drawn: _Drawn, extras: Extras, output: Path
) -> None:
    """Say what was written, what of it was not, and how fast it was drawn."""
    from zoo.render.conditional import left_out

    speed = f"{drawn.seconds:.2f} s, {rate(plan.n / drawn.seconds)}"
    where, many = "to stdout" if request.to_stdout else output, counted(plan.n, "samples")
    if drawn.samples is None and plan.table is not None and request.stop_after is not None:
        taken = min(plan.first + request.stop_after, len(plan.table))
        app.say(
            f"wrote {where}: the state of {many} after {taken} of {counted(len(plan.table), 'steps')}, for --resume; "
            f"on {drawn.provider} in {drawn.seconds:.2f} s"
        )
    else:
        app.say(f"wrote {where}: {many} on {drawn.provider} in {speed}")
    if drawn.samples is not None and output.suffix.lower() == ".csv" and (left := left_out(plan.n, extras)):
        app.say(f"rows of text have no place for {', '.join(left)}; .parquet, .npz and .safetensors have")
    if app.json:
        app.emit({**extras.about, "fallback": model.fallback, "output": str(output), "seconds": drawn.seconds})


def written(facts: Facts, condition: ConditionLike, n: int) -> Array | Mapping[str, Array] | None:
    """A condition as files of samples hold it."""
    if condition is None or facts.condition is None:
        return None
    return facts.condition.stored(condition, n) if isinstance(condition, Mapping) else np.asarray(condition)


def _told(model: BundledModel, facts: Facts, request: Request, plan: Plan, drawn: _Drawn) -> dict[str, object]:
    """How the samples were drawn, as JSON values: everything needed to draw them again."""
    program = model.manifest.fused if request.fused else model.manifest.sampling
    told = {
        "model": facts.name,
        "n": plan.n,
        "seed": plan.seed,
        "sampler": None if request.resume else request.sampler or (program and program.sampler),
        "steps": (program and program.steps) if plan.table is None else len(plan.table),
        "guidance": _guidance(program, request, plan),
        "options": request.options,
        "provider": drawn.provider,
    }
    if (temperature := _temperature(model, request)) not in (None, 1):
        told["temperature"] = temperature
    values = {name: getattr(request, name) for name in (*_EDITS, "resume", "stop_after", "previews")}
    edits = {name: value for name, value in values.items() if value is not None}
    if request.negative is not None:
        edits["negative"] = request.negative[0] if len(request.negative) == 1 else list(request.negative)
    if request.compose is not None:
        edits["compose"] = list(request.compose)
    if request.example:
        edits["condition"] = "the example that comes with the model"
    elif request.condition and facts.condition is not None and not facts.condition.plain:
        edits["condition"] = list(request.condition)
    return told | {name: shown(value) if isinstance(value, Path) else value for name, value in edits.items()}


def _guidance(program: Program | None, request: Request, plan: Plan) -> float | None:
    """The weight of guidance; None of a composition, which states its weights itself."""
    if request.compose is not None:
        return None
    if plan.table is not None:
        return plan.guidance
    return None if program is None else program.guidance


def _write_previews(app: App, model: BundledModel, request: Request, previews: Array, output: Path) -> None:
    """Write the denoised samples ``[n, rows, *event]`` of every step."""
    from zoo.render import write
    from zoo.render.files import Extras
    from zoo.render.formats import is_picture

    assert request.previews is not None
    pictures = previews.reshape(-1, *model.event_shape) if is_picture(request.previews) else previews
    extras = Extras(
        levels=model.levels, modality=model.modality, columns=previews.shape[1], value_range=shown_range(model)
    )
    with _kept(app, output, f"{request.previews} is not written"):
        write(pictures, request.previews, extras, replace=request.force)


def encode(app: App, source: Source, facts: Facts, request: Request, stack: ExitStack) -> None:
    """Encode data as noise, and write it."""
    from zoo.render.files import Extras, check_numbers, write

    assert request.encode is not None
    output = request.output or Path(file_name(source.name) + "-noise.npz")
    check_numbers(output, replace=request.force)
    by_option = bool(request.classes or request.condition)
    reading = partial(editing.read_data, event_shape=facts.event_shape, modality=facts.modality, length=facts.length)
    x, own = data_and_condition(facts, request.encode, reading, beside=not by_option)
    condition = given_condition(request, facts, len(x)) if by_option else own
    if condition is None and facts.condition is not None and facts.condition.kind == "classes":
        condition = facts.condition.array(None, len(x))  # so that the file of noise holds them
    _tell_condition(app, request, facts, own)
    model = open_model(app, source, request.device, stack)
    with app.progress(f"encoding with {source.name}", 1) as update:
        noise = model.encode(
            editing.data_of(x, request.encode, model),
            condition=condition,
            steps=request.steps,
            batch_size=request.batch_size,
            progress=update,
            **request.options,
        )
    warn_of_fallback(app, model.fallback)
    told = {"model": source.name, "n": len(x), "steps": request.steps, "provider": model.provider}
    told["command"] = command_of(app.arguments)
    extras = Extras(condition=written(facts, condition, len(x)), about=told)
    write(noise, output, extras, replace=request.force)
    app.say(f"wrote {output}: noise of {counted(len(x), 'data')}")
    if app.json:
        app.emit({**told, "encode": shown(request.encode), "output": str(output)})


#: how many different conditions a density is mixed over
_MOST_CONDITIONS = 16
#: time in seconds that a density may always take
_LEAST_SECONDS = 2.0


def _shows_density(facts: Facts, request: Request, output: Path) -> bool:
    """Whether the picture shows points that follow the model's density."""
    from zoo.render.files import picture_of
    from zoo.render.formats import is_picture

    edited = request.resume is not None or any(getattr(request, name) is not None for name in _EDITS)
    if edited or not is_picture(output) or request.density == "none" or request.to_stdout:
        return False
    return picture_of(facts.event_shape, facts.modality) in ("scatter", "histogram")


def _draw_density(
    app: App, model: BundledModel, request: Request, plan: Plan, drawn: _Drawn, extras: Extras, output: Path
) -> None:
    """Redraw the existing picture of samples with the density behind them, if it is known.

    Unless the finest is requested, it takes about as long as the samples took.
    """
    from zoo.render import write

    n = 0 if drawn.samples is None else len(drawn.samples)
    density = _density(app, model, plan.condition, n, extras.about["guidance"])
    if drawn.samples is None or density is None:
        return
    app.say("drawing the density behind them; Ctrl-C leaves it out, and so does --density none")
    seconds = None if request.density == "fine" else max(drawn.seconds, _LEAST_SECONDS)
    with _kept(app, output, "it shows them without the density"):
        write(drawn.samples, output, replace(extras, density=density, density_seconds=seconds), replace=True)


@contextmanager
def _kept(app: App, output: Path, but: str) -> Iterator[None]:
    """Report the samples if the work after them is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        app.say(f"stopped: the samples are in {output}, but {but}")
        raise


def _density(app: App, model: BundledModel, condition: ConditionLike, n: int, guidance: object) -> Density | None:
    """The density to draw behind ``n`` points, mixed over their different conditions, or None."""
    # the density of guided samples is unknown, and neither a bound nor a ratio is a density
    if model.manifest.density in ("none", "bound", "ratio") or guidance not in (None, 1.0):
        return None
    parts = _different(model.condition, condition, n)
    if parts is None:
        return None

    def density(points: NDArray[np.float32]) -> NDArray[np.float64]:
        total = np.full(len(points), -np.inf)
        for value, weight in parts:
            with app.progress("density", 1) as update:
                part = model.log_prob(points, condition=value, progress=update)
            total = np.logaddexp(total, part + np.log(weight))
        return total

    return density


def _different(
    described: Condition | None, condition: ConditionLike, n: int
) -> list[tuple[ConditionLike, float]] | None:
    """The different conditions of ``n`` samples, each as a value for all, and their shares; None of too many."""
    if described is None or (described.plain and condition is None):
        return [(None, 1.0)]
    if described.plain:
        array = np.asarray(condition)
        values, counts = np.unique(array, axis=0, return_counts=True)
        each: list[ConditionLike] = [int(value) if array.ndim == 1 else value for value in values]
    else:
        _, index = described.distinct(condition, n)
        _, first, counts = np.unique(index, return_index=True, return_counts=True)
        each = [described.alone(condition, n, int(i)) for i in first[: _MOST_CONDITIONS + 1]]
    if len(each) > _MOST_CONDITIONS:
        return None
    return list(zip(each, counts / counts.sum(), strict=True))
