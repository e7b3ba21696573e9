"""The runner of each kind of program."""

from __future__ import annotations

from functools import cache

from zoo.errors import BundleError
from zoo.programs import Program
from zoo.registry.extensions import plugin_runner
from zoo.runtime.direct import DirectRunner
from zoo.runtime.fused import FusedRunner
from zoo.runtime.integrate import IntegrateRunner
from zoo.runtime.iterate import IterateRunner
from zoo.runtime.running import Runner

BUILTIN: dict[str, Runner] = {
    "direct": DirectRunner(),
    "fused": FusedRunner(),
    "integrate": IntegrateRunner(),
    "iterate": IterateRunner(),
}


def runner_of(program: Program) -> Runner:
    """The runner of a program.

    Raises:
        BundleError: no installed plugin runs programs of its kind.
        PluginError, MissingDependencyError: a plugin's runner cannot be loaded.
    """
    return BUILTIN[program.kind] if program.kind in BUILTIN else _plugins(program.kind)


@cache
def _plugins(kind: str) -> Runner:
    try:
        runner: Runner = plugin_runner(kind)()
    except KeyError:
        raise BundleError(f"no installed plugin runs programs of kind {kind!r}") from None
    return runner
