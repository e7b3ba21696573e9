"""``zoo run``: samples from a model, or log-densities of data, with ONNX Runtime."""

from __future__ import annotations

import re
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._options import key_values
from zoo.errors import ConditionError, MissingDependencyError, UnknownNameError, UsageError

if TYPE_CHECKING:
    from zoo.conditions import Condition
    from zoo.runtime import BundledModel
    from zoo.sources import Source


@dataclass(frozen=True)
class Request:
    """The command line, parsed; None is what was not given."""

    n: int | None
    seed: int | None
    sampler: str | None
    steps: int | None
    guidance: float | None
    options: dict[str, Any]
    classes: tuple[str, ...]
    condition: Path | None
    output: Path | None
    log_prob: Path | None
    fused: bool
    provider: str
    batch_size: int | None
    threads: int | None
    force: bool


@click.command("run")
@click.argument("model", metavar="MODEL")
@click.option(
    "-n",
    type=click.IntRange(1),
    help="How many [1000 points in one or two dimensions; else 16 or so, each class as often].",
)
@click.option(
    "--seed", type=click.IntRange(0, 2**64 - 1), help="Seed of the noise; one is picked, and told, if not given."
)
@click.option("--sampler", help="Sampler of a diffusion [the model's own].")
@click.option("--steps", type=click.IntRange(1), help="Steps of a diffusion's sampler, or of its likelihood.")
@click.option("--guidance", type=float, help="Weight of classifier-free guidance; 1 is none.")
@click.option(
    "-O", "options", multiple=True, metavar="KEY=VALUE", help="Option of the sampler, e.g. eta=0.5. Repeatable."
)
@click.option(
    "--class", "classes", multiple=True, metavar="CLASS", help="Class by number or label; several come in turn."
)
@click.option("--condition", type=click.Path(path_type=Path), help="File with a class or a vector for each sample.")
@click.option(
    "-o", "--output", type=click.Path(path_type=Path), help="File to write: .png, .npy, .npz, .csv, .safetensors."
)
@click.option(
    "--log-prob", type=click.Path(path_type=Path), metavar="DATA", help="Score this file instead of sampling."
)
@click.option("--fused", is_flag=True, help="Run the bundle's fused graph: the sampler that it was exported with.")
@click.option("--provider", default="auto", show_default=True, help="auto, cpu or cuda.")
@click.option("--batch-size", type=click.IntRange(1), help="Samples at a time; does not change them.")
@click.option("--threads", type=click.IntRange(1), help="CPU threads.")
@click.option("--force", is_flag=True, help="Replace the output file if it exists.")
@json_option
@pass_app
def command(app: App, /, model: str, options: tuple[str, ...], **given: Any) -> None:
    """Sample from a model, or score data with it.

    Without -o, samples go to a file named after the model in this folder: NAME.png when they are images, points in
    the plane or single numbers, else NAME.npy. A file that exists is not replaced without --force.

    \b
    zoo run mnist-unet -n 20 --seed 0                        20 digits, each class in turn
    zoo run mnist-unet --class 7 --guidance 2 -o sevens.png
    zoo run mnist-unet --sampler ddim --steps 25 -O eta=0.5
    zoo run moons-nsf -n 100000 -o moons.csv
    zoo run moons-nsf --log-prob moons.csv

    With --log-prob, DATA is .npy, .npz, .csv or .safetensors; log-densities in nats go to stdout, one a line, or to
    -o. Whole numbers are dequantised for models of discrete data; --seed decides how (0 if not given). Without a class,
    a model with guidance scores without class.

    Nothing depends on the batch size, and the same seed gives the same samples everywhere.
    """
    request = Request(options=key_values(options), **given)
    if request.classes and request.condition is not None:
        raise UsageError("--class and --condition exclude each other")
    source = app.registry.resolve(model)
    facts = _facts(source)
    with ExitStack() as stack:
        if request.log_prob is not None:
            _score(app, source, facts, request, stack)
        else:
            _sample(app, source, facts, request, stack)


# -- sampling -------------------------------------------------------------------------------------------------------


