"""``zoo run``: samples are drawn, edited, resumed, or encoded as noise."""

from __future__ import annotations

import time
from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from zoo.cli import _editing as editing
from zoo.cli._app import App
from zoo.cli._conditions import found_in
from zoo.cli._opening import open_model, provider_of
from zoo.cli._plan import Plan, check_sampler, output_of, plan_of, read_inputs, wanted_of
from zoo.cli._request import Facts, Request, file_name, given_condition

if TYPE_CHECKING:
    from zoo.models.sources import Source
    from zoo.render.files import Extras
    from zoo.runtime import BundledModel


@dataclass(frozen=True)
class _Drawn:
    """The result of a run.

    Attributes:
        samples: ``[n, *event]``; None if a state was written instead.
        previews: ``[n, rows, *event]``, or None.
        provider: the provider it ran on.
        seconds: the time it took.
    """

    samples: NDArray[Any] | None
    previews: NDArray[Any] | None
    provider: str
    seconds: float


def sample(app: App, source: Source, facts: Facts, request: Request, stack: ExitStack) -> None:
    """Draw samples, from noise or from data, and write them, or the state after some steps."""
    check_sampler(app, source, request)
    output = output_of(facts, request)
    inputs = read_inputs(request, facts)
    wanted = wanted_of(request, facts, inputs)
    model = open_model(app, source, request.device, stack)
    plan = plan_of(app, model, request, facts, inputs, wanted)
    drawn = _draw(app, model, facts, request, plan, output)
    _report(app, model, facts, request, plan, drawn, output)


def _draw(app: App, model: BundledModel, facts: Facts, request: Request, plan: Plan, output: Path) -> _Drawn:
    """Run a plan; writes a state, but not samples."""
    provider = provider_of(app, model)
    previews = None
    if request.previews is not None:
        previews = np.zeros((plan.n, plan.rows, *model.event_shape), np.float32)
    first = 0 if plan.state is None else plan.state.row

    def preview(row: int, part: slice, x: Any) -> None:
        assert previews is not None
        previews[part, row - first] = x

    begin = time.perf_counter()
    with app.progress(f"sampling {facts.name}", 1) as update:
        watch: dict[str, Any] = {
            "batch_size": request.batch_size,
            "progress": update,
            "preview": None if previews is None else preview,
        }
        samples = None
        if request.stop_after is not None:
            begun = plan.state
            if begun is None:
                begun = model.begin(plan.n, condition=plan.condition, seed=plan.seed, noise=plan.noise, **plan.options)
            model.advance(begun, request.stop_after, **watch).save(output, about={"model": facts.name})
        elif plan.state is not None:
            samples = model.finish(plan.state, **watch)
        else:
            samples = model.sample(
                plan.n,
                condition=plan.condition,
                seed=plan.seed,
                noise=plan.noise,
                fused=request.fused,
                **watch,
                **plan.options,
            )
    return _Drawn(samples, previews, provider, time.perf_counter() - begin)


#: options that change the distribution of samples
_EDITS = ("guidance_interval", "guidance_rescale", "negative", "init", "strength", "mask", "noise", "interpolate")


def _report(
    app: App, model: BundledModel, facts: Facts, request: Request, plan: Plan, drawn: _Drawn, output: Path
) -> None:
    """Write the samples and report it; then optional parts that take longer."""
    from zoo.render import write
    from zoo.render.files import Extras

    told = _told(model, facts, request, plan, drawn)
    labels = () if facts.condition is None else facts.condition.labels
    written = _written(facts, plan.condition, plan.n)
    extras = Extras(
        written,
        labels,
        model.levels,
        model.modality,
        columns=request.interpolate,
        length=model.manifest.length,
        about=told,
    )
    if drawn.samples is not None:
        write(drawn.samples, output, extras, replace=request.force)
    rate = f"{drawn.seconds:.2f} s, {plan.n / drawn.seconds:.3g} a second"
    app.say(f"wrote {output}: {plan.n} samples on {drawn.provider} in {rate}")
    if app.json:
        app.emit({**told, "fallback": model.fallback, "output": str(output), "seconds": drawn.seconds})
    if _shows_density(facts, request, drawn, output):
        density = _density(app, model, plan.condition, told["guidance"])
        if density is not None:
            _draw_density(app, drawn.samples, output, replace(extras, density=density), request, drawn.seconds)
    if drawn.previews is not None:
        _write_previews(app, model, request, drawn.previews, output)


def _written(facts: Facts, condition: Any, n: int) -> Any:
    """A condition as files of samples hold it."""
    if isinstance(condition, Mapping) and facts.condition is not None:
        return facts.condition.stored(condition, n)
    return condition


