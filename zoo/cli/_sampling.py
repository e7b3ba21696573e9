"""``zoo run``: samples drawn, edited, gone on with, or turned back into noise."""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.cli import _editing as editing
from zoo.cli._app import App
from zoo.cli._opening import open_model, provider_of
from zoo.cli._request import Facts, Request, condition_of, file_name, given_condition
from zoo.errors import UnknownNameError, UsageError
from zoo.modality import Text

if TYPE_CHECKING:
    from zoo.models.sources import Source
    from zoo.render.files import Extras
    from zoo.runtime import BundledModel


def sample(app: App, source: Source, facts: Facts, request: Request, stack: ExitStack) -> None:
    """Draw samples, from noise or from data, and write them; or the state after some steps."""
    from zoo.render import check_output, default_suffix, write
    from zoo.render.files import Extras, check_writable, picture_of
    from zoo.runtime import fresh_seed
    from zoo.samplers.state import SamplerState

    if request.sampler is not None and request.sampler not in app.registry.samplers():
        raise UnknownNameError("sampler", request.sampler, app.registry.samplers())
    output = request.output or Path(file_name(source.name) + default_suffix(facts.event_shape, facts.modality))
    if request.stop_after is None:
        check_output(output, facts.event_shape, facts.modality, replace=request.force)
    else:
        check_writable(output, replace=request.force)
    if request.previews is not None:
        check_output(request.previews, facts.event_shape, facts.modality, replace=request.force)
    state = None if request.resume is None else SamplerState.load(request.resume)
    init = found = mask = start = None
    if request.init is not None:
        init, found = editing.read_data(request.init, facts.event_shape, facts.modality)
        if isinstance(facts.modality, Text):
            init, mask = editing.gaps(init)
    if request.mask is not None:
        mask = editing.read_mask(request.mask, facts.event_shape)
    if request.noise is not None:
        from zoo.render.read import read_samples

        start, found = read_samples(request.noise, facts.event_shape)
    given = init if init is not None else start
    rows = None
    if state is not None:
        n, condition = state.n, state.condition
    elif request.interpolate is not None:
        ends = len(given) if given is not None else request.n or 5
        if request.n is not None and request.n != ends:
            raise UsageError(f"-n {request.n} and the {ends} given exclude each other")
        rows = ends - 1
        if rows < 1:
            raise UsageError("--interpolate needs two samples at least to go between")
        # a row has one condition, that of where it begins
        _, condition = condition_of(request, facts, rows, None if found is None else found[:rows])
        condition = None if condition is None else np.repeat(condition, request.interpolate, axis=0)
        n = rows * request.interpolate
    else:
        n, condition = condition_of(request, facts, None if given is None else len(given), found)
    model = open_model(app, source, request, stack)
    options = _options_of(model, request, facts)
    program = model.manifest.fused if request.fused else model.manifest.sample
    if state is not None:
        table = state.table
    elif request.fused:
        table = None
    else:
        # at strength 0 nothing is run, whatever the table
        moving = {"strength": request.strength} if request.strength else {}
        table = model.table(request.sampler, request.steps, options.get("guidance"), **request.options, **moving)
    seed = request.seed if state is None else state.seed
    if seed is None:
        seed = fresh_seed()
        app.say(f"seed {seed}")
    if init is not None:
        assert request.init is not None
        init = editing.data_of(init, request.init, model)
    if rows is not None:
        assert request.interpolate is not None
        if init is not None:
            each = None if condition is None else condition[:: request.interpolate]
            each = None if each is None else np.concatenate([each, each[-1:]])
            start = model.encode(init, condition=each, steps=request.steps, batch_size=request.batch_size)
            init = None
        elif start is None:
            start = editing.noises(model, seed, rows + 1)
        start = editing.between(start, request.interpolate)
    arrays = {"init": init, "mask": mask, "strength": request.strength}
    options |= {name: value for name, value in arrays.items() if value is not None}
    shown = None
    if request.previews is not None:
        if table is None:
            raise UsageError(f"{model.name} samples in one call and has no previews")
        first = 0 if state is None else state.row
        shown = np.zeros((n, len(table) - first, *facts.event_shape), np.float32)

    def preview(row: int, part: slice, x: Any) -> None:
        assert shown is not None
        shown[part, row - first] = x

    watch: dict[str, Any] = {"batch_size": request.batch_size, "preview": None if shown is None else preview}
    provider = provider_of(app, model)
    about = {"model": source.name}
    begin = time.perf_counter()
    with app.progress(f"sampling {source.name}", 1) as update:
        if state is None and request.stop_after is not None:
            state = model.begin(
                n, condition=condition, seed=seed, noise=start, sampler=request.sampler, steps=request.steps, **options
            )
        if state is not None and request.stop_after is not None:
            state = model.advance(state, request.stop_after, progress=update, **watch)
            state.save(output, about=about)
            samples = None
        elif state is not None:
            samples = model.finish(state, progress=update, **watch)
        elif request.fused:
            samples = model.sample(n, condition=condition, seed=seed, fused=True, progress=update, **watch)
        else:
            if model.table() is not None:
                options |= {"sampler": request.sampler, "steps": request.steps}
            samples = model.sample(n, condition=condition, seed=seed, noise=start, progress=update, **watch, **options)
    seconds = time.perf_counter() - begin
    weight = None if program is None else program.guidance
    if table is not None:
        weight = float(table.guidance[np.argmax(np.abs(table.guidance - 1.0))])
    told: dict[str, Any] = {
        "model": source.name,
        "n": n,
        "seed": seed,
        "sampler": None if request.resume else request.sampler or (program and program.sampler),
        "steps": (program and program.steps) if table is None else len(table),
        "guidance": weight,
        "options": request.options,
        "provider": provider,
    }
    told |= {
        name: str(value) if isinstance(value, Path) else value
        for name in (*_EDITS, "resume", "stop_after", "previews")
        if (value := getattr(request, name)) is not None
    }
    edited = request.resume is not None or any(getattr(request, name) is not None for name in _EDITS)
    labels = () if facts.condition is None else facts.condition.labels
    if samples is not None:
        extras = Extras(condition, labels, model.levels, model.modality, columns=request.interpolate, about=told)
        write(samples, output, extras, replace=request.force)
    app.say(f"wrote {output}: {n} samples on {provider} in {seconds:.2f} s, {n / seconds:.3g} a second")
    if app.json:
        app.emit({**told, "fallback": model.fallback, "output": str(output), "seconds": seconds})
    if samples is not None and not edited and output.suffix.lower() == ".png" and request.density != "none":
        density = _density(app, model, condition, weight)
        if density is not None and picture_of(facts.event_shape, facts.modality) in ("scatter", "histogram"):
            _draw_density(app, samples, output, replace(extras, density=density), request, seconds)
    if shown is not None and request.previews is not None:
        pictures = shown.reshape(-1, *facts.event_shape) if request.previews.suffix == ".png" else shown
        extras = Extras(levels=model.levels, modality=model.modality, columns=shown.shape[1])
        with _kept(app, output, f"{request.previews} is not written"):
            write(pictures, request.previews, extras, replace=request.force)


