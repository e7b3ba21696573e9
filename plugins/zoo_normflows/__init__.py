"""Adapter of normflows for :func:`zoo.wrap`. Importing this imports neither torch nor normflows."""

from __future__ import annotations

from zoo.registry.adapters import Adapter
from zoo.registry.hookspecs import hookimpl


@hookimpl
def zoo_adapters() -> tuple[Adapter, ...]:
    """The adapter."""
    return (
        Adapter(
            name="normflows",
            summary="flows of normflows, with or without a context",
            classes=(
                "normflows.core.NormalizingFlow",
                "normflows.core.ConditionalNormalizingFlow",
                "normflows.core.ClassCondFlow",
                "normflows.core.MultiscaleFlow",
            ),
            entry="zoo_normflows.wrapped:wrapped",
            requires=("torch", "normflows"),
        ),
    )
