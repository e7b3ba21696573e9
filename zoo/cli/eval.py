"""``zoo eval``: measures a model on held-out data."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._code import made_by_code, weights_option
from zoo.cli._complete import names_of
from zoo.cli._options import key_values
from zoo.cli._pulled import local
from zoo.cli._text import table
from zoo.errors import UsageError
from zoo.models.sources import Source, resolve

if TYPE_CHECKING:
    from zoo.data import Dataset
    from zoo.metrics.evaluation import Evaluation, Metrics
    from zoo.registry import Registry
    from zoo.registry.cards import Metric, ModelCard


@click.command("eval")
@click.argument("model", metavar="MODEL", shell_complete=names_of("model", files=True))
@click.option(
    "--data",
    shell_complete=names_of("data set"),
    metavar="PATH",
    help="File, folder or module:function to measure on, or a data set's name [what the model was trained on].",
)
@click.option("-D", "options", multiple=True, metavar="KEY=VALUE", help="Option of the data [as trained]. Repeatable.")
@click.option("--against", metavar="PATH", help="Other data, to be told from the test data by their density.")
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
@click.option(
    "-O",
    "own",
    multiple=True,
    metavar="KEY=VALUE",
    help="Option of the metrics that have it, e.g. projections=1000. Repeatable.",
)
@click.option(
    "--features",
    metavar="MODULE:FUNCTION",
    help="Code that makes features [n, k] of pictures or recordings to compare them in.",
)
@click.option(
    "--simulator",
    metavar="MODULE:FUNCTION",
    help="Code that makes observations [n, d] of samples of a posterior, to compare with what was observed.",
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of noise, probes and samples.")
@click.option(
    "--provider",
    help="auto, cpu, cuda, or another provider of bundles [auto; PyTorch without a bundle].",
)
@click.option(
    "--report",
    type=click.Path(path_type=Path),
    help="Page with metrics and pictures: .html, one file; or .md, with its pictures in a folder beside it.",
)
@click.option("--card", "into_card", is_flag=True, help="Put metrics and page into the card of a run, for zoo push.")
@click.option("--force", is_flag=True, help="Replace the page.")
@weights_option
@json_option
@pass_app
def command(
    app: App,
    /,
    model: str,
    data: str | None,
    options: tuple[str, ...],
    own: tuple[str, ...],
    against: str | None,
    provider: str | None,
    report: Path | None,
    into_card: bool,
    force: bool,
    names: tuple[str, ...],
    weights: Path | None,
    features: str | None,
    simulator: str | None,
    **settings: Any,
) -> None:
    """Measure a model on held-out data.

    All metrics that apply are measured: the negative log-likelihood of test samples, for a diffusion by its ODE, with
    the errors of steps and probes, and its variational bound; the distances of samples from real data, how well a
    classifier tells them, and how many are real and copied, each beside that of other real data; for pictures and
    recordings, distances in features (--features), and whether samples show their class; for tables, the distances of
    columns and pairs, and what can be learned from samples; for texts, whether they look like real ones and are new;
    for pictures drawn from others, how far they are from the held-out truth, beside what they were drawn from;
    for posteriors, whether they are calibrated, and what a --simulator makes of them; with --against, how well the
    density tells other data; and any metrics of plugins (`zoo list --metrics`).

    A file is read as the training data were: columns, categories, dates, classes and steps are those of the training,
    and what does not fit is refused. All of its rows are test data, or those of its test split if it names splits.

    A data set has the options that the model was trained with, which its recipe or its bundle states, or those
    given by -D. Another data set than the model's, or one whose options are not stated, has its defaults.

    An option of metrics, by -O, is given to each metric that has it, and stands in the table of what it measures. One
    that no metric has is refused, with what there is.

    A bundle is run by ONNX Runtime, and a model without one by PyTorch, unless --provider names what runs its bundle.

    With --card, the card.json of a run's folder gets the metrics, which bundles exported from then on state, and the
    folder gets the page report.md with its pictures, which `zoo push` makes part of the Hub's model card: with some of
    the test data.

    \b
    zoo eval moons-nsf
    zoo eval runs/people --data test.csv --against others.csv
    zoo eval runs/people --report people.html
    zoo eval runs/people --card
    zoo eval mnist-unet --scored 32 --samples 200
    zoo eval mnist-unet --metric classifier --metric features
    zoo eval wine-mlp --metric distance -O projections=1000
    zoo eval runs/sims --simulator my_simulator:observe
    zoo eval moons.bundle --data moons -D noise=0.1
    """
    from zoo.cli._measured import Measured, data_of_measurement, opened, read_as
    from zoo.data import fitted
    from zoo.metrics.evaluation import Evaluation, chosen_metrics, measure_all

    if report is not None:
        _check_report(report, force=force)
    metrics = chosen_metrics(app.registry, names)
    chosen = _options_of(app, metrics, names, key_values(own, own=settings))
    source = made_by_code(app, model, weights, {}) or resolve(app.registry, local(app, model))
    own_card = _card_to_write(source, data) if into_card else None
    measured: Measured = data_of_measurement(app, source, data, key_values(options, "-D"))
    other = None if against is None else read_as(app, source, against, {})
    with ExitStack() as stack:
        opened_model = opened(app, source, provider, stack)
        dataset = fitted(measured.data, opened_model.event_shape, opened_model.manifest.length)
        _check_shape(source, opened_model.event_shape, dataset)
        settings["samples"] = 0 if opened_model.manifest.sample is None else settings["samples"]
        evaluation = Evaluation(
            model=opened_model,
            data=dataset,
            own=measured.own,
            features=_code(app, features, "--features"),
            simulator=_code(app, simulator, "--simulator"),
            against=None if other is None else other.split,
            options=chosen,
            **settings,
        )
        usable = metrics if names else _usable(app, metrics)
        app.say(
            f"measuring {source.name} by {evaluation.count:,} of {len(dataset.test):,} test samples of {dataset.name} "
            f"and {evaluation.samples:,} of its own"
        )
        tables = measure_all(app.registry, usable, evaluation, one=partial(_measured, app))
        _tell_unused(app, chosen, tables)
        _write(app, report, own_card, evaluation, tables, source)
    if app.json:
        told = {"model": source.name, "data": dataset.name, "options": measured.options}
        app.emit({**told, "seed": evaluation.seed, "metrics": tables})
    elif tables:
        table(["metric", "value", "", "samples", ""], [_cells(name, metric) for name, metric in tables.items()])
    else:
        app.say(f"none of {', '.join(metric.name for metric in metrics)} fits {source.name} and its data")


def _check_shape(source: Source, event_shape: tuple[int, ...], data: Dataset) -> None:
    """Refuse data whose samples are of another shape than the model's.

    Raises:
        UsageError: with both shapes.
    """
    if data.event_shape != event_shape:
        raise UsageError(
            f"{source.name} has samples of shape {list(event_shape)}, and {data.name} has {list(data.event_shape)}"
        )


def _code(app: App, name: str | None, option: str) -> tuple[str, Any] | None:
    """The function of an option, with its name; naming it runs its module."""
    from zoo.reading import finding
    from zoo.reading.formats.function import imported

    if name is None:
        return None
    if not finding.is_function(name):
        raise UsageError(f"{option} takes MODULE:FUNCTION, not {name!r}")
    app.say(f"running the code of {name}")
    return name, imported(name)


_PAGES = (".html", ".htm", ".md")


def _check_report(path: Path, *, force: bool) -> None:
    from zoo.files import check_free
    from zoo.render.files import check_writable

    if path.suffix.lower() not in _PAGES:
        raise UsageError(f"{path}: the report is a page, .html or .md")
    check_writable(path, replace=force)
    if path.suffix.lower() == ".md":
        check_free(_pictures_of(path), replace=force)


def _pictures_of(page: Path) -> Path:
    """The folder of the pictures of a page in Markdown."""
    return page.with_name(f"{page.stem}-pictures")


def _card_to_write(source: Source, data: str | None) -> ModelCard:
    """The card of a run, which may be changed.

    Raises:
        UsageError: of another model, or measured on other data.
    """
    card = source.card
    if card is None or card.folder is None or card.bundle is not None or card.recipe is None:
        raise UsageError("--card writes into the folder of a run of `zoo train`, which this is not")
    if data is not None:
        raise UsageError("--card and --data exclude each other: a card tells of a model on its own data")
    return card


def _write(
    app: App,
    report: Path | None,
    card: ModelCard | None,
    evaluation: Evaluation,
    tables: Metrics,
    source: Source,
) -> None:
    """The page, and the card, that were asked for."""
    if report is not None:
        _write_report(app, report, evaluation, tables, source)
    if card is not None:
        _write_card(app, card, evaluation, tables, source)


def _write_report(app: App, path: Path, evaluation: Evaluation, tables: Metrics, source: Source) -> None:
    """The page of an evaluation, with the history of the training where the model's folder has it."""
    from zoo.files import atomic_folder, write_bytes, write_text
    from zoo.metrics.report import markdown, page
    from zoo.training.log import LOG_FILE, read

    card, data = source.card, evaluation.data
    history = [] if card is None or card.folder is None else read(card.folder / LOG_FILE)
    facts: dict[str, object] = {} if card is None else {"architecture": card.architecture}
    if card is not None and card.parameters:
        facts["parameters"] = f"{card.parameters:,}"
    facts |= {"data": f"{data.name}, {len(data.test):,} test samples", "seed": evaluation.seed}
    told: dict[str, Any] = {"name": source.name, "facts": facts, "history": history}
    if path.suffix.lower() != ".md":
        write_text(path, page(evaluation, tables, **told))
    else:
        folder = _pictures_of(path)
        text, pictures = markdown(evaluation, tables, pictures=quote(folder.name), **told)
        with atomic_folder(folder, replace=True) as temporary:
            for name, png in pictures.items():
                write_bytes(temporary / name, png)
        write_text(path, text)
    app.say(f"wrote {path}")


