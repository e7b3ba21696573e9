"""Adapter of nflows for :func:`zoo.wrap`. Importing this imports neither torch nor nflows."""

from __future__ import annotations

from zoo.registry.adapters import Adapter
from zoo.registry.hookspecs import hookimpl


@hookimpl
def zoo_adapters() -> tuple[Adapter, ...]:
    """The adapter."""
    return (
        Adapter(
            name="nflows",
            summary="flows of nflows, with or without a context and its embedding network",
            classes=("nflows.distributions.base.Distribution",),
            entry="zoo_nflows.wrapped:wrapped",
            requires=("torch", "nflows"),
        ),
    )
