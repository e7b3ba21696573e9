"""Kinds of program provided by plugins (hook ``zoo_programs``), looked up only when a manifest names one."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from zoo.registry.cards import ProgramKind
    from zoo.registry.discovery import PluginRecord

    Brought = Mapping[str, tuple[ProgramKind, PluginRecord]]

_brought: Brought | None = None


def bring(programs: Brought) -> None:
    """Set the kinds provided by plugins; a registry does so after discovery."""
    global _brought
    _brought = dict(programs)


def plugin_program(kind: str) -> Any:
    """The class of a plugin's programs.

    Raises:
        KeyError: no plugin provides this kind, or more than one does.
        PluginError, MissingDependencyError: it cannot be loaded.
    """
    described, plugin = _found(kind)
    return _loaded(described, plugin)


def plugin_runner(kind: str) -> Any:
    """The class that runs a plugin's programs; errors as for :func:`plugin_program`."""
    described, plugin = _found(kind)
    return _loaded(replace(described, entry=described.runner), plugin)


def _found(kind: str) -> tuple[ProgramKind, PluginRecord]:
    if _brought is None:
        from zoo.registry.discovery import allowed_plugins, brought, discover

        bring(brought(discover(allowed=allowed_plugins()), "program"))
    assert _brought is not None
    return _brought[kind]


def _loaded(described: ProgramKind, plugin: PluginRecord) -> Any:
    from zoo.registry.entries import load_entry

    return load_entry("program", described, plugin)
