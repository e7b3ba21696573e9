"""Recipes from the command line or Python: from an architecture and data, with keys set one by one."""

from __future__ import annotations

import copy
import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from zoo.errors import ConfigError, UsageError
from zoo.models.sources import resolve
from zoo.reading.finding import is_function
from zoo.reading.options import Options
from zoo.registry import Registry
from zoo.training.recipe import DataRecipe, ModelRecipe, Recipe


def of_architecture(
    architecture: str, data: str, options: Mapping[str, object], registry: Registry, *, complete: bool = True
) -> Recipe:
    """The recipe of an architecture on data, with the default settings; it is named after the data.

    Args:
        architecture: its name.
        data: the path of a file or folder, ``module:function``, or the name of a data set.
        options: of the data.
        registry: where names are looked up.
        complete: whether its config is that which a registered data set determines; that of a file is completed when
            the file is read.
    """
    described = data_named(data, options)
    complete = complete and not described.path
    stem = described.path.rpartition(":")[2] if is_function(described.path) else Path(described.path or data).stem
    name = re.sub(r"[^a-z0-9]+", "-", stem.lower()).strip("-") or "data"
    recipe = Recipe(name=name, model=ModelRecipe(registry.architecture(architecture).name), data=described)
    if not complete:
        return recipe
    from zoo.training.data import data_of
    from zoo.training.run import completed

    _, loaded, _ = data_of(described, registry)
    return completed(recipe, loaded, registry, lambda text: None)


def started_from(recipe: Recipe, model: str, registry: Registry) -> Recipe:
    """A recipe whose model starts with the weights of another, with the config that they belong to.

    Args:
        recipe: with a config that states nothing else.
        model: the name or the folder of the other model.
        registry: where names are looked up.

    Raises:
        ConfigError: a model of another architecture, or a config that differs from its own.
        UsageError: a model that does not state architecture and config.
    """
    source = resolve(registry, model)
    card = source.card
    if card is None or not card.architecture:
        raise UsageError(f"{model} does not state its architecture and config", hint="Start from a model's folder.")
    if card.architecture != recipe.model.architecture:
        raise ConfigError(f"{model} is of the architecture {card.architecture}, not {recipe.model.architecture}")
    own = json.loads(json.dumps(dict(card.config)))
    stated = json.loads(json.dumps(recipe.model.config))
    for name, value in stated.items():
        if name not in own or own[name] != value:
            raise ConfigError(
                f"model.config.{name} is {json.dumps(value)}, and that of {model}, whose weights the model starts "
                f"with, is {json.dumps(own.get(name))}",
                hint="Leave it out.",
            )
    shared, data = set(Options.__dataclass_fields__), recipe.data
    known = card.data.get("options")
    options = {n: v for n, v in known.items() if n in shared} if isinstance(known, Mapping) and data.path else {}
    return replace(
        recipe,
        model=replace(recipe.model, config=own, weights=model),
        data=replace(data, options={**options, **data.options}),
    )


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
