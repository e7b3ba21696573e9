"""The version of the plugin API, and whether a plugin that declares one fits it.

The version is one whole number. It grows when a hook, a description or a class that plugins derive from changes so that
plugins of before would break; what is only added does not change it. A plugin declares the version that it was written
for by an attribute of what its entry point names, and one that declares none was written for version 1::

    zoo_api = 1
"""

from __future__ import annotations

import ast
import contextlib
from importlib import metadata
from importlib.util import find_spec
from pathlib import Path

from zoo.errors import PluginError

#: the version of this genzoo, and the oldest that it still takes
PLUGIN_API = 1
OLDEST_PLUGIN_API = 1
#: the attribute that declares it, and what is taken where it is missing
ATTRIBUTE = "zoo_api"
UNDECLARED = 1


def declared(plugin: object) -> int:
    """The version that a plugin's module, or other object, declares.

    Raises:
        PluginError: it is not a whole number.
    """
    version = getattr(plugin, ATTRIBUTE, UNDECLARED)
    if isinstance(version, bool) or not isinstance(version, int):
        raise PluginError(f"{ATTRIBUTE} is {version!r}, not a whole number such as {PLUGIN_API}")
    return version


def misfit(version: int, distribution: str) -> str | None:
    """Why a plugin of this version of the API cannot be used, in one sentence with what to do; None if it can."""
    if version > PLUGIN_API:
        return (
            f"it is written for version {version} of the plugin API, and this genzoo has version {PLUGIN_API}: "
            "`pip install --upgrade genzoo`, or install an older release of the plugin"
        )
    if version < OLDEST_PLUGIN_API:
        return (
            f"it is written for version {version} of the plugin API, of which this genzoo takes {OLDEST_PLUGIN_API} to "
            f"{PLUGIN_API}: `pip install --upgrade {distribution}`"
        )
    return None


def written(entry_point: metadata.EntryPoint) -> int | None:
    """The version that the source of a plugin's module assigns, for one whose import fails; None if none is found."""
    # a plugin for a newer genzoo fails at the first name that this one lacks, before it could be asked
    with contextlib.suppress(Exception):
        spec = find_spec(entry_point.module)
        if spec is not None and spec.origin is not None:
            for statement in ast.parse(Path(spec.origin).read_bytes()).body:
                targets = statement.targets if isinstance(statement, ast.Assign) else ()
                if any(isinstance(target, ast.Name) and target.id == ATTRIBUTE for target in targets):
                    assert isinstance(statement, ast.Assign)
                    value = ast.literal_eval(statement.value)
                    return value if isinstance(value, int) and not isinstance(value, bool) else None
    return None
