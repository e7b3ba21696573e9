"""The pretrained models that come with genzoo, each a folder with its card, recipe and exported bundle."""

from __future__ import annotations

from pathlib import Path

from zoo.registry.cards import CARD_FILE, ModelCard
from zoo.registry.hookspecs import hookimpl


@hookimpl
def zoo_models() -> list[ModelCard]:
    """Every folder here that has a card."""
    folders = sorted(path.parent for path in Path(__file__).parent.glob(f"*/{CARD_FILE}"))
    return [ModelCard.from_folder(folder) for folder in folders]
