"""Checks of kinds of program. How one samples is checked by the architectures of its plugin that use it."""

from __future__ import annotations

import inspect
from typing import Any, cast

from zoo.errors import CheckError, NotApplicable
from zoo.models import building
from zoo.programs import Program
from zoo.registry import Item, Registry
from zoo.registry.cards import Architecture, ProgramKind
from zoo.runtime.running import Runner
from zoo.testing.check import Checks


def of_program(registry: Registry, item: Item, subject: Any) -> Checks:
    """What is promised of a kind of program, and of its runner."""
    described = cast(ProgramKind, item.description)

    def declared() -> None:
        """It is a frozen dataclass of its kind, and its runner a class without arguments."""
        runner = registry.load_entry(described, "runner")
        if not (inspect.isclass(subject) and issubclass(subject, Program)):
            raise CheckError(f"{described.entry} is not a zoo.programs.Program")
        parameters: Any = getattr(subject, "__dataclass_params__", None)
        if parameters is None or not parameters.frozen:
            raise CheckError(f"{described.entry} is not a frozen dataclass, whose fields a manifest can store")
        if getattr(subject, "kind", None) != described.name:
            raise CheckError(
                f"its kind is {getattr(subject, 'kind', None)!r}, and it is described as {described.name!r}"
            )
        if not (inspect.isclass(runner) and issubclass(runner, Runner)):
            raise CheckError(f"{described.runner} is not a zoo.runtime.running.Runner")
        runner()

    def used() -> None:
        """An architecture of the plugin makes such a program, so that its parity is proven."""
        if not any(isinstance(program, subject) for program in _programs(registry, item)):
            raise NotApplicable(
                "no architecture of the plugin has an example with this program, so how it samples is not checked"
            )

    return {"declared": declared, "used": used}


def _programs(registry: Registry, item: Item) -> list[object]:
    programs_of_plugin: list[object] = []
    for each in registry.items("architecture"):
        described = each.description
        if each.plugin == item.plugin and isinstance(described, Architecture):
            programs = building.build(registry, described.name, described.example).programs()
            programs_of_plugin += [programs.sample, programs.log_prob]
    return programs_of_plugin
