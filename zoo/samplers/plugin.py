"""The built-in samplers, described through the same hook as those of other plugins."""

from __future__ import annotations

from zoo.registry.cards import Sampler
from zoo.registry.hookspecs import hookimpl
from zoo.samplers.builtin import SAMPLERS


@hookimpl
def zoo_samplers() -> list[Sampler]:
    """Every sampler of this package."""
    return [
        Sampler(
            name=s.name,
            summary=s.summary,
            entry=s.entry,
            stochastic=s.stochastic,
            denoises=s.denoises,
            paper=s.paper,
        )
        for s in SAMPLERS
    ]
