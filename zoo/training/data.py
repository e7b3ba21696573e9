"""The data of a recipe, and those that a model says it was trained on."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from zoo.data import Dataset
from zoo.errors import ConfigError, DataError, PluginError, UsageError, ZooError
from zoo.models.sources import Facts, Source, resolve
from zoo.printable import assignments
from zoo.reading import finding, matching
from zoo.reading.matching import Wanted
from zoo.registry.cards import DataSource, ModelCard
from zoo.registry.discovery import last_line
from zoo.training.recipe import DataRecipe, Recipe

if TYPE_CHECKING:
    from zoo.registry import Registry

#: the path of data that are no file, but were handed over in Python
MEMORY = "(at hand) "


def load_data(source: DataSource, options: Mapping[str, object], registry: Registry) -> Dataset:
    """Load a data set with its options.

    Raises:
        DataError: the data are unavailable.
        ConfigError: an unknown option.
        PluginError: the data set fails, such as on an option of another type.
    """
    load: Callable[..., Dataset] = registry.load_entry(source)
    of = f"the data set {source.name}{_origin(source, registry)}"
    try:
        inspect.signature(load).bind(**options)
    except TypeError as error:
        raise ConfigError(f"data set {source.name}: {error}") from error
    try:
        data = load(**options)
    except ZooError:
        raise
    except Exception as error:
        with_options = f" with {assignments(options)}" if options else ""
        raise PluginError(f"{of} cannot be loaded{with_options}: {last_line(error)}") from error
    if not isinstance(data, Dataset):
        raise PluginError(f"{of} gives {type(data).__name__}, not a zoo.Dataset")
    return data


def _origin(source: DataSource, registry: Registry) -> str:
    """The plugin that brings a data set, as in ``" of the plugin faces (zoo-faces 1.0)"``; empty for a built-in one."""
    for item in registry.items("data set"):
        if item.description is source and not item.plugin.builtin:
            return f" of the plugin {item.plugin.name} ({item.plugin.origin})"
    return ""


def data_of(
    recipe: DataRecipe,
    registry: Registry,
    say: Callable[[str], None] = lambda text: None,
    *,
    wanted: Wanted | None = None,
) -> tuple[DataSource, Dataset, DataRecipe]:
    """The data of a recipe: a registered data set, or what is at a path.

    Args:
        recipe: names them.
        registry: where data sets and readers are looked up.
        say: receives what a user should know of how a path was read, one line each.
        wanted: what a model says of its data, as which a path is read; None takes what the path itself suggests.

    Returns:
        the description, the data, and the recipe with the digest of what is at the path.

    Raises:
        DataError: the data are unavailable, or have changed since the recipe was written.
        ConfigError, PluginError: as of :func:`load_data`.
    """
    if not recipe.path:
        source = registry.dataset(recipe.name)
        return source, load_data(source, recipe.options, registry), recipe
    if recipe.path.startswith(MEMORY):
        raise DataError("the data of this recipe were handed over in Python, and are no file", hint="Name a file.")
    if finding.is_function(recipe.path):
        say(f"running the code of {recipe.path}")
    if wanted is None:
        built = finding.opened(recipe.path, recipe.options, registry).built()
    else:
        built = matching.training_data(recipe.path, wanted, recipe.options, registry)
    digest = finding.digest(recipe.path)
    if recipe.sha256 and recipe.sha256 != digest:
        raise DataError(
            f"{recipe.path} has changed since the recipe was written: its sha256 is {digest[:12]}..., not "
            f"{recipe.sha256[:12]}...",
            hint="Remove sha256 from the recipe to train on it as it is.",
        )
    for note in built.notes:
        say(note)
    described = DataSource(name=recipe.name, entry="zoo.reading.finding:opened", source=recipe.path)
    return described, built.data, replace(recipe, sha256=digest)


@dataclass(frozen=True)
class TrainedOn:
    """The data that a model says it was trained on.

    Attributes:
        name: the data set, as registered, or what the data of a path are called.
        options: its options; None if the model does not state them, as bundles did not before they stored them.
        path: of a file or folder, or ``module:function``; empty for a registered data set.
        sha256: digest of what was at the path; empty if it is not known.
        wanted: what the model says of its data, where these were read as another model's; else None.
    """

    name: str
    options: Mapping[str, object] | None
    path: str = ""
    sha256: str = ""
    wanted: Wanted | None = None

    def options_of(self, name: str) -> Mapping[str, object] | None:
        """The options of the data set ``name``, or None if they are not known."""
        return self.options if name == self.name else None


def wanted_of(card: ModelCard) -> Wanted:
    """What a model says of its data by its card."""
    facts, levels = Facts.stated(card.name, card), card.data.get("levels")
    return Wanted.stated(
        card.name,
        card.data,
        event_shape=facts.event_shape,
        levels=levels if isinstance(levels, int) else None,
        modality=facts.modality,
        condition=facts.condition,
    )


def beginning(recipe: Recipe, registry: Registry) -> Wanted | None:
    """What the model that a recipe starts from says of its data; None for one that starts afresh."""
    card = resolve(registry, recipe.model.weights).card if recipe.model.weights else None
    return None if card is None else wanted_of(card)


def trained_on(source: Source | ModelCard) -> TrainedOn | None:
    """The data that a model was trained on, by its recipe, else by the ``data`` of its card or manifest; or None.

    Raises:
        ConfigError: a recipe that cannot be read, or options that are not a table.
    """
    card = source if isinstance(source, ModelCard) else source.card
    if card is not None and card.recipe is not None:
        recipe = Recipe.from_dict(card.recipe, source=f"the recipe of {card.name}")
        data, wanted = recipe.data, wanted_of(card) if recipe.model.weights else None
        return TrainedOn(data.name, data.options, data.path, data.sha256, wanted)
    if card is not None:
        stated: object = card.data
    else:
        manifest = None if isinstance(source, ModelCard) else source.manifest()
        stated = {} if manifest is None else manifest.model.get("data")
    # of an untrusted manifest, whose model may hold anything
    name, options = (stated.get("name"), stated.get("options")) if isinstance(stated, Mapping) else (None, None)
    if not isinstance(name, str) or not name:
        return None
    if options is not None and not isinstance(options, Mapping):
        raise ConfigError(f"{source.name} states options of its data set {name} that are not a table")
    path = stated.get("path", "") if isinstance(stated, Mapping) else ""
    return TrainedOn(name, options, path if isinstance(path, str) else "")


def data_of_model(
    known: TrainedOn, options: Mapping[str, object], registry: Registry, say: Callable[[str], None] = lambda text: None
) -> Dataset:
    """The data that a model says it was trained on. A model's word is no reason to run code.

    Args:
        known: what it says.
        options: of the data.
        registry: where data sets and readers are looked up.
        say: as of :func:`data_of`.

    Raises:
        UsageError: the data are made by code.
        DataError, ConfigError, PluginError: as of :func:`data_of`.
    """
    if known.path and finding.is_function(known.path):
        raise UsageError(f"the data of this model are made by the code {known.path}, which is not run for it")
    recipe = DataRecipe(known.name, dict(options), known.path)
    data, recipe = data_of(recipe, registry, say, wanted=known.wanted)[1:]
    if known.sha256 and recipe.sha256 != known.sha256:
        say(f"{known.path} has changed since the training: what is measured is what is there now")
    return data
