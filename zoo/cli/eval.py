"""``zoo eval``: a model measured on held-out data."""

from __future__ import annotations

from contextlib import ExitStack
from typing import Any

import click

from zoo.cli._app import App, json_option, pass_app
from zoo.cli._text import table
from zoo.errors import UsageError


@click.command("eval")
@click.argument("model", metavar="MODEL")
@click.option("--data", metavar="NAME", help="Data set [the one that the model was trained on].")
@click.option("--scored", type=click.IntRange(1), help="Test samples that are scored [flows all, diffusions 64].")
@click.option("--steps", type=click.IntRange(1), help="Steps of a diffusion's ODE; twice as many are taken as well.")
@click.option("--probes", type=click.IntRange(0), help="Probes of its trace; 0 is exact.")
@click.option("--chain", type=click.IntRange(1), default=1000, show_default=True, help="Steps of its bound's chain.")
@click.option("--terms", type=click.IntRange(1), default=50, show_default=True, help="Of them, how many are evaluated.")
@click.option(
    "--samples", type=click.IntRange(0), default=1000, show_default=True, help="Samples to judge; 0 for none."
)
@click.option("--seed", type=click.IntRange(0), default=0, show_default=True, help="Of noise, probes and samples.")
@click.option("--provider", default="auto", show_default=True, help="auto, cpu, cuda, or another of this machine's.")
@json_option
@pass_app
def command(
    app: App, /, model: str, data: str | None, scored: int | None, samples: int, seed: int, **given: Any
) -> None:
    """Measure a model on held-out data.

    Its bundle is what is measured: the negative log-likelihood of test samples, for a diffusion by its ODE, with the
    errors of steps and probes, and its variational bound; of labelled images, whether samples show their class, and how
    far they are from real ones in the features of a classifier that is trained on real ones first; of tables, how far
    the columns of samples are from real ones; of texts, whether they look like real ones and are new.

    \b
    zoo eval moons-nsf
    zoo eval mnist-unet --scored 32 --samples 200
    """
    from zoo.cli._opening import bundle_folder
    from zoo.metrics import evaluation
    from zoo.metrics.tabular import tabular
    from zoo.metrics.texts import textual
    from zoo.runtime import load
    from zoo.training.recipe import Recipe
    from zoo.training.run import load_data

    source = app.registry.resolve(model)
    recipe = None if source.card is None or source.card.recipe is None else Recipe.from_dict(source.card.recipe)
    if data is None and recipe is None:
        raise UsageError(f"{source.name} does not say what data it was trained on", hint="Name a data set by --data.")
    name = recipe.data.name if data is None and recipe is not None else str(data)
    options = recipe.data.options if recipe is not None and name == recipe.data.name else {}
    dataset = load_data(app.registry.dataset(name), options, app.registry)
    with ExitStack() as stack:
        bundle = load(bundle_folder(app, source, stack), given["provider"], samplers=app.registry.samplers())
        if dataset.event_shape != bundle.event_shape:
            raise UsageError(
                f"{source.name} is of samples {list(bundle.event_shape)}, and {name} has {list(dataset.event_shape)}"
            )
        diffusion = bundle.manifest.log_prob is not None and bundle.manifest.log_prob.estimates
        scored = 64 if scored is None and diffusion else scored
        metrics: dict[str, Any] = {}
        if bundle.manifest.log_prob is not None:
            ode = {key: given[key] for key in ("steps", "probes") if given[key] is not None}
            app.say(f"scoring {'the first ' + str(scored) if scored else 'all'} test samples of {name}")
            with app.progress(f"scoring with {source.name}", 1) as update:
                metrics |= evaluation.likelihood(bundle, dataset, scored=scored, seed=seed, progress=update, **ode)
            chain = {"steps": given["chain"], "terms": min(given["terms"], given["chain"])}
            with app.progress("bounding", 1) as update:
                metrics |= evaluation.bound(bundle, dataset, scored=scored, seed=seed, progress=update, **chain)
        if samples:
            with app.progress("judging", 1) as update:
                metrics |= evaluation.judged(bundle, dataset, samples=samples, seed=seed + 1, progress=update)
                metrics |= textual(bundle, dataset, samples=samples, seed=seed + 1, progress=update)
                metrics |= tabular(bundle, dataset, samples=samples, seed=seed + 1, progress=update)
    if app.json:
        app.emit({"model": source.name, "data": name, "seed": seed, "metrics": metrics})
    else:
        table(["metric", "value", "", "samples", ""], [_cells(key, metric) for key, metric in metrics.items()])


def _cells(name: str, metric: dict[str, Any]) -> list[str]:
    error = f" ± {metric['standard_error']}" if "standard_error" in metric else ""
    said = [
        str(metric[key]) if key in ("by", "of") else f"{key.replace('_', ' ')} {metric[key]}"
        for key in ("by", "numerical_error", "probes_standard_error", "of_training_data", "judge_test_accuracy", "of")
        if key in metric
    ]
    return [name, f"{metric['value']}{error}", metric.get("unit", ""), str(metric.get("samples", "")), "; ".join(said)]
