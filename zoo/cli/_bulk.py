"""``zoo run --engine``: samples and log-densities in bulk, as shards in a folder."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from zoo.arrays import Array
from zoo.cli import _scoring as scoring
from zoo.cli._again import command_of
from zoo.cli._app import App
from zoo.cli._opening import open_model
from zoo.cli._piping import shown
from zoo.cli._plan import check_sampler, check_temperature, guiding_of, of_samples, wanted_of
from zoo.cli._request import Request, flag
from zoo.cli._sampling import shown_range, tell_temperature, worded, written
from zoo.cli._text import counted
from zoo.conditions import ConditionLike
from zoo.errors import UsageError
from zoo.files import sha256
from zoo.modality import Table

if TYPE_CHECKING:
    from zoo.bulk.job import Job, Task
    from zoo.models.sources import Facts, Source
    from zoo.render.shards import Manifest
    from zoo.runtime import BundledModel

#: numbers in one shard, and rows in it at most, unless --shard-size says
_NUMBERS, _MOST_ROWS = 1 << 23, 100_000
_REFUSED = (
    *("init", "strength", "mask", "encode", "noise", "interpolate", "previews", "density", "stop_after", "resume"),
)


def check(request: Request) -> None:
    """Refuse options that do not go with an engine, or only with one.

    Raises:
        UsageError: with the option.
    """
    if request.engine is None:
        for name in ("workers", "shard_size"):
            if getattr(request, name) is not None:
                raise UsageError(f"{flag(name.replace('_', '-'))} is for --engine")
        return
    for name in _REFUSED:
        if getattr(request, name, None) is not None:
            raise UsageError(f"--engine draws or scores in bulk, and takes no {flag(name)}")
    if request.output is None or request.to_stdout:
        raise UsageError("--engine writes shards into a folder", hint="Name it: -o DIR.")
    if _is_file_name(request.output):
        form = request.output.suffix.removeprefix(".").lower()
        raise UsageError(
            f"--engine writes shards into a folder, and {request.output} is the name of a file",
            hint=f"-o {request.output.with_suffix('')} --format {form} writes shards of that format.",
        )
    if request.n is None and request.log_prob is None:
        raise UsageError("--engine draws as many samples as -n says")


def _is_file_name(path: Path) -> bool:
    """Whether a path is called as files of a format are."""
    from zoo.render.formats import known

    return path.suffix.lower() in known()


def sample(app: App, source: Source, facts: Facts, request: Request, stack: ExitStack) -> None:
    """Draw samples into a folder of shards."""
    from zoo.bulk.job import Sampling
    from zoo.render import check_output
    from zoo.render.files import Extras

    check_sampler(app, source, request)
    assert request.output is not None
    seed, suffix = _seed(app, request), _suffix(request, facts)
    check_output(Path(f"shard{suffix}"), facts.event_shape, facts.modality, replace=True, length=facts.length)
    wanted = wanted_of(request, facts)
    model = open_model(app, source, request.device, stack)
    guiding = guiding_of(model, wanted)
    check_temperature(model, request)
    tell_temperature(app, model, request)
    chosen = {
        "sampler": request.sampler,
        "steps": request.steps,
        "temperature": request.temperature,
        **request.options,
    }
    stated = {name: value for name, value in chosen.items() if value is not None}
    if not request.fused:
        guidance = guiding.get("guidance", None if request.compose is None else 1.0)
        model.table(request.sampler, request.steps, guidance, **request.options)  # refuses what cannot be
    keywords = {"condition": wanted.condition, "seed": seed, "fused": request.fused, **stated, **guiding}
    if request.batch_size is not None:
        keywords["batch_size"] = request.batch_size
    origin = {
        **_origin(model, facts, request, seed, wanted.n, suffix, "samples"),
        "asked": {**stated, "fused": request.fused, **_guided(request)},
        "condition": _digest(wanted.condition),
    }
    extras = Extras(
        written(facts, wanted.condition, wanted.n),
        () if facts.condition is None else facts.condition.labels,
        model.levels,
        model.modality,
        length=model.manifest.length,
        value_range=shown_range(model),
        **worded(facts),
        about={"model": facts.name, "n": wanted.n, "seed": seed},
    )
    job = Sampling(*_places(model, request), suffix, wanted.n, keywords=keywords, extras=extras, plugins=_plugins(app))
    _run(app, job, origin, request, facts)


def score(app: App, source: Source, facts: Facts, request: Request, stack: ExitStack) -> None:
    """Score a file into a folder of shards."""
    from zoo.bulk.job import Scoring, Task
    from zoo.reading.finding import digest
    from zoo.render.files import Extras
    from zoo.runtime import data

    scoring.check_options(request)
    suffix = _suffix(request, None)
    if suffix not in (".parquet", ".safetensors"):
        raise UsageError(f"shards of log-densities are parquet or safetensors, not {suffix.removeprefix('.')}")
    assert request.output is not None
    assert request.log_prob is not None
    x, condition = scoring.read(app, facts, request)
    model = open_model(app, source, request.device, stack)
    seed = request.seed or 0
    # dequantised here, so that it is the same as in one process
    x = data.events(scoring.dequantised(app, model, facts, x, seed), facts.event_shape, model.levels, seed=seed)
    n, options = len(x), dict(request.options)
    errors = bool(options.pop("errors", False))
    keywords = {"seed": seed, "steps": request.steps, "batch_size": request.batch_size, **options}
    origin = {
        **_origin(model, facts, request, seed, n, suffix, "log-densities"),
        "density": model.manifest.density,
        "data": {"path": shown(request.log_prob), "sha256": digest(str(request.log_prob))},
        "asked": {"steps": request.steps, "errors": errors, **options},
        "condition": _digest(condition),
    }

    def task(number: int, part: slice) -> Task:
        return Task(number, part, (x[part], of_samples(facts, condition, n, np.arange(part.start, part.stop))))

    job = Scoring(
        *_places(model, request),
        suffix,
        n,
        keywords=keywords,
        extras=Extras(about={"model": facts.name, "n": n, "seed": seed, "density": model.manifest.density}),
        plugins=_plugins(app),
        errors=errors,
    )
    _run(app, job, origin, request, facts, task)


def _run(app: App, job: Job, origin: Mapping[str, Any], request: Request, facts: Facts, task: Any = None) -> None:
    from zoo.bulk import running
    from zoo.bulk.job import Task

    assert request.engine is not None
    engine = app.registry.load_entry(app.registry.engine(request.engine))
    begin = time.perf_counter()
    keywords: dict[str, Any] = {"command": command_of(app.arguments, origin["seed"]), "anew": request.force}
    with app.progress(f"{'scoring with' if task else 'sampling'} {facts.name}", job.n) as update:
        manifest, kept = running.run(
            job,
            origin,
            engine,
            size=origin["shard_size"],
            workers=request.workers,
            task_of=task or Task,
            progress=update,
            **keywords,
        )
    _report(app, manifest, job, kept, time.perf_counter() - begin)


def _report(app: App, manifest: Manifest, job: Job, kept: int, seconds: float) -> None:
    new = job.n - kept
    rate = f" in {seconds:.2f} s, {new / seconds:.3g} a second" if new else ""
    before = f", {kept:,} of which were there" if kept else ""
    app.say(f"wrote {job.folder}: {counted(job.n, 'rows')} in {counted(len(manifest.shards), 'shards')}{before}{rate}")
    if app.json:
        told = {"folder": str(job.folder), "rows": job.n, "shards": len(manifest.shards), "kept": kept}
        app.emit({**manifest.origin, **told, "complete": manifest.complete, "seconds": seconds})


def _seed(app: App, request: Request) -> int:
    """The given seed, that of the shards which are there, or a random one that is reported."""
    from zoo.render import shards
    from zoo.runtime import fresh_seed

    assert request.output is not None
    if request.seed is not None:
        return request.seed
    before = None if request.force else shards.read(request.output)
    seed = fresh_seed() if before is None else int(before.origin["seed"])
    app.say(f"seed {seed}")
    return seed


def _suffix(request: Request, facts: Facts | None) -> str:
    """The extension of the files: that of --format; else of tables Parquet's, of all else that of safetensors."""
    if request.form is not None:
        return f".{request.form}"
    return ".parquet" if facts is not None and isinstance(facts.modality, Table) else ".safetensors"


