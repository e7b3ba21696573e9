"""Adapter of sbi for :func:`zoo.wrap`. Importing this imports neither torch nor sbi."""

from __future__ import annotations

from zoo.registry.adapters import Adapter
from zoo.registry.cards import ProgramKind
from zoo.registry.hookspecs import hookimpl


@hookimpl
def zoo_adapters() -> tuple[Adapter, ...]:
    """The adapter."""
    return (
        Adapter(
            name="sbi",
            summary="posteriors and estimators of sbi: NPE, FMPE, NPSE, NLE and NRE",
            classes=(
                "sbi.neural_nets.estimators.base.ConditionalEstimator",
                "sbi.inference.posteriors.base_posterior.NeuralPosterior",
            ),
            entry="zoo_sbi.wrapped:wrapped",
            requires=("torch", "sbi"),
        ),
    )


@hookimpl
def zoo_programs() -> tuple[ProgramKind, ...]:
    """The kind of program by which samples stay within the bounds of a prior."""
    return (
        ProgramKind(
            name="within",
            summary="draws of a graph that are repeated until they lie within bounds",
            entry="zoo_sbi.program:Within",
            runner="zoo_sbi.runner:WithinRunner",
        ),
    )
