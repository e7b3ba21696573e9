"""The built-in engines, described through the same hook as those of other plugins."""

from __future__ import annotations

from zoo.registry.engines import Engine
from zoo.registry.hookspecs import hookimpl


@hookimpl
def zoo_engines() -> list[Engine]:
    """Processes of this machine, and Ray."""
    return [
        Engine(name="local", entry="zoo.bulk.engines:local", summary="processes of this machine"),
        Engine(
            name="ray",
            entry="zoo.bulk.on_ray:run",
            summary="workers of a Ray cluster, or of a Ray that is started here",
            requires=("ray",),
        ),
    ]
