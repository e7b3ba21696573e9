"""Adapter of zuko's flows for :func:`zoo.wrap`. Importing this imports neither torch nor zuko."""

from __future__ import annotations

from zoo.registry.adapters import Adapter
from zoo.registry.hookspecs import hookimpl


@hookimpl
def zoo_adapters() -> tuple[Adapter, ...]:
    """The adapter."""
    return (
        Adapter(
            name="zuko",
            summary="flows and mixtures of zuko, with or without a context",
            classes=("zuko.lazy.LazyDistribution",),
            entry="zoo_zuko.wrapped:wrapped",
            requires=("torch", "zuko"),
        ),
    )