def _sample(app: App, source: Source, facts: Facts, request: Request, stack: ExitStack) -> None:
    from zoo.render import check_output, default_suffix, write
    from zoo.render.files import Extras
    from zoo.runtime import fresh_seed

    if request.sampler is not None and request.sampler not in app.registry.samplers():
        raise UnknownNameError("sampler", request.sampler, app.registry.samplers())
    n, condition = _condition(request, facts)
    output = request.output or Path(_file_name(source.name) + default_suffix(facts.event_shape))
    check_output(output, facts.event_shape, replace=request.force)
    model = _open(app, source, request, stack)
    if request.fused and any(v is not None for v in (request.sampler, request.steps, request.guidance)):
        raise UsageError("--fused runs the sampler that was exported, so it takes no --sampler, --steps or --guidance")
    table = None if request.fused else model.table(request.sampler, request.steps, request.guidance, **request.options)
    seed = request.seed
    if seed is None:
        seed = fresh_seed()
        app.say(f"seed {seed}")
    provider = _provider(app, model)
    begin = time.perf_counter()
    with app.progress(f"sampling {source.name}", 1) as update:
        samples = model.sample(
            n,
            condition=condition,
            seed=seed,
            sampler=table,
            fused=request.fused,
            batch_size=request.batch_size,
            progress=update,
        )
    seconds = time.perf_counter() - begin
    program = model.manifest.fused if request.fused else model.manifest.sample
    # with an interval some rows are not guided
    weight = getattr(program, "guidance", None) if table is None else float(table.guidance.max())
    told: dict[str, Any] = {
        "model": source.name,
        "n": n,
        "seed": seed,
        "sampler": request.sampler or getattr(program, "sampler", None),
        "steps": getattr(program, "steps", None) if table is None else len(table),
        "guidance": weight,
        "options": request.options,
        "provider": provider,
    }
    extras = Extras(
        condition=condition,
        labels=() if facts.condition is None else facts.condition.labels,
        levels=model.levels,
        density=_density(app, model, condition, weight),
        about=told,
    )
    write(samples, output, extras, replace=request.force)
    app.say(f"wrote {output}: {n} samples on {provider} in {seconds:.2f} s, {n / seconds:.3g} a second")
    if app.json:
        app.emit({**told, "fallback": model.fallback, "output": str(output), "seconds": seconds})


def _density(app: App, model: BundledModel, condition: Any, guidance: float | None) -> Any:
    """The density to draw behind points, mixed as the classes that were drawn; None where there is none."""
    import numpy as np

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


# -- scoring --------------------------------------------------------------------------------------------------------


def _score(app: App, source: Source, facts: Facts, request: Request, stack: ExitStack) -> None:
    import math

    import numpy as np

    from zoo.render.files import FORMATS, Extras, check_suffix, check_writable, write
    from zoo.render.read import read_samples
    from zoo.runtime.data import is_discrete

    for name in ("n", "sampler", "guidance"):
        if getattr(request, name) is not None:
            raise UsageError(f"--log-prob scores data; {'-n' if name == 'n' else f'--{name}'} is for sampling")
    if unknown := request.options.keys() - {"probes"}:
        raise UsageError(f"--log-prob has no option {', '.join(sorted(unknown))}", hint="There is: probes.")
    if request.output is not None:
        check_suffix(request.output, {suffix: what for suffix, what in FORMATS.items() if suffix != ".png"})
        check_writable(request.output, replace=request.force)
    assert request.log_prob is not None
    x, found = read_samples(request.log_prob, facts.event_shape)
    n = len(x) if x.ndim else 0
    condition = None
    if request.classes or request.condition is not None:
        condition = _given_condition(request, facts, n)
    elif facts.condition is not None and found is not None:
        condition = facts.condition.array(found, n)
        app.say(f"conditions are those of {request.log_prob}")
    model = _open(app, source, request, stack)
    seed = request.seed or 0
    if is_discrete(x, model.levels):
        app.say(f"whole numbers are dequantised with uniform noise of seed {seed}")
    begin = time.perf_counter()
    with app.progress(f"scoring with {source.name}", 1) as update:
        density = model.log_prob(
            x,
            condition=condition,
            seed=seed,
            steps=request.steps,
            batch_size=request.batch_size,
            progress=update,
            **request.options,
        )
    seconds = time.perf_counter() - begin
    provider = _provider(app, model)
    mean = float(density.mean())
    bits = -mean / (math.prod(facts.event_shape) * math.log(2)) if model.levels is not None else None
    told = {"model": source.name, "n": n, "seed": seed, "steps": request.steps, "provider": provider}
    summary = {"mean_log_prob": mean, "bits_per_dim": bits, "output": request.output, "seconds": seconds}
    if request.output is not None:
        write(density, request.output, Extras(about=told), replace=request.force)
    elif not app.json:
        click.echo("\n".join(f"{value:.9g}" for value in density.tolist()))
    error = f" ± {float(density.std(ddof=1)) / math.sqrt(n):.2g}" if n > 1 and np.isfinite(density).all() else ""
    app.say(
        f"{'' if request.output is None else f'wrote {request.output}: '}mean {mean:.6g}{error} nats"
        f"{'' if bits is None else f', {bits:.4f} bits/dim'}; {n} data on {provider} in {seconds:.2f} s, "
        f"{n / seconds:.3g} a second"
    )
    if app.json:
        values = {"log_prob": density} if request.output is None else {}
        app.emit({**told, "fallback": model.fallback, **summary, **values})


