"""What plugins bring that files refer to by name: kinds of program, paths, formats, modalities.

They are looked up only when a file names one.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from operator import attrgetter
from typing import TYPE_CHECKING, Any

from zoo.errors import NameConflictError

if TYPE_CHECKING:
    from zoo.registry.cards import Description
    from zoo.registry.discovery import Plugin, PluginRecord

    Claim = tuple[Description, PluginRecord]

#: of each kind the descriptions by name, several where several plugins claim one; None before discovery
_claims: Mapping[str, Mapping[str, list[Claim]]] | None = None


def bring(plugins: Iterable[Plugin]) -> None:
    """Set the claims of all plugins; a registry does so after discovery."""
    global _claims
    claims: dict[str, dict[str, list[Claim]]] = {}
    for plugin in sorted(plugins, key=attrgetter("record.builtin"), reverse=True):
        for kind, descriptions in plugin.described.items():
            for description in descriptions:
                holders = claims.setdefault(kind, {}).setdefault(description.name, [])
                if not any(record.builtin for _, record in holders):  # a built-in one keeps its name
                    holders.append((description, plugin.record))
    _claims = claims


def claimed(kind: str) -> Mapping[str, list[Claim]]:
    """The descriptions of one kind by name, with the plugins that provide them, the built-in ones included."""
    global _claims
    if _claims is None:
        _claims = {}  # a plugin that asks while it is discovered finds nothing
        try:
            from zoo.registry.discovery import allowed_plugins, discover
        except ModuleNotFoundError as error:
            if error.name != "pluggy":
                raise
            return {}  # a runtime of NumPy and ONNX Runtime alone has no plugins
        bring(discover(allowed=allowed_plugins()))
    return _claims.get(kind, {})


def claim_of(kind: str, name: str) -> Claim:
    """The description of that name, and its plugin.

    Raises:
        KeyError: no plugin provides it.
        NameConflictError: more than one does.
    """
    claims = claimed(kind)[name]
    if len(claims) > 1:
        raise conflict(kind, name, [plugin for _, plugin in claims])
    return claims[0]


def loaded(kind: str, name: str, part: str = "entry") -> Any:
    """What a description names in its field ``part``, imported.

    Raises:
        KeyError, NameConflictError: as :func:`claim_of` does.
        PluginError, MissingDependencyError: it cannot be loaded.
    """
    from zoo.registry.entries import load_entry

    description, plugin = claim_of(kind, name)
    return load_entry(kind, description, plugin, part)


def conflict(kind: str, name: str, plugins: Iterable[PluginRecord]) -> NameConflictError:
    """The error of a name that several plugins claim."""
    plugins = list(plugins)
    claims = " and ".join(f"{plugin.origin} (plugin {plugin.name})" for plugin in plugins)
    return NameConflictError(
        f"the {kind} {name!r} is claimed by {claims}",
        hint=f"Uninstall one, or disable it: `zoo --no-plugins={plugins[-1].name} ...`",
    )


def plugin_program(kind: str) -> Any:
    """The class of a plugin's programs; raises as :func:`loaded` does."""
    return loaded("program", kind)


def plugin_runner(kind: str) -> Any:
    """The class that runs a plugin's programs; raises as :func:`loaded` does."""
    return loaded("program", kind, "runner")