def _write_card(app: App, card: ModelCard, evaluation: Evaluation, tables: Metrics, source: Source) -> None:
    """Metrics into the card of a run, and its page beside it."""
    from zoo.files import write_text
    from zoo.hub.readme import REPORT
    from zoo.registry.cards import CARD_FILE

    assert card.folder is not None
    _write_report(app, card.folder / REPORT, evaluation, tables, source)
    write_text(card.folder / CARD_FILE, replace(card, metrics={**card.metrics, **tables}).to_json())
    app.say(f"wrote {card.folder / CARD_FILE}")


def _usable(app: App, metrics: list[Metric]) -> list[Metric]:
    """The usable metrics; the others are reported."""
    usable = []
    for metric in metrics:
        if lacks := app.registry.unavailable(metric):
            app.say(f"the metric {metric.name} is skipped: it {lacks}")
        else:
            usable.append(metric)
    return usable


def _options_of(
    app: App, metrics: list[Metric], names: tuple[str, ...], stated: Mapping[str, object]
) -> dict[str, dict[str, object]]:
    """The options of each metric: of those that are named, else of those that can be used here."""
    from zoo.metrics.options import shared_out

    usable = [metric for metric in metrics if names or not app.registry.unavailable(metric)]
    return shared_out(app.registry, usable, stated)


