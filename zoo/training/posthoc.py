"""A model of a finished run's averages: of a length that is chosen after the training."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from zoo import weights
from zoo.errors import ConfigError, OutputError
from zoo.registry.cards import CARD_FILE, ModelCard
from zoo.training import kept
from zoo.training.averages import FOLDER, reconstructed
from zoo.training.recipe import Recipe
from zoo.training.run import WEIGHTS_FILE, complete, initial_model, load_all

if TYPE_CHECKING:
    from zoo.registry import Registry


def averaged(
    run: Path,
    length: float,
    output: Path,
    registry: Registry,
    *,
    device: str = "cpu",
    say: Callable[[str], None] = lambda text: None,
) -> ModelCard:
    """Write the model folder that the run would have written with ``training.ema_length``, without training again.

    Args:
        run: folder of a finished run with ``training.ema_snapshots``.
        length: of the average, relative to the run.
        output: folder to write.
        registry: where architectures and data sets are looked up.
        device: torch device that measures.
        say: receives progress messages, one line each.

    Raises:
        ConfigError: no finished run, no snapshots, or a length out of range.
        OutputError: the folder holds a model.
        WeightsError: a snapshot is damaged, or of another model.
    """
    if not (run / CARD_FILE).is_file() or kept.checkpoint_in(run).exists():
        raise ConfigError(f"{run} holds no finished run", hint="Run the command that began it, which resumes it.")
    if (output / CARD_FILE).exists():
        raise OutputError(f"{output} contains a finished model", hint="Choose another folder with -o.")
    card = ModelCard.from_folder(run)
    if card.recipe is None:
        raise ConfigError(f"{run} holds a model without a recipe")
    recipe = Recipe.from_dict(card.recipe, source=f"the recipe of {card.name}")
    last = recipe.training.steps
    if (state := kept.state_in(run)).exists():
        last = kept.step_of(state)
    arrays = weights.read(run / WEIGHTS_FILE) | reconstructed(run / FOLDER, length, last)
    recipe = replace(recipe, training=replace(recipe.training, ema_length=length, keep="last"))
    recipe, _, data = load_all(recipe, registry, say)
    model = initial_model(recipe, registry, device=device, say=lambda text: None)
    card = replace(card, name=output.name, recipe=recipe.describe(), metrics={})
    return complete(output, card, arrays, model, data, recipe, say=say)
