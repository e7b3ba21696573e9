"""``zoo run --log-prob``: data scored."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from zoo.arrays import Array
from zoo.cli._again import command_of
from zoo.cli._app import App
from zoo.cli._opening import open_model, warn_of_fallback
from zoo.cli._piping import shown
from zoo.cli._request import SAMPLING_ONLY, Request, flag, given_condition
from zoo.cli._shards import data_and_condition
from zoo.cli._text import counted, echo, rate
from zoo.conditions import ConditionLike
from zoo.density import is_likelihood
from zoo.errors import DataError, UsageError
from zoo.modality import Text

if TYPE_CHECKING:
    from zoo.likelihood import LogDensity
    from zoo.models.sources import Facts, Source
    from zoo.runtime import BundledModel


@dataclass(frozen=True)
class _Plan:
    """Data ``[n, *event]`` to score in the model's units, its condition or None, and the seed of all noise."""

    x: Array
    condition: ConditionLike
    seed: int


@dataclass(frozen=True)
class _Scored:
    """Log-densities ``[n]``, their errors by names in JSON, the provider, and the time taken."""

    density: Array
    provider: str
    seconds: float
    errors: Mapping[str, Array] = field(default_factory=dict)

    @property
    def mean(self) -> float:
        return float(self.density.mean())


def score(app: App, source: Source, facts: Facts, request: Request, stack: ExitStack) -> None:
    """Score the data; densities go to stdout, or to ``-o``."""
    check_options(request)
    x, condition = read(app, facts, request)
    model = open_model(app, source, request.device, stack)
    plan = _Plan(dequantised(app, model, facts, x, request.seed or 0), condition, request.seed or 0)
    scored = _run(app, model, facts, request, plan)
    _report(app, model, facts, request, plan, scored)


def check_options(request: Request) -> None:
    """Refuse options for sampling, and a file that cannot be written."""
    from zoo.render.files import check_numbers

    for name in SAMPLING_ONLY:
        if getattr(request, name) is not None:
            raise UsageError(f"--log-prob scores data; {flag(name)} is for sampling")
    if unknown := request.options.keys() - {"probes", "errors"}:
        raise UsageError(f"--log-prob has no option {', '.join(sorted(unknown))}", hint="There are: probes, errors.")
    if request.output is not None and request.engine is None:
        check_numbers(request.output, replace=request.force)


_TOLD = {"bound": ", a lower bound of the log-density", "ratio": ", log-ratios to another density"}


def read(app: App, facts: Facts, request: Request) -> tuple[Array, ConditionLike]:
    """The data, and its condition: the one given, or the file's own."""
    from zoo.render.read import read_samples

    assert request.log_prob is not None
    by_option = bool(request.classes or request.condition)
    reading = partial(read_samples, event_shape=facts.event_shape, modality=facts.modality, length=facts.length)
    x, condition = data_and_condition(facts, request.log_prob, reading, beside=not by_option)
    n = len(x) if x.ndim else 0
    if isinstance(facts.modality, Text) and (x < 0).any():
        raise DataError(f"{request.log_prob} has gaps, and a text with gaps has no probability")
    if by_option:
        return x, given_condition(request, facts, n)
    if condition is None:
        return x, None
    app.say(f"conditions are those of {shown(request.log_prob)}")
    return x, condition


def dequantised(app: App, model: BundledModel, facts: Facts, x: Array, seed: int) -> Array:
    """The data with noise if it was rounded, reporting that; whole numbers are dequantised by the model."""
    from zoo.render.modalities import rounding
    from zoo.runtime.data import is_discrete

    if is_discrete(x, model.levels):
        app.say(f"whole numbers are dequantised with uniform noise of seed {seed}")
    elif (grain := rounding(facts.modality, x, seed)) is not None:
        app.say(f"rounded numbers are dequantised with uniform noise of seed {seed}")
        noisy: Array = x + grain
        return noisy
    return x


def _run(app: App, model: BundledModel, facts: Facts, request: Request, plan: _Plan) -> _Scored:
    from zoo.likelihood import LogDensity

    options = dict(request.options)
    score_data = model.log_prob_with_errors if options.pop("errors", False) else model.log_prob
    begin = time.perf_counter()
    with app.progress(f"scoring with {facts.name}", 1) as update:
        density = score_data(
            plan.x,
            condition=plan.condition,
            seed=plan.seed,
            steps=request.steps,
            batch_size=request.batch_size,
            progress=update,
            **options,
        )
    seconds = time.perf_counter() - begin
    warn_of_fallback(app, model.fallback)
    if not isinstance(density, LogDensity):
        return _Scored(density, model.provider, seconds)
    _tell_errors(app, density)
    _, numerical, standard, error = density
    errors = {"numerical_error": numerical, "standard_error": standard, "error": error}
    return _Scored(density.value, model.provider, seconds, errors)


def _tell_errors(app: App, density: LogDensity) -> None:
    _, numerical, standard, error = density
    probes = "unknown from one" if np.isnan(standard).any() else f"{standard.mean():.2g} on average"
    within = "" if np.isnan(error).any() else f"; 95% interval ± {error.mean():.2g} on average"
    app.say(
        f"error of the steps, the ends of the path and float32 at most {numerical.max():.2g} nats, "
        f"{numerical.mean():.2g} on average; standard error of the probes {probes}{within}"
    )


def _report(app: App, model: BundledModel, facts: Facts, request: Request, plan: _Plan, scored: _Scored) -> None:
    """Write log-densities and report their mean."""
    from zoo.render.files import Extras, write

    n, density, bound = len(scored.density), scored.density, _TOLD.get(model.manifest.density, "")
    told = {"model": facts.name, "n": n, "seed": plan.seed, "steps": request.steps, "provider": scored.provider}
    told["command"] = command_of(app.arguments)
    if request.output is not None:
        write(density, request.output, Extras(about=told), replace=request.force)
    elif not app.json:
        echo("\n".join(f"{value:.9g}" for value in density.tolist()), lines=True)
    bits = None
    if model.levels is not None and model.manifest.length is None and is_likelihood(model.manifest.density):
        bits = -scored.mean / (math.prod(facts.event_shape) * math.log(2))
    error = f" ± {float(density.std(ddof=1)) / math.sqrt(n):.2g}" if n > 1 and np.isfinite(density).all() else ""
    app.say(
        f"{'' if request.output is None else f'wrote {request.output}: '}mean {scored.mean:.6g}{error} nats"
        f"{'' if bits is None else f', {bits:.4f} bits/dim'}{bound}; {counted(n, 'data')} on {scored.provider} "
        f"in {scored.seconds:.2f} s, {rate(n / scored.seconds)}"
    )
    if app.json:
        told["density"] = model.manifest.density
        summary = {"mean_log_prob": scored.mean, "bits_per_dim": bits, "output": request.output}
        values = {"log_prob": density, **scored.errors} if request.output is None else {}
        app.emit({**told, "fallback": model.fallback, **summary, "seconds": scored.seconds, **values})