_EDITS = ("guidance_interval", "guidance_rescale", "negative", "init", "strength", "mask", "noise", "interpolate")


def encode(app: App, source: Source, facts: Facts, request: Request, stack: ExitStack) -> None:
    """Turn data into the noise that it is made from, and write that."""
    from zoo.render.files import Extras, check_writable, write

    assert request.encode is not None
    output = request.output or Path(file_name(source.name) + "-noise.npz")
    check_writable(output, replace=request.force)
    x, found = editing.read_data(request.encode, facts.event_shape, facts.modality)
    condition = given_condition(request, facts, len(x))
    if condition is None and facts.condition is not None and found is not None:
        condition = facts.condition.array(found, len(x))
    model = open_model(app, source, request, stack)
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
    write(noise, output, Extras(condition=condition, about=told), replace=request.force)
    app.say(f"wrote {output}: noise of {len(x)} data")
    if app.json:
        app.emit({**told, "encode": str(request.encode), "output": str(output)})


def _options_of(model: BundledModel, request: Request, facts: Facts) -> dict[str, Any]:
    """Guidance and the sampler's own options."""
    usual = model.manifest.sample.guidance
    default = 1.0 if usual is None else float(usual)
    guidance = request.guided(default)
    options = {**request.options, **({} if guidance is None else {"guidance": guidance})}
    if request.negative is not None:
        if facts.condition is None:
            raise UsageError(f"{facts.name} takes no condition, so there is no class to guide away from")
        if (default if guidance is None else guidance.weight) == 1.0:
            raise UsageError("--negative has no effect without guidance", hint="Give a weight, e.g. --guidance 2.")
        options["negative"] = facts.condition.index(request.negative)
    return options


#: seconds that a density may take, however quickly the samples came
_LEAST_SECONDS = 2.0


def _draw_density(app: App, samples: Any, output: Path, extras: Extras, request: Request, seconds: float) -> None:
    """Draw a picture of samples, which is there already, again with the density behind them.

    Args:
        samples: ``[n, *event]``.
        output: the picture.
        extras: with the density.
        request: says how fine.
        seconds: that the samples took: the density takes no longer unless that was asked for.
    """
    from zoo.render import write

    app.say("drawing the density behind them; Ctrl-C leaves it out, and so does --density none")
    time_for_it = None if request.density == "fine" else max(seconds, _LEAST_SECONDS)
    with _kept(app, output, "it shows them without the density"):
        write(samples, output, replace(extras, density_seconds=time_for_it), replace=True)


@contextmanager
def _kept(app: App, output: Path, but: str) -> Iterator[None]:
    """Say what there is when what follows the samples is stopped."""
    try:
        yield
    except KeyboardInterrupt:
        app.say(f"stopped: the samples are in {output}, but {but}")
        raise


def _density(app: App, model: BundledModel, condition: Any, guidance: float | None) -> Any:
    """The density to draw behind points, mixed as the classes that were drawn; None where there is none."""
    if model.manifest.log_prob is None or guidance not in (None, 1.0):  # guided samples follow no known density
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
