"""``zoo bench``: how fast a model samples here."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._complete import names_of
from zoo.cli._pulled import local
from zoo.cli._text import echo, table
from zoo.density import cannot_sample
from zoo.errors import UsageError, ZooError
from zoo.models.sources import Facts, Source, resolve

if TYPE_CHECKING:
    from zoo.benchmarking import Measured, Report, Spread
    from zoo.models.interface import GenerativeModel
    from zoo.runtime import BundledModel


@click.command("bench")
@click.argument("model", metavar="MODEL", shell_complete=names_of("model", files=True))
@click.option("--batch", default="1,16,256", show_default=True, metavar="N,...", help="Batch sizes.")
@click.option("--steps", type=click.IntRange(1), help="Steps of a diffusion's sampler [the model's own].")
@click.option("--sampler", shell_complete=names_of("sampler"), help="Sampler of a diffusion [the model's own].")
@click.option("--threads", metavar="N,...", help="CPU threads [1, and the number of cores].")
@click.option("--provider", default="cpu", show_default=True, help="cpu, auto, cuda, or another provider.")
@click.option(
    "--condition",
    multiple=True,
    metavar="FILE|NAME=VALUE",
    help="As for `zoo run` [the model's example, if it needs one].",
)
@click.option(
    "--seconds",
    type=float,
    default=20.0,
    show_default=True,
    help="Time for all measurements; the last one is finished.",
)
@click.option("--no-torch", is_flag=True, help="Do not compare with PyTorch.")
@json_option
@pass_app
def command(app: App, /, model: str, batch: str, threads: str | None, seconds: float, **parsed: Any) -> None:
    """Measure how fast a model samples.

    For each number of threads and each batch size: milliseconds per step (a row of a diffusion's step table, or a call
    of a model that samples in one), samples per second with all steps of the model, and the time that zoo itself spends
    per step outside the graph call. Where torch is installed and the model can be built, PyTorch takes turns with it in
    the same process. Figures are medians with quartiles; ratios are computed turn by turn. Waiting threads do not spin.

    \b
    zoo bench mnist-unet
    zoo bench moons-nsf --batch 1,1024 --threads 1 --no-torch
    zoo bench mnist.bundle --steps 20 --seconds 60 --json
    """
    from zoo.benchmarking import cores, measure

    batches = _numbers(batch, "--batch")
    counts = _numbers(threads, "--threads") if threads is not None else sorted({1, cores()})
    if not 0 < seconds < float("inf"):
        raise UsageError(f"--seconds is a number above 0, not {seconds:g}")
    source = resolve(app.registry, local(app, model))
    stating = source.manifest() or source.card
    assert stating is not None, "a source has a card or a bundle"
    if not Facts.stated(source.name, stating).samples:
        raise cannot_sample(source.name)
    with ExitStack() as stack:
        models = _Bundles(app, source, parsed["provider"], stack)
        first = models(counts[0])
        options = _options(app, first, Facts.stated(source.name, stating), parsed)
        torch_model, reason = (None, "--no-torch") if parsed["no_torch"] else _in_pytorch(app, source, first)
        with app.progress(f"measuring {source.name}", len(counts) * len(batches)) as progress:
            report = measure(
                models,
                torch_model,
                batches=batches,
                threads=counts,
                seconds=seconds,
                options=options,
                progress=progress,
            )
    if reason:
        report.left_out["PyTorch"] = reason
    _tell(app, first, report)


def _numbers(text: str, option: str) -> list[int]:
    """Different whole numbers of 1 or more, in the order given."""
    parts = [part.strip() for part in text.split(",")]
    if not all(part.isascii() and part.isdigit() and 0 < int(part) <= 1 << 20 for part in parts):
        raise UsageError(f"{option} takes whole numbers from 1 to {1 << 20} with commas between, not {text!r}")
    return list(dict.fromkeys(map(int, parts)))


class _Bundles:
    """The model in ONNX Runtime by the number of threads, opened once; one is kept at a time."""

    def __init__(self, app: App, source: Source, provider: str, stack: ExitStack) -> None:
        from zoo.cli._opening import open_model, warn_of_fallback
        from zoo.runtime.device import Device

        self._app, self._provider = app, provider
        self._open: dict[int, BundledModel] = {}
        self._opened = open_model(app, source, Device(provider), stack).bundle
        self._warn = warn_of_fallback

    def __call__(self, threads: int) -> BundledModel:
        from zoo.runtime import BundledModel

        if threads not in self._open:
            self._open.clear()
            samplers = self._app.registry.samplers()
            model = BundledModel(self._opened, self._provider, threads, samplers=samplers)
            self._warn(self._app, model.fallback)
            self._open[threads] = model
        return self._open[threads]


def _options(app: App, model: BundledModel, facts: Facts, parsed: dict[str, Any]) -> dict[str, Any]:
    """The options of a run, checked before anything is measured."""
    from zoo.cli._conditions import condition_from, unread_columns

    options = {name: parsed[name] for name in ("steps", "sampler") if parsed[name] is not None}
    model.table(**options)
    if parsed["condition"]:
        if model.condition is None:
            raise UsageError(f"{model.name} takes no condition")
        texts, columns = parsed["condition"], facts.condition_columns
        options["condition"] = condition_from(model.condition, texts, columns=columns)
        if told := unread_columns(model.condition, texts, columns):
            app.say(told)
    elif model.condition is not None and model.condition.required and model.example is not None:
        app.say("the condition is the example that comes with the model")
        options["condition"] = model.example
    return options


def _in_pytorch(app: App, source: Source, bundle: BundledModel) -> tuple[GenerativeModel | None, str]:
    """The model in PyTorch, or why it is not compared."""
    from zoo.models import building
    from zoo.registry.entries import importable

    if bundle.provider != "cpu":
        return None, f"it is compared on the CPU only, not with {bundle.provider}"
    if not importable("torch"):
        return None, "torch is not installed"
    try:
        return building.load(app.registry, source).eval(), ""
    except ZooError as error:
        return None, str(error)


def _tell(app: App, model: BundledModel, report: Report) -> None:
    from zoo.runtime.ort import onnxruntime

    if app.json:
        app.emit(
            {
                "model": model.name,
                "provider": model.provider,
                "onnxruntime": onnxruntime().__version__,
                "measured": [dataclasses.asdict(row) for row in report.measured],
                "left_out": report.left_out,
            }
        )
        return
    app.say(f"{model.name} on {model.provider}, ONNX Runtime {onnxruntime().__version__}: medians and quartiles")
    head = ["threads", "batch", "", "ms a step", "quartiles", "samples/s", "steps", "own µs a step", "times PyTorch"]
    table(head, [_cells(row) for row in report.measured])
    for what, why in report.left_out.items():
        app.say(f"{what} was not measured: {why}")
    if scaling := _scaling(report.measured):
        echo(scaling)


def _cells(row: Measured) -> list[str]:
    overhead = "" if row.overhead is None else f"{1e6 * row.overhead.median:.0f}"
    numbers = f"{1e3 * row.step.median:.3g}", _quartiles(row.step.scaled(1e3)), f"{row.samples_a_second:.3g}"
    times = "" if row.times_pytorch is None else f"{row.times_pytorch.median:.2f}"
    return [str(row.threads), str(row.batch), row.engine, *numbers, str(row.steps), overhead, times]


def _quartiles(spread: Spread) -> str:
    return f"{spread.low:.3g}-{spread.high:.3g}"


def _scaling(rows: Sequence[Measured]) -> str:
    """How much a larger batch and more threads gain, in one line."""
    from zoo.benchmarking import OURS

    ours = [row for row in rows if row.engine == OURS]
    if len(ours) < 2:
        return ""
    least, best = ours[0], max(ours, key=lambda row: row.samples_a_second)
    gained = best.samples_a_second / least.samples_a_second
    return (
        f"most samples a second: batch {best.batch} with {best.threads} threads, {gained:.3g} times those of batch "
        f"{least.batch} with {least.threads}"
    )