def _places(model: BundledModel, request: Request) -> tuple[Path, Path, Any]:
    """Bundle, folder and device of a job; a worker has one thread unless told otherwise, as there are several."""
    assert request.output is not None
    device = replace(request.device, threads=request.threads or 1)
    return model.bundle.folder.resolve(), request.output.resolve(), device


def _plugins(app: App) -> dict[str, Any]:
    """The plugins that workers load: those of this process."""
    return {"disabled": app.disabled, **({"allowed": ()} if app.no_plugins else {})}


def _origin(
    model: BundledModel, facts: Facts, request: Request, seed: int, n: int, suffix: str, what: str
) -> dict[str, Any]:
    """What the content of the shards depends on."""
    from zoo.bulk import manifest

    rows = min(max(_NUMBERS // max(math.prod(facts.event_shape), 1), 1), _MOST_ROWS)
    return {
        "holds": what,
        "model": facts.name,
        "model_sha256": sha256(model.bundle.folder / "manifest.json"),
        "n": n,
        "seed": seed,
        "shard_size": request.shard_size or rows,
        "shard_format": suffix.removeprefix("."),
        "batch_size": request.batch_size,
        "threads": request.threads or 1,
        "provider": model.provider,
        "versions": manifest.versions(),
    }


def _guided(request: Request) -> dict[str, Any]:
    names = ("guidance", "guidance_interval", "guidance_rescale", "negative", "compose")
    return {name: value for name in names if (value := getattr(request, name)) is not None}


def _digest(condition: ConditionLike) -> str | None:
    """A digest of a condition, for the manifest."""
    import hashlib

    if condition is None:
        return None
    parts: Mapping[str, Any] = condition if isinstance(condition, Mapping) else {"": condition}
    checksum = hashlib.sha256()
    for name in sorted(parts):
        array: Array = np.asarray(parts[name])
        text = repr(array.tolist()) if array.dtype.kind in "OU" else ""
        checksum.update(f"{name}\0{array.dtype}{array.shape}\0{text}".encode())
        checksum.update(b"" if text else np.ascontiguousarray(array).tobytes())
    return checksum.hexdigest()
