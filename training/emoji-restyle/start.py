"""What emoji-restyle begins with: emoji-text as it draws without words, with channels for a picture beside its own.

    python training/emoji-restyle/start.py    # writes runs/emoji-restyle-start

The weights for the given picture are zero (Brooks et al. 2023, InstructPix2Pix, arXiv:2211.09800, section 3.2.1), so
that the first step of the training draws what emoji-text does. What that makes of no words and of the style of Twemoji
is a constant, which goes into the embedding of the time.
"""

from __future__ import annotations

from pathlib import Path

import click
import numpy as np
import torch

from zoo import weights
from zoo.files import write_text
from zoo.models import building
from zoo.registry import Registry
from zoo.registry.cards import CARD_FILE, ModelCard, WeightsFile
from zoo.training.recipe import Recipe

ROOT = Path(__file__).parents[2]
_FILE = "weights.safetensors"
_TWEMOJI = 1


@click.command()
@click.option("-o", "--output", type=click.Path(path_type=Path), default=Path("runs/emoji-restyle-start"))
def main(output: Path) -> None:
    """Write the model folder that the recipe starts from."""
    registry = Registry.discover()
    recipe = Recipe.from_file(ROOT / "recipes" / "emoji-restyle.toml")
    text = building.load(registry, "emoji-text").eval()
    model = building.build(registry, recipe.model.architecture, recipe.model.config)
    known, arrays = weights.state_arrays(text), weights.state_arrays(model)
    for name in arrays.keys() & known.keys():
        array = arrays[name]
        # channels of the given picture come behind those of the state
        arrays[name] = np.zeros_like(array)
        arrays[name][tuple(slice(size) for size in known[name].shape)] = known[name]
    arrays["network.time.2.bias"] = known["network.time.2.bias"] + constant(text)
    weights.load_into(model, arrays, source="emoji-text")
    output.mkdir(parents=True, exist_ok=True)
    digest = weights.write(output / _FILE, arrays)
    card = ModelCard(
        name="emoji-restyle-start",
        summary="emoji-text without its words, with channels for a picture",
        family="diffusion",
        architecture=recipe.model.architecture,
        config=recipe.model.config,
        event_shape=model.event_shape,
        condition=model.condition,
        parameters=sum(p.numel() for p in model.parameters()),
        weights=WeightsFile(_FILE, digest, (output / _FILE).stat().st_size),
        license={"code": "Apache-2.0", "weights": recipe.license},
    )
    write_text(output / CARD_FILE, card.to_json())
    click.echo(f"{output}: {card.parameters:,} parameters")


@torch.no_grad()
def constant(text: building.GenerativeModel) -> np.ndarray[tuple[int, ...], np.dtype[np.float32]]:
    """What no words and the style of Twemoji add to the embedding of the time."""
    assert text.condition is not None
    parts = {**text.condition.nulls(), "style": np.array([_TWEMOJI], np.int32)}
    told = text.network.embedded(text.encoded_parts(parts)["embedding"])
    return np.asarray(told[0].numpy(), np.float32)


if __name__ == "__main__":
    main()
