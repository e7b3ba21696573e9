"""Pack a trained model folder into plugins/zoo_models: measure it, export it, and complete its card.

    zoo train recipes/mnist-unet.toml -o runs/mnist-unet
    python scripts/ship.py runs/mnist-unet

Needs the dev extra, and the data that the model was trained on. `python scripts/ship.py --table` rewrites the README's
table of models from the cards.
"""

from __future__ import annotations

import shutil
import tempfile
import time
from dataclasses import replace
from pathlib import Path
from typing import Any

import click

from zoo import bundle, runtime
from zoo.cards import CARD_FILE, ModelCard, WeightsFile
from zoo.data import Dataset
from zoo.export import export
from zoo.files import sha256, write_text
from zoo.metrics import evaluation
from zoo.metrics.tabular import tabular
from zoo.metrics.texts import textual
from zoo.registry import Registry
from zoo.training.recipe import Recipe
from zoo.training.run import load_data
from zoo_onnx.export import restate

ROOT = Path(__file__).parent.parent
SHELF = ROOT / "plugins" / "zoo_models"
README = ROOT / "README.md"


@click.command()
@click.argument("folder", type=click.Path(exists=True, file_okay=False, path_type=Path), required=False)
@click.option("--samples", default=1000, show_default=True, help="Samples that the judge looks at.")
@click.option("--scored", default=256, show_default=True, help="Test samples that a diffusion is scored on.")
@click.option("--table", is_flag=True, help="Rewrite the README's table of models.")
def main(folder: Path | None, samples: int, scored: int, table: bool) -> None:
    """Measure, export and shelve the model in FOLDER."""
    if folder is not None:
        ship(folder, samples=samples, scored=scored)
    if table or folder is not None:
        write_table()


def ship(folder: Path, *, samples: int, scored: int) -> None:
    registry = Registry.discover()
    card = ModelCard.from_folder(folder)
    assert card.recipe is not None
    recipe = Recipe.from_dict(card.recipe)
    data = load_data(registry.dataset(recipe.data.name), recipe.data.options, registry)
    with tempfile.TemporaryDirectory() as scratch:
        staged = Path(scratch) / card.name
        export(registry.load(card), staged / "bundle", card=card, registry=registry)
        metrics = {**card.metrics, **measure(runtime.load(staged / "bundle"), card, data, samples, scored)}
        card = replace(card, metrics=metrics)
        restate(staged / "bundle", card)
        weights = staged / "bundle" / bundle.WEIGHTS
        stored = WeightsFile(f"bundle/{bundle.WEIGHTS}", sha256(weights), weights.stat().st_size)
        write_text(staged / CARD_FILE, replace(card, bundle="bundle", weights=stored).to_json())
        shelf = SHELF / card.name
        shutil.rmtree(shelf, ignore_errors=True)
        shutil.copytree(staged, shelf)
    click.echo(f"shelved {shelf}: {metrics}")


def measure(model: Any, card: ModelCard, data: Dataset, samples: int, scored: int) -> dict[str, Any]:
    """What `zoo eval` measures, by the exported bundle; a flow's likelihood is that of its training run."""
    started = time.monotonic()
    metrics: dict[str, Any] = {}
    if card.family != "flow" and model.manifest.log_prob is not None:
        # what is exact and quick is scored whole
        few = scored if model.manifest.log_prob.estimates else None
        metrics |= evaluation.likelihood(model, data, scored=few)
        metrics |= evaluation.bound(model, data, scored=few)
    if card.family != "flow" or card.condition is not None:
        metrics |= evaluation.judged(model, data, samples=samples)
    metrics |= tabular(model, data, samples=samples) | textual(model, data, samples=samples)
    click.echo(f"measured in {time.monotonic() - started:.0f} s: {metrics}")
    return metrics


def write_table() -> None:
    """The README's table, between its markers."""
    start, end = "<!-- models: made by scripts/ship.py --table -->\n", "<!-- /models -->"
    text = README.read_text()
    before, rest = text.split(start)
    _, after = rest.split(end)
    lines = ["| model | what | parameters | on held-out data | weights |", "| --- | --- | --- | --- | --- |"]
    for path in sorted(SHELF.glob(f"*/{CARD_FILE}")):
        card = ModelCard.from_folder(path.parent)
        lines.append(
            f"| `{card.name}` | {card.summary} | {card.parameters:,} | {quoted(card)} | {card.license['weights']} |"
        )
    README.write_text(before + start + "\n".join(lines) + "\n" + end + after)


def quoted(card: ModelCard) -> str:
    """The metrics of a card that a table has room for."""
    given = " given the class" if card.condition is not None else ""
    shown = {
        "test_bits_per_dim": "{:.3f} bits/dim" + given,
        "test_gap": "{:.3f} nats above the entropy",
        "class_agreement": "{:.1%} of samples show their class",
    }
    if "pronounceable" in card.metrics:
        shown = {"pronounceable": "{:.1%} of samples look like names", "novel": "{:.1%} are new"}
    if not shown.keys() & card.metrics.keys():
        # data of unknown entropy
        shown["test_nll"] = "{:.3f} nats" + given
    return ", ".join(text.format(card.metrics[name]["value"]) for name, text in shown.items() if name in card.metrics)


if __name__ == "__main__":
    main()
