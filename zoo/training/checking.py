"""All mistakes in a recipe at once, with suggestions for misspelt names; nothing is trained."""

from __future__ import annotations

import dataclasses
import inspect
import tomllib
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any, get_type_hints

from zoo import records
from zoo.errors import ConfigError, MissingDependencyError, UnknownNameError, ZooError
from zoo.files import reason_of
from zoo.models.building import keywords
from zoo.reading import building, finding
from zoo.reading import options as data_options
from zoo.reading.content import Rows
from zoo.registry import Registry
from zoo.training.distillation import DistillationRecipe
from zoo.training.recipe import DataRecipe, ModelRecipe, Recipe, TrainingRecipe

_TABLES: dict[str, type] = {
    "model": ModelRecipe,
    "data": DataRecipe,
    "training": TrainingRecipe,
    "distillation": DistillationRecipe,
}


def mistakes(recipe: Path | Mapping[str, Any], registry: Registry) -> list[str]:
    """All mistakes in a recipe, one sentence each. Data and model are made together only if nothing else is wrong.

    Args:
        recipe: a TOML file, or its tables.
        registry: where names are looked up.
    """
    if isinstance(recipe, Path):
        try:
            values = tomllib.loads(recipe.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            return [f"cannot read {recipe}: {reason_of(error)}"]
    else:
        values = dict(recipe)
    problems = list(_of_record(Recipe, {k: v for k, v in values.items() if k not in _TABLES}, "", wanted=("name",)))
    for name, cls in _TABLES.items():
        table = values.get(name)
        if table is None:
            problems += [f"{name} is missing"] if name in ("model", "data") else []
        elif not isinstance(table, Mapping):
            problems.append(f"{name} must be a table")
        else:
            problems += _of_record(cls, table, f"{name}.")
    if not any(problem.startswith("training") for problem in problems):
        problems += _of_training(_table(values, "training"))
    problems += _of_model(_table(values, "model"), registry)
    problems += _of_data(_table(values, "data"), registry)
    problems += _of_distillation(_table(values, "distillation"), registry)
    if not problems:
        return _of_whole(values, registry)
    return list(dict.fromkeys([*problems, *_of_config(_table(values, "model"), registry)]))


def _table(values: Mapping[str, Any], name: str) -> Mapping[str, Any]:
    table = values.get(name)
    return table if isinstance(table, Mapping) else {}


def told(error: ZooError) -> str:
    """An error and its hint in one line."""
    return f"{error}{f' ({error.hint})' if error.hint else ''}"


def _of_record(cls: Any, values: Mapping[str, Any], where: str, wanted: tuple[str, ...] | None = None) -> Iterator[str]:
    """What is wrong with the keys and values of a table, each looked at by itself.

    Args:
        cls: the dataclass that it is read as.
        values: the table.
        where: what stands before its keys in messages.
        wanted: required keys; None for those without a default.
    """
    known = {f.name: f for f in dataclasses.fields(cls)}
    required = [n for n, f in known.items() if f.default is f.default_factory is dataclasses.MISSING]
    for name in required if wanted is None else wanted:
        if name not in values:
            yield f"{where}{name} is missing"
    for name, value in values.items():
        if name not in known:
            yield f"{where}{name}: {told(UnknownNameError('key', str(name), known))}"
            continue
        read = _ByItself if cls is TrainingRecipe else cls
        problem = _of_key(read, name, value, {each: values[each] for each in required if each in values}, where)
        if problem:
            yield problem if problem.startswith(where.rstrip(".") or "the recipe") else f"{where}{name}: {problem}"


@dataclasses.dataclass(frozen=True)
class _ByItself(TrainingRecipe):
    """Settings of which one is looked at: whether it goes with others is asked once all are right."""

    def conflicts(self) -> Iterator[ConfigError]:
        """None."""
        return iter(())


def _of_training(values: Mapping[str, Any]) -> list[str]:
    """What is wrong with settings together, each of which is right by itself."""
    try:
        settings = records.read(_ByItself, values, "training")
        return [told(each) for each in TrainingRecipe.conflicts(settings)]
    except ZooError:
        return []


def _of_key(cls: Any, name: str, value: object, others: Mapping[str, Any], where: str) -> str:
    """What is wrong with one value of a table, read without the others, so that no mistake hides another.

    Args:
        cls: the dataclass of the table.
        name: the key.
        value: its value.
        others: values of keys without a default.
        where: what stands before its keys in messages.
    """
    if cls is DataRecipe and name == "sha256":  # needs a path, which is checked with the whole recipe
        others = {"path": "x"}
    if cls is DataRecipe and name == "options":
        others = {"name": "x"}
    required = {f.name for f in dataclasses.fields(cls) if f.default is f.default_factory is dataclasses.MISSING}
    if required - {name} <= others.keys():
        return _raised(partial(records.read, cls, {**others, name: value}, where.rstrip(".") or "the recipe"))
    hint = get_type_hints(cls)[name]
    alone = dataclasses.make_dataclass("Alone", [(name, hint)], frozen=True)
    return _raised(partial(records.read, alone, {name: value}, where.rstrip(".") or "the recipe"))


def _raised(make: Callable[[], object]) -> str:
    try:
        make()
    except ZooError as error:
        return told(error)
    return ""


def _of_model(model: Mapping[str, Any], registry: Registry) -> list[str]:
    """An unknown architecture, keys that it does not take, and parts of unknown models."""
    name, config = model.get("architecture"), model.get("config", {})
    sources = [*_table(model, "parts").values(), *filter(None, [model.get("weights")])]
    problems = list(filter(None, (_raised(partial(_resolved, registry, source)) for source in sources)))
    if not isinstance(name, str):
        return problems
    try:
        cls = registry.load_entry(registry.architecture(name))
    except ZooError as error:
        return [*problems, f"model.architecture: {told(error)}"]
    accepted = keywords(cls) if inspect.isclass(cls) else None
    if accepted is not None and isinstance(config, Mapping):
        for key in config:
            if key not in accepted:
                unknown = UnknownNameError("argument", str(key), accepted)
                problems.append(f"model.config.{key}: {told(unknown)}, of the architecture {name}")
    return problems


def _of_config(model: Mapping[str, Any], registry: Registry) -> Iterator[str]:
    """What keeps an architecture from being built of its known keys, where other mistakes hide that it cannot be.

    Nothing where the architecture is unknown, or data are yet to give the shape of events.
    """
    from zoo.models.building import build

    name, config = model.get("architecture"), model.get("config", {})
    if not isinstance(name, str) or not isinstance(config, Mapping):
        return
    try:
        cls = registry.load_entry(registry.architecture(name))
    except ZooError:  # told already
        return
    accepted = keywords(cls) if inspect.isclass(cls) else None
    known = {key: value for key, value in config.items() if accepted is None or key in accepted}
    if (accepted is None or "event_shape" in known) and (problem := _raised(partial(build, registry, name, known))):
        yield problem


def _resolved(registry: Registry, source: object) -> object:
    from zoo.models.sources import resolve

    return resolve(registry, str(source))


def _of_data(data: Mapping[str, Any], registry: Registry) -> list[str]:
    """An unknown data set or a path that does not exist, and unknown options."""
    name, path, options = data.get("name"), data.get("path"), data.get("options", {})
    if not isinstance(options, Mapping):
        return ["data.options must be a table"]
    if isinstance(path, str) and path:
        return list(_of_path(path, options, registry))
    if not isinstance(name, str) or not name:
        return []
    try:
        source = registry.dataset(name)
        load = registry.load_entry(source)
    except MissingDependencyError as error:
        return [f"data: {told(error)}"]
    except ZooError as error:
        return [f"data.name: {told(error)}"]
    parameters = inspect.signature(load).parameters
    if any(p.kind is p.VAR_KEYWORD for p in parameters.values()):
        return []
    unknown = [each for each in options if each not in parameters]
    return [f"data.options.{each}: {told(UnknownNameError('option', str(each), parameters))}" for each in unknown]


def _of_path(path: str, options: Mapping[str, Any], registry: Registry) -> Iterator[str]:
    """Mistakes in options of a path one by one, and then in what the path holds, unless it is code."""
    shared = {f.name for f in dataclasses.fields(data_options.Options)}
    good = dict(options)
    for name in [each for each in options if each in shared]:
        if problem := _raised(partial(data_options.read, {name: options[name]}, "data.options")):
            del good[name]
            yield problem if problem.startswith("data.options") else f"data.options.{name}: {problem}"
    if finding.is_function(path):
        return
    place = Path(path)
    if not place.exists():
        yield f"data.path: there is no file or folder {path}"
        return
    try:
        reader = finding.reader_of(place, registry)
        read = registry.load_entry(reader)
    except ZooError as error:
        yield f"data.path: {told(error)}"
        return
    for name in [each for each in options if each not in shared]:
        if problem := _raised(partial(finding.check_options, reader, read, {name: options[name]})):
            del good[name]
            yield f"data.options.{name}: {problem}"
    yield from _of_columns(path, good, registry)


def _of_columns(path: str, options: Mapping[str, Any], registry: Registry) -> Iterator[str]:
    """Unknown headings, and whatever else prevents building a data set."""
    try:
        opened = finding.opened(path, options, registry)
        if isinstance(opened.content, Rows):
            building.recognised(opened.content, opened.options)
        opened.built()
    except ZooError as error:
        yield f"data: {told(error)}"


def _of_distillation(table: Mapping[str, Any], registry: Registry) -> Iterator[str]:
    """An unknown method or teacher."""
    if isinstance(method := table.get("method"), str) and (problem := _raised(partial(registry.distillation, method))):
        yield f"distillation.method: {problem}"
    if isinstance(teacher := table.get("teacher"), str) and (problem := _raised(partial(_resolved, registry, teacher))):
        yield f"distillation.teacher: {problem}"


def _of_whole(values: Mapping[str, Any], registry: Registry) -> list[str]:
    """What shows only in the whole recipe: keys that contradict each other, or a config that builds no model."""
    from zoo.models.building import build
    from zoo.training.data import beginning, data_of
    from zoo.training.fit import check_fit
    from zoo.training.run import completed

    try:
        recipe = Recipe.from_dict(values)
        if recipe.data.path and finding.is_function(recipe.data.path):
            return []  # its data are made by code, which is not run here
        wanted = beginning(recipe, registry)
        _, data, described = data_of(recipe.data, registry, wanted=wanted)
        if described.path and wanted is None:
            recipe = completed(recipe, data, registry, lambda text: None)
        check_fit(build(registry, recipe.model.architecture, recipe.model.config), data)
    except ZooError as error:
        return [told(error)]
    return []
