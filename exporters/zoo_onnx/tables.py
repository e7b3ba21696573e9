"""Precomputed step tables, for runtimes that do not compute their own."""

from __future__ import annotations

from zoo.programs import Iterate
from zoo.samplers.stored import Arrays, stored


def tables(program: Iterate) -> Arrays:
    """The tensors of the model's default table and of the common ones."""
    return stored(program, program.tables())
