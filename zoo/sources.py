"""What MODEL stands for: the name of a registered model, a model folder, or a bundle."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from zoo.bundle import MANIFEST, Manifest, is_bundle, read_manifest
from zoo.cards import CARD_FILE, ModelCard
from zoo.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from zoo.registry import Registry


@dataclass(frozen=True)
class Source:
    """Where a model comes from.

    Attributes:
        name: the model's.
        card: its card; None when there is only a bundle.
        bundle: the bundle that it carries or is, if there is one.
    """

    name: str
    card: ModelCard | None
    bundle: Path | None

    def manifest(self) -> Manifest | None:
        """The bundle's manifest, if there is a bundle; its other files are not looked at."""
        return None if self.bundle is None else read_manifest(self.bundle)


def resolve(registry: Registry, model: str) -> Source:
    """See :meth:`zoo.registry.Registry.resolve`. A registered name goes before a folder of that name; ``./name`` is
    always the folder.
    """
    path = Path(model)
    looks_like_path = os.sep in model or "/" in model or model.startswith((".", "~"))
    if not looks_like_path:
        try:
            return _of_card(registry.model(model))
        except UnknownNameError:
            if not path.exists():
                raise
    path = path.expanduser()
    if path.name in (CARD_FILE, MANIFEST) and path.is_file():
        path = path.parent
    if (path / CARD_FILE).is_file():
        return _of_card(ModelCard.from_folder(path))
    if is_bundle(path):
        return Source(str(read_manifest(path).model.get("name") or path.name), None, path)
    if not path.exists():
        raise UsageError(f"there is no model at {path}", hint="`zoo list` shows the models that are installed.")
    kind = "folder" if path.is_dir() else "file"
    raise UsageError(
        f"{path} is a {kind}, but no model",
        hint=f"A model's folder holds {CARD_FILE}; a bundle, which `zoo export` writes, holds {MANIFEST}.",
    )


def _of_card(card: ModelCard) -> Source:
    bundle = card.bundle_path
    return Source(card.name, card, bundle if bundle is not None and is_bundle(bundle) else None)
