"""Checks of architectures and adapters: of a small model, by whoever exports it (``Exporter.checks``)."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, cast

from zoo.errors import CheckError, ConfigError, NotApplicable
from zoo.models import building
from zoo.models.wrapping import wrap
from zoo.registry import Item, Registry
from zoo.registry.adapters import Adapter
from zoo.registry.cards import Architecture
from zoo.registry.entries import lacking
from zoo.testing.check import Checks

if TYPE_CHECKING:
    from zoo.models.interface import GenerativeModel


def of_architecture(registry: Registry, item: Item, subject: Any) -> Checks:
    """Its example builds, survives JSON, and is a model that keeps its promises."""
    described = cast(Architecture, item.description)

    def make() -> GenerativeModel:
        try:
            return building.build(registry, described.name, described.example)
        except ConfigError as error:
            if described.example:
                raise
            raise NotApplicable(f"no small model is known: {error}: give the Architecture an example") from error

    def config() -> None:
        """The config is JSON, and the model says its family and the shape of its events."""
        model = make()
        if json.loads(json.dumps(described.example)) != dict(described.example):
            raise CheckError("its example changes when it is written as JSON and read", hint="Use lists, not tuples.")
        if getattr(model, "family", None) != described.family:
            raise CheckError(
                f"the model's family is {getattr(model, 'family', None)!r}, described {described.family!r}"
            )
        shape = model.event_shape
        if not isinstance(shape, tuple) or not all(isinstance(size, int) and size > 0 for size in shape):
            raise CheckError(f"event_shape is {shape!r}, not a tuple of whole numbers above 0")

    try:
        return {"config": config, **of_model(registry, make)}
    except NotApplicable as error:
        told = error
        return {"config": lambda: _not_run(told)}


def of_adapter(registry: Registry, item: Item, subject: Any) -> Checks:
    """Its instance is wrapped, and is a model that keeps its promises."""
    described = cast(Adapter, item.description)
    if not described.instance:
        told = NotApplicable("no model of the library is known: give the Adapter an instance")
        return {"wraps": lambda: _not_run(told)}
    instance = registry.load_entry(described, "instance")

    def make() -> GenerativeModel:
        arguments = dict(instance())
        return wrap(arguments.pop("model"), registry=registry, **arguments)

    def wraps() -> None:
        """The adapter is the one that the class of the instance finds."""
        arguments: Mapping[str, object] = instance()
        cls = type(arguments["model"])
        lineage = [f"{each.__module__}.{each.__qualname__}" for each in cls.__mro__]
        if not set(lineage) & set(described.classes):
            raise CheckError(
                f"the instance is a {lineage[0]}, which derives from none of the classes {', '.join(described.classes)}"
            )
        make()

    return {"wraps": wraps, **of_model(registry, make)}


def of_model(registry: Registry, make: Callable[[], GenerativeModel]) -> Checks:
    """What every exporter that is installed can check of a model."""
    checks: Checks = {}
    for item in registry.items("exporter"):
        if not getattr(item.description, "checks", ""):
            continue
        if told := lacking(item.description.requires):
            checks[item.description.name] = lambda told=told: _not_run(NotApplicable(told))  # type: ignore[misc]
        else:
            checks |= registry.load_entry(item.description, "checks")(make)
    return checks


def _not_run(told: NotApplicable) -> None:
    raise told
