"""Finished step tables, for runtimes that do not make their own."""

from __future__ import annotations

from zoo.paths import path_from
from zoo.programs import Iterate
from zoo.samplers.stored import Arrays, stored

#: what every bundle that steps has, besides the model's own choice
USUAL = (("ddim", 10), ("ddim", 20), ("ddim", 50), ("ddpm", 100))


def tables(program: Iterate) -> Arrays:
    """The tensors of the model's own table and of the usual ones."""
    usual = USUAL if path_from(program.path).gaussian else ()
    return stored(program, ((program.sampler, program.steps), *usual))
