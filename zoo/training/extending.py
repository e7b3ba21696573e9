"""A finished run goes on: its recipe with more steps, and the checkpoint to go on from."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from zoo import weights
from zoo.errors import ConfigError, WeightsError
from zoo.registry.cards import CARD_FILE, ModelCard
from zoo.training import kept
from zoo.training.recipe import Recipe


def extended(folder: Path, steps: int, say: Callable[[str], None]) -> Recipe:
    """Prepare a folder for more steps, and return the recipe of the longer run.

    The same call after an interruption goes on with the run as it was extended, and does not extend it again.

    Args:
        folder: of a finished run.
        steps: to go on for.
        say: is told how the result differs from that of a run that was as long from the beginning, if it does.

    Raises:
        ConfigError: the folder holds no finished run, or not the state of its optimizer.
        WeightsError: that state is damaged.
    """
    if not (folder / CARD_FILE).is_file():
        raise ConfigError(f"{folder} holds no finished run", hint="Run the command that began it, which resumes it.")
    card = ModelCard.from_folder(folder)
    if card.recipe is None:
        raise ConfigError(f"{folder} holds a model without a recipe, which cannot be trained on")
    before = Recipe.from_dict(card.recipe, source=f"the recipe of {card.name}")
    recipe = replace(before, training=replace(before.training, steps=before.training.steps + steps))
    checkpoint, state = kept.checkpoint_in(folder, shard=recipe.training.shard), kept.state_in(folder)
    for what in differences(before):
        say(f"the result differs from that of a run of {recipe.training.steps:,} steps from the beginning: {what}")
    if checkpoint.exists():
        if _recipe_of(checkpoint) != recipe:
            raise ConfigError(
                f"{checkpoint} is of a run that has not finished",
                hint=f"Finish it first: zoo train {folder} -o {folder}.",
            )
        return recipe
    if not state.exists():
        raise ConfigError(
            f"{folder} does not hold the optimizer's state ({state.name}), from which a run goes on",
            hint=f"Fine-tune the model instead: zoo train RECIPE --from {folder}.",
        )
    done = kept.step_of(state)
    if done < before.training.steps:
        raise ConfigError(
            f"the run in {folder} stopped early, at step {done:,}, and would stop again",
            hint=f"Fine-tune the model instead: zoo train RECIPE --from {folder}.",
        )
    kept.begin_again(state, checkpoint, {"recipe": weights.encode_json(recipe.describe())})
    return recipe


def differences(recipe: Recipe) -> list[str]:
    """Why a run of this recipe that goes on is not the same as a longer one, a sentence each; none if it is."""
    training, reasons = recipe.training, []
    if training.schedule == "cosine":
        reasons.append("the learning rate of a cosine schedule depends on the number of steps, and had fallen to 0")
    if training.keep == "best" and training.steps % training.evaluate_every:
        reasons.append("it was evaluated at its last step too, and its best weights may be those")
    if training.ema_length and training.steps % training.ema_snapshots:
        reasons.append("averages were stored at its last step too, and what is kept is made of all that was stored")
    if recipe.distillation is not None:
        reasons.append("what a student learns may depend on the share of the steps that is done")
    return reasons


def _recipe_of(checkpoint: Path) -> Recipe:
    try:
        return Recipe.from_dict(json.loads(kept.metadata(checkpoint)["recipe"]), source=str(checkpoint))
    except (KeyError, ValueError) as error:
        raise WeightsError(f"{checkpoint} is not a checkpoint of a training run") from error
