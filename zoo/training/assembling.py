"""Recipes from the command line or Python: from an architecture and data, with keys set one by one."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.errors import UsageError
from zoo.reading.finding import is_function
from zoo.registry import Registry
from zoo.training.recipe import DataRecipe, ModelRecipe, Recipe


def of_architecture(architecture: str, data: str, options: Mapping[str, object], registry: Registry) -> Recipe:
    """The recipe of an architecture on data, with the default settings; it is named after the data.

    Args:
        architecture: its name.
        data: the path of a file or folder, ``module:function``, or the name of a data set.
        options: of the data.
        registry: where names are looked up.
    """
    described = data_named(data, options)
    stem = described.path.rpartition(":")[2] if is_function(described.path) else Path(described.path or data).stem
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "data"
    recipe = Recipe(name=name, model=ModelRecipe(registry.architecture(architecture).name), data=described)
    if described.path:
        return recipe
    from zoo.training.run import completed, data_of

    _, loaded, _ = data_of(described, registry)
    return completed(recipe, loaded, registry, lambda text: None)


def with_data(recipe: Recipe, data: str, options: Mapping[str, object]) -> Recipe:
    """A recipe on other data; its config stays as it is."""
    return replace(recipe, data=data_named(data, options))


def data_named(data: str, options: Mapping[str, object]) -> DataRecipe:
    """What ``--data`` names: a path, code, or else the name of a data set."""
    at_path = Path(data).exists() or is_function(data) or "/" in data or Path(data).suffix != ""
    return DataRecipe(path=data, options=dict(options)) if at_path else DataRecipe(data, dict(options))


def changed(recipe: Recipe, changes: Sequence[str]) -> Recipe:
    """A recipe with keys set, as in ``training.steps=2000``; values are JSON where they can be, else text.

    Raises:
        UsageError: not KEY=VALUE, or a key below one that is not a table.
        ConfigError: a key that a recipe does not have, or an invalid value.
    """
    values: dict[str, Any] = copy.deepcopy(recipe.describe())
    for change in changes:
        key, equals, text = change.partition("=")
        if not equals or not key:
            raise UsageError(f"--set takes KEY=VALUE, not {change!r}", hint="For example --set training.steps=2000.")
        *way, last = key.split(".")
        table = values
        for name in way:
            table = table.setdefault(name, {})
            if not isinstance(table, dict):
                raise UsageError(f"--set {change}: {name} is not a table")
        try:
            table[last] = json.loads(text)
        except ValueError:
            table[last] = text
    return Recipe.from_dict(values, source="the recipe with --set")
