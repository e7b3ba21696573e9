"""Everything that is wrong with a recipe, at once, with near names; nothing is trained."""

from __future__ import annotations

import dataclasses
import inspect
import tomllib
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from zoo import records
from zoo.errors import MissingDependencyError, UnknownNameError, ZooError
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
    """All mistakes in a recipe, one sentence each; data are read, and the model is built, only if nothing else is wrong.

    Args:
        recipe: a TOML file, or its tables.
        registry: where names are looked up.
    """
    if isinstance(recipe, Path):
        try:
            values = tomllib.loads(recipe.read_text("utf-8"))
        except (OSError, UnicodeDecodeError, tomllib.TOMLDecodeError) as error:
            return [f"cannot read {recipe}: {error}"]
    else:
        values = dict(recipe)
    found = list(_of_record(Recipe, {k: v for k, v in values.items() if k not in _TABLES}, "", wanted=("name",)))
    for name, cls in _TABLES.items():
        table = values.get(name)
        if table is None:
            found += [f"{name} is missing"] if name in ("model", "data") else []
        elif not isinstance(table, Mapping):
            found.append(f"{name} must be a table")
        else:
            found += _of_record(cls, table, f"{name}.")
    found += _of_model(_table(values, "model"), registry)
    found += _of_data(_table(values, "data"), registry)
    found += _of_distillation(_table(values, "distillation"), registry)
    return list(dict.fromkeys(found)) or _of_whole(values, registry)


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
        wanted: keys that must be there; None for those without a default.
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
        # a table is read with this key alone, so that one mistake does not hide another
        others = {each: values[each] for each in required if each in values and each != name}
        if len(others) < len([each for each in required if each != name]):
            problem = _ill_typed(cls, name, value, where)
        else:
            problem = _raised(lambda n=name, v=value, o=others: records.read(cls, {**o, n: v}, where.rstrip(".")))  # type: ignore[misc]
        if problem and not _of_a_pair(cls, name):
            yield problem if problem.startswith(where.rstrip(".")) else f"{where}{name}: {problem}"


def _of_a_pair(cls: Any, name: str) -> bool:
    """Whether a key makes sense only beside another, so that it is looked at with the whole recipe."""
    return (cls is TrainingRecipe and name == "keep") or (cls is DataRecipe and name in ("options", "sha256"))


def _ill_typed(cls: Any, name: str, value: object, where: str) -> str:
    """What is wrong with the type of one value of a table that lacks others."""
    hints = inspect.get_annotations(cls, eval_str=True)
    made = dataclasses.make_dataclass("One", [(name, hints[name])], frozen=True)
    return _raised(lambda: records.read(made, {name: value}, where.rstrip(".")))


def _raised(make: Callable[[], object]) -> str:
    try:
        make()
    except ZooError as error:
        return told(error)
    return ""


def _of_model(model: Mapping[str, Any], registry: Registry) -> list[str]:
    """An unknown architecture, keys that it does not take, and parts of unknown models."""
    name, config = model.get("architecture"), model.get("config", {})
    found = [
        problem
        for each in _table(model, "parts").values()
        if (problem := _raised(lambda e=each: _resolved(registry, e)))  # type: ignore[misc]
    ]
    if not isinstance(name, str):
        return found
    try:
        cls = registry.load_entry(registry.architecture(name))
    except ZooError as error:
        return [*found, f"model.architecture: {told(error)}"]
    accepted = keywords(cls) if inspect.isclass(cls) else None
    if accepted is not None and isinstance(config, Mapping):
        for key in config:
            if key not in accepted:
                error = UnknownNameError("argument", str(key), accepted)
                found.append(f"model.config.{key}: {told(error)}, of the architecture {name}")
    return found


def _resolved(registry: Registry, source: object) -> object:
    from zoo.models.sources import resolve

    return resolve(registry, str(source))


def _of_data(data: Mapping[str, Any], registry: Registry) -> list[str]:
    """An unknown data set or a path that leads nowhere, and options that nobody takes."""
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
    """Options of a path one by one, and then the path, which is read if it is no code."""
    shared = {f.name for f in dataclasses.fields(data_options.Options)}
    bad = False
    for name, value in options.items():
        if name in shared and (problem := _raised(lambda n=name, v=value: data_options.read({n: v}, "data.options"))):  # type: ignore[misc]
            bad = True
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
    for name, value in options.items():
        if name in shared:
            continue
        if problem := _raised(lambda n=name, v=value: finding.check_options(reader, read, {n: v})):  # type: ignore[misc]
            bad = True
            yield f"data.options.{name}: {problem}"
    if not bad:
        yield from _of_columns(path, options, registry)


def _of_columns(path: str, options: Mapping[str, Any], registry: Registry) -> Iterator[str]:
    """Headings that there are not, and what else keeps the data from being made of the path."""
    try:
        opened = finding.opened(path, options, registry)
        if isinstance(opened.content, Rows):
            building.recognised(opened.content, opened.options)
        opened.built()
    except ZooError as error:
        yield f"data: {told(error)}"


def _of_distillation(table: Mapping[str, Any], registry: Registry) -> Iterator[str]:
    """An unknown method or teacher."""
    if isinstance(method := table.get("method"), str) and (problem := _raised(lambda: registry.distillation(method))):
        yield f"distillation.method: {problem}"
    if isinstance(teacher := table.get("teacher"), str) and (problem := _raised(lambda: _resolved(registry, teacher))):
        yield f"distillation.teacher: {problem}"


def _of_whole(values: Mapping[str, Any], registry: Registry) -> list[str]:
    """What only the whole recipe says: keys that contradict each other, and a config that builds no model."""
    from zoo.models.building import build
    from zoo.training.loop import check_fit
    from zoo.training.run import completed, data_of

    try:
        recipe = Recipe.from_dict(values)
        if recipe.data.path and finding.is_function(recipe.data.path):
            return []  # its data are made by code, which is not run here
        _, data, described = data_of(recipe.data, registry)
        if described.path:
            recipe = completed(recipe, data, registry, lambda text: None)
        check_fit(build(registry, recipe.model.architecture, recipe.model.config), data)
    except ZooError as error:
        return [told(error)]
    return []
