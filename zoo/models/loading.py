"""``zoo.load``: loads models using this process's registry."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from zoo.models import building
from zoo.registry import installed

if TYPE_CHECKING:
    from zoo.models.interface import GenerativeModel


def load(model: str | Path, /, **importing: object) -> GenerativeModel:
    """A PyTorch model with its weights, by its name or by the path of its folder or bundle, or of another project's.

    ``importing`` are options of the importer that reads the latter.

    >>> import zoo
    >>> model = zoo.load("moons-nsf")                   # doctest: +SKIP
    >>> model.sample(16, seed=0).shape                  # doctest: +SKIP
    torch.Size([16, 2])

    Raises:
        UnknownNameError: no such model.
        MissingDependencyError: torch or another requirement is not installed.
        ConfigError, WeightsError, BundleError: its files do not fit together.
    """
    return building.load(installed(), model, **importing)