# -- what is asked for ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Facts:
    """What is known of a model before it is opened."""

    name: str
    event_shape: tuple[int, ...]
    condition: Condition | None


def _facts(source: Source) -> Facts:
    known = source.card if source.card is not None else source.manifest()
    assert known is not None
    return Facts(source.name, known.event_shape, known.condition)


def _condition(request: Request, facts: Facts) -> tuple[int, Any]:
    """How many samples, and the condition array for them (None for a model without)."""
    from zoo.render.read import read_condition

    n = request.n
    if n is None and request.condition is not None:
        values = read_condition(request.condition)
        each = 1 if facts.condition is None or facts.condition.kind == "classes" else 2
        n = len(values) if values.ndim == each else None
    if n is None:
        n = _default_count(facts, in_turn=not request.classes)
    if facts.condition is None or request.classes or request.condition is not None:
        return n, _given_condition(request, facts, n, cycle=True)
    return n, facts.condition.array(None, n)


def _given_condition(request: Request, facts: Facts, n: int, *, cycle: bool = False) -> Any:
    """The array that ``--class`` or ``--condition`` stand for. With ``cycle`` several classes come in turn."""
    from zoo.render.read import read_condition

    if not request.classes and request.condition is None:
        return None
    if facts.condition is None:
        raise ConditionError(f"{facts.name} takes no condition")
    if request.condition is not None:
        return facts.condition.array(read_condition(request.condition), n)
    labels = facts.condition.labels
    # a label may hold a comma itself
    names = [name for text in request.classes for name in ([text] if text in labels else text.split(","))]
    numbers = [facts.condition.index(name.strip()) for name in names]
    if cycle and len(numbers) > 1:
        numbers = [numbers[i % len(numbers)] for i in range(n)]
    return facts.condition.array(numbers if len(numbers) > 1 else numbers[0], n)


def _default_count(facts: Facts, *, in_turn: bool) -> int:
    from zoo.render.files import picture_of

    if picture_of(facts.event_shape) in ("scatter", "histogram"):
        return 1000
    c = facts.condition
    if c is not None and c.kind == "classes" and in_turn and c.size <= 16:
        return c.size * -(-16 // c.size)  # every class equally often
    return 16


def _file_name(name: str) -> str:
    """A model's name as a file name; a bundle may be named anything."""
    return re.sub(r"[^\w.-]+", "_", name).strip("._") or "samples"


# -- opening --------------------------------------------------------------------------------------------------------


def _open(app: App, source: Source, request: Request, stack: ExitStack) -> BundledModel:
    """The model's bundle; one is exported to a temporary folder for a model that has none."""
    from zoo.runtime import load
    from zoo.runtime.session import choose_provider

    choose_provider(request.provider)
    folder = source.bundle
    if folder is None:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="zoo-"))) / "bundle"
        _export(app, source, folder)
    return load(folder, request.provider, request.threads, samplers=app.registry.samplers())


def _export(app: App, source: Source, folder: Path) -> None:
    for package in ("torch", "onnx"):
        if find_spec(package) is None:
            raise MissingDependencyError(package, f"run {source.name}, which carries no bundle", extra="onnx")
    app.say(f"{source.name} carries no bundle: exporting it to a temporary one (`zoo export` makes one that stays)")
    exporter = app.registry.load_entry(app.registry.exporter("onnx"))
    folder.mkdir()
    exporter(app.registry.load(source), source.card, folder)


def _provider(app: App, model: BundledModel) -> str:
    """The provider in use, having told why it is not CUDA where that was to be expected."""
    if model.fallback is not None:
        app.say(f"Warning: running on the CPU: {model.fallback}")
    return model.provider
