"""Pack a trained model folder into plugins/zoo_models: measure it, export it, and complete its card.

    zoo train recipes/mnist-unet.toml -o runs/mnist-unet
    python scripts/ship.py runs/mnist-unet
    python scripts/ship.py runs/slcp-posterior --samples 10000    # as many as the benchmark compares; needs sbibm

A model with a condition gets an example of one, which its page begins with, and keeps it when it is shipped again::

    python scripts/ship.py runs/emoji-text --example prompt='smiling face with sunglasses' --example style=noto

A model that is shipped already is exported again, when exporting has changed, and keeps its metrics::

    python scripts/ship.py plugins/zoo_models/mnist-unet --again

Needs the dev extra, and the data that the model was trained on. Writes docs/models.md too (scripts/model_page.py).
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click
import model_page

from zoo import bundle, runtime
from zoo.cli.export import example_from
from zoo.data import Dataset
from zoo.exporting import export
from zoo.files import sha256, write_text
from zoo.metrics.evaluation import Evaluation, measure_all
from zoo.modality import Table
from zoo.models import building
from zoo.models.sources import resolve
from zoo.registry import Registry
from zoo.registry.cards import CARD_FILE, ModelCard, WeightsFile
from zoo.training.data import load_data
from zoo.training.recipe import Recipe
from zoo_onnx.export import update_card

ROOT = Path(__file__).parent.parent
SHELF = ROOT / "plugins" / "zoo_models"
#: metrics of single data sets
OF_DATA = ("reference-posterior", "maze")


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path))
@click.option("--samples", default=1000, show_default=True, help="Samples that the classifier looks at.")
@click.option("--scored", default=256, show_default=True, help="Test samples that a diffusion is scored on.")
@click.option("--example", multiple=True, metavar="NAME=VALUE", help="As for `zoo export` [the one that it has].")
@click.option("--again", is_flag=True, help="Keep the metrics on the card: the model is the same, its graphs are not.")
def main(folder: Path, samples: int, scored: int, again: bool, example: tuple[str, ...]) -> None:
    """Measure, export and shelve the model in FOLDER."""
    ship(folder, samples=samples, scored=scored, again=again, example=example)
    model_page.write()


def ship(folder: Path, *, samples: int, scored: int, again: bool = False, example: tuple[str, ...] = ()) -> None:
    registry = Registry.discover()
    card = ModelCard.from_folder(folder)
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(scratch) / card.name
        stated = example_from(resolve(registry, folder), example)
        export(building.load(registry, card), staged / "bundle", card=card, registry=registry, example=stated)
        if not again:
            data = recipe_data(card, registry)
            card = replace(
                card, metrics={**card.metrics, **measure(registry, staged / "bundle", card, data, samples, scored)}
            )
        update_card(staged / "bundle", card)
        weights = staged / "bundle" / bundle.WEIGHTS
        stored = WeightsFile(f"bundle/{bundle.WEIGHTS}", sha256(weights), weights.stat().st_size)
        write_text(staged / CARD_FILE, replace(card, bundle="bundle", weights=stored).to_json())
        shelf = SHELF / card.name
        shutil.rmtree(shelf, ignore_errors=True)
        shutil.copytree(staged, shelf)
    click.echo(f"shelved {shelf}: {dict(card.metrics)}")


def recipe_data(card: ModelCard, registry: Registry) -> Dataset:
    """What a model was trained on."""
    assert card.recipe is not None
    recipe = Recipe.from_dict(card.recipe)
    return load_data(registry.dataset(recipe.data.name), recipe.data.options, registry)


def usable(registry: Registry, metric: str) -> bool:
    """Whether a metric can be measured here; what it lacks is said otherwise."""
    lacks = registry.unavailable(registry.metric(metric))
    if lacks:
        click.echo(f"without {metric}: it {lacks}")
    return not lacks


def measure(
    registry: Registry, folder: Path, card: ModelCard, data: Dataset, samples: int, scored: int
) -> dict[str, Any]:
    """What `zoo eval` measures, by the exported bundle; a flow's likelihood is that of its training run."""
    started = time.monotonic()
    evaluation = Evaluation(model=runtime.load(folder), data=data, samples=samples)
    # what is exact and quick is scored whole
    evaluation.scored = scored if evaluation.integrates else None
    of_data = [each for each in OF_DATA if usable(registry, each)]
    names = ["table", "efficacy", "categories", "text", "reconstruction", "calibration", *of_data]
    if isinstance(data.modality, Table):
        names.append("copying")
    if card.family != "flow" or card.condition is not None:
        names = ["classifier", *names]
    if card.family != "flow":
        names = ["likelihood", "variational-bound", *names]
    metrics = measure_all(registry, [registry.metric(name) for name in names], evaluation)
    click.echo(f"measured in {time.monotonic() - started:.0f} s: {metrics}")
    return metrics


if __name__ == "__main__":
    main()
