"""``zoo eval``: measures a model on held-out data."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._code import made_by_code, weights_option
from zoo.cli._complete import names_of
from zoo.cli._options import key_values
from zoo.cli._text import table
from zoo.errors import UsageError
from zoo.models.sources import Source, resolve
from zoo.printable import assignments

if TYPE_CHECKING:
    from zoo.data import Dataset
    from zoo.metrics.evaluation import Evaluation, Metrics
    from zoo.registry import Registry
    from zoo.registry.cards import Metric
    from zoo.training.run import TrainedOn


@click.command("eval")
@click.argument("model", metavar="MODEL", shell_complete=names_of("model", files=True))
@click.option(
    "--data",
    shell_complete=names_of("data set"),
    metavar="NAME",
    help="Data set [the one that the model was trained on].",
)
@click.option(
    "-D", "options", multiple=True, metavar="KEY=VALUE", help="Option of the data set [as trained]. Repeatable."
)
@click.option("--scored", type=click.IntRange(1), help="Number of test samples to score [flows all, diffusions 64].")
@click.option("--steps", type=click.IntRange(1), help="Steps of a diffusion's ODE; twice as many are taken as well.")
@click.option("--probes", type=click.IntRange(0), help="Probes of its trace; 0 is exact.")
@click.option("--chain", type=click.IntRange(1), default=1000, show_default=True, help="Steps of its bound's chain.")
@click.option("--terms", type=click.IntRange(1), default=50, show_default=True, help="How many of them are evaluated.")
@click.option(
    "--samples", type=click.IntRange(0), default=1000, show_default=True, help="Samples to judge; 0 for none."
)
@click.option(
    "--metric",
    "names",
    shell_complete=names_of("metric"),
    multiple=True,
    metavar="NAME",
    help="Only this metric; may be repeated [all that fit].",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of noise, probes and samples.")
@click.option("--provider", default="auto", show_default=True, help="auto, cpu, cuda, or another provider.")
@weights_option
@json_option
@pass_app
def command(
    app: App,
    /,
    model: str,
    data: str | None,
    options: tuple[str, ...],
    provider: str,
    names: tuple[str, ...],
    weights: Path | None,
    **settings: Any,
) -> None:
    """Measure a model on held-out data.

    Its bundle is measured by all metrics that apply: the negative log-likelihood of test samples, for a
    diffusion by its ODE, with the errors of steps and probes, and its variational bound; for labelled images,
    whether samples show their class, and their distance from real ones in the features of a classifier trained on
    real ones; for tables, the distance of the columns of samples from real ones; for texts, whether they look
    like real ones and are new; and any metrics of plugins (`zoo list --metrics`).

    The data set has the options that the model was trained with, which its recipe or its bundle states, or those
    given by -D. Another data set than the model's, or one whose options are not stated, has its defaults.

    \b
    zoo eval moons-nsf
    zoo eval mnist-unet --scored 32 --samples 200
    zoo eval mnist-unet --metric classifier
    zoo eval moons.bundle --data moons -D noise=0.1
    """
    from zoo.cli._opening import open_model
    from zoo.data import fitted
    from zoo.metrics.evaluation import Evaluation, chosen_metrics, measure_all

    metrics = chosen_metrics(app.registry, names)
    source = made_by_code(app, model, weights, {}) or resolve(app.registry, model)
    dataset, chosen = _dataset(app, source, data, key_values(options, "-D"))
    with ExitStack() as stack:
        bundle = open_model(app, source, provider, stack)
        dataset = fitted(dataset, bundle.event_shape, bundle.manifest.length)
        if dataset.event_shape != bundle.event_shape:
            raise UsageError(
                f"{source.name} has samples of shape {list(bundle.event_shape)}, and {dataset.name} has "
                f"{list(dataset.event_shape)}"
            )
        if bundle.manifest.sample is None:
            settings["samples"] = 0
        evaluation = Evaluation(model=bundle, data=dataset, **settings)
        usable = metrics if names else _usable(app, metrics)
        app.say(
            f"measuring {source.name} by {evaluation.count:,} of {len(dataset.test):,} test samples of {dataset.name} "
            f"and {evaluation.samples:,} of its own"
        )
        tables = measure_all(app.registry, usable, evaluation, one=partial(_measured, app))
    if app.json:
        told = {"model": source.name, "data": dataset.name, "options": chosen}
        app.emit({**told, "seed": evaluation.seed, "metrics": tables})
    elif tables:
        table(["metric", "value", "", "samples", ""], [_cells(name, metric) for name, metric in tables.items()])
    else:
        app.say(f"none of {', '.join(metric.name for metric in metrics)} fits {source.name} and its data")


def _dataset(app: App, source: Source, name: str | None, stated: Mapping[str, Any]) -> tuple[Dataset, dict[str, Any]]:
    """The data set of that name, or the model's training data, and its options.

    An option given by hand takes precedence over that of the model's training, if it is the model's own data set, and
    that over the default.

    Raises:
        UsageError: no name, and the model does not state its data.
    """
    from zoo.training.run import data_of_model, load_data, trained_on

    known = trained_on(source)
    if name is None and known is None:
        raise UsageError(f"{source.name} does not state its training data", hint="Name a data set with --data.")
    name = known.name if name is None and known is not None else str(name)
    trained = None if known is None else known.options_of(name)
    options = {**(trained or {}), **stated}
    if told := _told(source.name, name, options, stated, known):
        app.say(told)
    if known is not None and known.path and name == known.name:
        return data_of_model(known, options, app.registry, app.say), options
    return load_data(app.registry.dataset(name), options, app.registry), options


def _told(model: str, name: str, options: Mapping[str, Any], stated: Mapping[str, Any], known: TrainedOn | None) -> str:
    """Where the options of a data set come from, in one line; empty if they are the defaults, as in training."""
    listed = assignments(options)
    trained = None if known is None else known.options_of(name)
    if trained is not None:
        if not options:
            return ""
        by_hand = f"; {', '.join(stated)} as given, the rest" if stated else ","
        return f"{name} with {listed}{by_hand} as {model} was trained"
    taken = f"with {listed}, else its defaults" if options else "with its defaults"
    if known is None:
        return f"{name} {taken}: {model} does not state its training data"
    if name != known.name:
        return f"{name} {taken}: {model} was trained on {known.name}"
    return f"{name} {taken}: {model} does not state the options that it was trained with"


def _usable(app: App, metrics: list[Metric]) -> list[Metric]:
    """The usable metrics; the others are reported."""
    usable = []
    for metric in metrics:
        if lacks := app.registry.unavailable(metric):
            app.say(f"the metric {metric.name} is skipped: it {lacks}")
        else:
            usable.append(metric)
    return usable


def _measured(app: App, registry: Registry, metric: Metric, evaluation: Evaluation) -> Metrics:
    from zoo.metrics.evaluation import measure

    with app.progress(f"measuring {metric.name}", 1) as update:
        evaluation.progress = update
        return measure(registry, metric, evaluation)


def _cells(name: str, metric: dict[str, object]) -> list[str]:
    """A metric as a row: fields without a column are written in words, with ``of`` last."""
    error = f" ± {metric['standard_error']}" if "standard_error" in metric else ""
    columns = ("value", "standard_error", "unit", "samples")
    said = {key: value for key, value in metric.items() if key not in (*columns, "of")}
    words = [str(value) if key == "by" else f"{key.replace('_', ' ')} {value}" for key, value in said.items()]
    words += [str(metric["of"])] if "of" in metric else []
    cells = [name, f"{metric['value']}{error}", metric.get("unit", ""), metric.get("samples", ""), "; ".join(words)]
    return [str(cell) for cell in cells]
