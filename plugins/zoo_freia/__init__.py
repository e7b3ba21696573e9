"""Adapter of FrEIA for :func:`zoo.wrap`. Importing this imports neither torch nor FrEIA."""

from __future__ import annotations

from zoo.registry.adapters import Adapter
from zoo.registry.hookspecs import hookimpl


@hookimpl
def zoo_adapters() -> tuple[Adapter, ...]:
    """The adapter."""
    return (
        Adapter(
            name="freia",
            summary="invertible networks of FrEIA, with or without conditions",
            classes=(
                "FrEIA.framework.sequence_inn.SequenceINN",
                "FrEIA.framework.graph_inn.GraphINN",
            ),
            entry="zoo_freia.wrapped:wrapped",
            requires=("torch", "FrEIA"),
        ),
    )