def _told(model: BundledModel, facts: Facts, request: Request, plan: Plan, drawn: _Drawn) -> dict[str, Any]:
    """How the samples were drawn, as JSON values: everything needed to draw them again."""
    program = model.manifest.fused if request.fused else model.manifest.sampling
    told: dict[str, Any] = {
        "model": facts.name,
        "n": plan.n,
        "seed": plan.seed,
        "sampler": None if request.resume else request.sampler or (program and program.sampler),
        "steps": (program and program.steps) if plan.table is None else len(plan.table),
        "guidance": (program and program.guidance) if plan.table is None else plan.guidance,
        "options": request.options,
        "provider": drawn.provider,
    }
    edits = {name: getattr(request, name) for name in (*_EDITS, "resume", "stop_after", "previews")}
    given = {name: value for name, value in edits.items() if value is not None}
    if request.negative is not None:
        given["negative"] = request.negative[0] if len(request.negative) == 1 else list(request.negative)
    if request.condition and facts.condition is not None and not facts.condition.plain:
        given["condition"] = list(request.condition)
    return told | {name: str(value) if isinstance(value, Path) else value for name, value in given.items()}


def _write_previews(app: App, model: BundledModel, request: Request, previews: NDArray[Any], output: Path) -> None:
    """Write the denoised samples ``[n, rows, *event]`` of every step."""
    from zoo.render import write
    from zoo.render.files import Extras
    from zoo.render.formats import is_picture

    assert request.previews is not None
    pictures = previews.reshape(-1, *model.event_shape) if is_picture(request.previews) else previews
    extras = Extras(levels=model.levels, modality=model.modality, columns=previews.shape[1])
    with _kept(app, output, f"{request.previews} is not written"):
        write(pictures, request.previews, extras, replace=request.force)


def encode(app: App, source: Source, facts: Facts, request: Request, stack: ExitStack) -> None:
    """Encode data as noise, and write it."""
    from zoo.render.files import Extras, check_numbers, write

    assert request.encode is not None
    output = request.output or Path(file_name(source.name) + "-noise.npz")
    check_numbers(output, replace=request.force)
    x, found = editing.read_data(request.encode, facts.event_shape, facts.modality)
    condition = given_condition(request, facts, len(x))
    if condition is None and facts.condition is not None and found is not None:
        condition = found_in(facts.condition, found, len(x))
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
    told = {"model": source.name, "n": len(x), "steps": request.steps, "provider": provider_of(app, model)}
    written = _written(facts, condition, len(x))
    write(noise, output, Extras(condition=written, about=told), replace=request.force)
    app.say(f"wrote {output}: noise of {len(x)} data")
    if app.json:
        app.emit({**told, "encode": str(request.encode), "output": str(output)})


#: time in seconds that a density may always take
_LEAST_SECONDS = 2.0


def _shows_density(facts: Facts, request: Request, drawn: _Drawn, output: Path) -> bool:
    """Whether the picture shows points that follow the model's density."""
    from zoo.render.files import picture_of
    from zoo.render.formats import is_picture

    edited = request.resume is not None or any(getattr(request, name) is not None for name in _EDITS)
    if drawn.samples is None or edited or not is_picture(output) or request.density == "none":
        return False
    return picture_of(facts.event_shape, facts.modality) in ("scatter", "histogram")


def _draw_density(app: App, samples: Any, output: Path, extras: Extras, request: Request, seconds: float) -> None:
    """Redraw the existing picture of samples with the density behind them.

    Args:
        samples: ``[n, *event]``.
        output: the picture.
        extras: with the density.
        request: determines the resolution.
        seconds: the time that the samples took, which limits the density unless requested otherwise.
    """
    from zoo.render import write

    app.say("drawing the density behind them; Ctrl-C leaves it out, and so does --density none")
    time_for_it = None if request.density == "fine" else max(seconds, _LEAST_SECONDS)
    with _kept(app, output, "it shows them without the density"):
        write(samples, output, replace(extras, density_seconds=time_for_it), replace=True)


@contextmanager
def _kept(app: App, output: Path, but: str) -> Iterator[None]:
    """Report the samples if the work after them is interrupted."""
    try:
        yield
    except KeyboardInterrupt:
        app.say(f"stopped: the samples are in {output}, but {but}")
        raise


def _density(app: App, model: BundledModel, condition: Any, guidance: float | None) -> Any:
    """The density to draw behind points, mixed over the drawn classes, or None."""
    # the density of guided samples is unknown, and a bound is not a density
    if model.manifest.density in ("none", "bound") or guidance not in (None, 1.0) or isinstance(condition, Mapping):
        return None
    if condition is None:
        parts: list[tuple[Any, float]] = [(None, 1.0)]
    else:
        values, counts = np.unique(condition, axis=0, return_counts=True)
        if len(values) > 16:
            return None
        parts = [
            (int(value) if condition.ndim == 1 else value, count / len(condition))
            for value, count in zip(values, counts, strict=True)
        ]

    def density(points: Any) -> Any:
        total = np.full(len(points), -np.inf)
        for value, weight in parts:
            with app.progress("density", 1) as update:
                part = model.log_prob(points, condition=value, progress=update)
            total = np.logaddexp(total, part + np.log(weight))
        return total

    return density
