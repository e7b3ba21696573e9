"""``zoo run --log-prob``: data scored."""

from __future__ import annotations

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from zoo.cli._app import App
from zoo.cli._opening import open_model, provider_of
from zoo.cli._request import SAMPLING_ONLY, Facts, Request, flag, given_condition
from zoo.cli._text import echo
from zoo.errors import UsageError

if TYPE_CHECKING:
    from zoo.models.sources import Source


def score(app: App, source: Source, facts: Facts, request: Request, stack: ExitStack) -> None:
    """Score the file; densities go to stdout, or to ``-o``."""
    import math

    import numpy as np

    from zoo.errors import DataError
    from zoo.likelihood import LogDensity
    from zoo.modality import Audio, Table, Text
    from zoo.render import audio, tables
    from zoo.render.files import FORMATS, Extras, check_suffix, check_writable, write
    from zoo.render.read import read_samples
    from zoo.runtime.data import is_discrete

    for name in SAMPLING_ONLY:
        if getattr(request, name) is not None:
            raise UsageError(f"--log-prob scores data; {flag(name)} is for sampling")
    if unknown := request.options.keys() - {"probes", "errors"}:
        raise UsageError(f"--log-prob has no option {', '.join(sorted(unknown))}", hint="There are: probes, errors.")
    if request.output is not None:
        check_suffix(
            request.output, {suffix: what for suffix, what in FORMATS.items() if suffix not in (".png", ".wav")}
        )
        check_writable(request.output, replace=request.force)
    assert request.log_prob is not None
    x, found = read_samples(request.log_prob, facts.event_shape, facts.modality)
    n = len(x) if x.ndim else 0
    if isinstance(facts.modality, Text) and (x < 0).any():
        raise DataError(f"{request.log_prob} has gaps, and a text with gaps has no probability")
    condition = None
    if request.classes or request.condition is not None:
        condition = given_condition(request, facts, n)
    elif facts.condition is not None and found is not None:
        condition = facts.condition.array(found, n)
        app.say(f"conditions are those of {request.log_prob}")
    model = open_model(app, source, request, stack)
    seed = request.seed or 0
    if is_discrete(x, model.levels):
        app.say(f"whole numbers are dequantised with uniform noise of seed {seed}")
    elif isinstance(facts.modality, Table):
        app.say(f"what was rounded is dequantised with uniform noise of seed {seed}")
        x = x + tables.rounding(n, facts.modality, seed)
    elif isinstance(facts.modality, Audio) and (grain := audio.rounding(x, seed)) is not None:
        app.say(f"16-bit recordings are dequantised with uniform noise of seed {seed}")
        x = x + grain
    options = dict(request.options)
    score_data = model.log_prob_with_errors if options.pop("errors", False) else model.log_prob
    begin = time.perf_counter()
    with app.progress(f"scoring with {source.name}", 1) as update:
        density = score_data(
            x,
            condition=condition,
            seed=seed,
            steps=request.steps,
            batch_size=request.batch_size,
            progress=update,
            **options,
        )
    seconds = time.perf_counter() - begin
    trust: dict[str, Any] = {}
    if isinstance(density, LogDensity):
        density, numerical, standard, error_of_each = density
        trust = {"numerical_error": numerical, "standard_error": standard, "error": error_of_each}
        probes = "unknown from one" if np.isnan(standard).any() else f"{standard.mean():.2g} on average"
        within = "" if np.isnan(error_of_each).any() else f"; 95% interval ± {error_of_each.mean():.2g} on average"
        app.say(
            f"error of the steps, the ends of the path and float32 at most {numerical.max():.2g} nats, "
            f"{numerical.mean():.2g} on average; standard error of the probes {probes}{within}"
        )
    provider = provider_of(app, model)
    mean = float(density.mean())
    bits = -mean / (math.prod(facts.event_shape) * math.log(2)) if model.levels is not None else None
    told = {"model": source.name, "n": n, "seed": seed, "steps": request.steps, "provider": provider}
    summary = {"mean_log_prob": mean, "bits_per_dim": bits, "output": request.output, "seconds": seconds}
    if request.output is not None:
        write(density, request.output, Extras(about=told), replace=request.force)
    elif not app.json:
        echo("\n".join(f"{value:.9g}" for value in density.tolist()), lines=True)
    error = f" ± {float(density.std(ddof=1)) / math.sqrt(n):.2g}" if n > 1 and np.isfinite(density).all() else ""
    app.say(
        f"{'' if request.output is None else f'wrote {request.output}: '}mean {mean:.6g}{error} nats"
        f"{'' if bits is None else f', {bits:.4f} bits/dim'}; {n} data on {provider} in {seconds:.2f} s, "
        f"{n / seconds:.3g} a second"
    )
    if app.json:
        values = {"log_prob": density, **trust} if request.output is None else {}
        app.emit({**told, "fallback": model.fallback, **summary, **values})
