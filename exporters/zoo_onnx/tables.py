"""Finished step tables, for runtimes that do not make their own."""

from __future__ import annotations

from zoo.programs import Iterate
from zoo.samplers.stored import Arrays, stored


def tables(program: Iterate) -> Arrays:
    """The tensors of the model's own table and of the usual ones."""
    return stored(program, program.tables())