def _tell_unused(app: App, chosen: Mapping[str, Mapping[str, object]], tables: Metrics) -> None:
    """Say which options changed nothing, since the metrics that have them do not fit."""
    used = {name for table in tables.values() for name in dict(table.get("options", {}))}  # type: ignore[call-overload]
    for option in dict.fromkeys(name for options in chosen.values() for name in options):
        if option not in used:
            having = " and ".join(name for name, options in chosen.items() if option in options)
            app.say(f"-O {option} changes nothing here: {having} measured nothing")


def _measured(app: App, registry: Registry, metric: Metric, evaluation: Evaluation) -> Metrics:
    from zoo.metrics.evaluation import measure

    with app.progress(f"measuring {metric.name}", 1) as update:
        evaluation.progress = update
        return measure(registry, metric, evaluation)


def _cells(name: str, metric: dict[str, object]) -> list[str]:
    """A metric as a row: fields without a column are written in words, with ``of`` last."""
    from zoo.metrics.evaluation import in_words

    error = f" ± {metric['standard_error']}" if "standard_error" in metric else ""
    columns = ("value", "standard_error", "unit", "samples")
    said = {key: value for key, value in metric.items() if key not in (*columns, "of")}
    words = [str(v) if key == "by" else f"{key.replace('_', ' ')} {in_words(v)}" for key, v in said.items()]
    words += [str(metric["of"])] if "of" in metric else []
    cells = [name, f"{metric['value']}{error}", metric.get("unit", ""), metric.get("samples", ""), "; ".join(words)]
    return [str(cell) for cell in cells]
