"""The program of a bounded posterior: :class:`Within`. No torch."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import ClassVar

import numpy as np

from zoo import records
from zoo.arrays import Array
from zoo.noise import Noise
from zoo.overriding import override
from zoo.programs import Program, event_of
from zoo.programs.graph import HasPorts

#: the input of standard normals
NOISE = "z"


@dataclass(frozen=True)
class Within(Program):
    """Draws of ``graph`` that are repeated, each with new noise, until they lie within bounds.

    Draw r of a sample takes the normals of step r of its first stream (:mod:`zoo.noise`).

    Attributes:
        graph: name of the graph from normals ``z`` to samples.
        low: the smallest of each number of a sample, as text with blanks between, ``"-2.0 -inf"``.
        high: the largest, likewise.
        rounds: the most draws of a sample.
        condition_encoder: name of the graph that encodes conditions, or None; see :class:`~zoo.programs.Program`.
    """

    graph: str
    low: str
    high: str
    rounds: int
    condition_encoder: str | None = field(default=None, metadata=records.OMITTED)
    kind: ClassVar[str] = "within"

    def __post_init__(self) -> None:
        """Check what a manifest states."""
        low, high = self.bounds
        if low.shape != high.shape or not bool((low < high).all()):
            raise ValueError(f"bounds {self.low} and {self.high}")
        if isinstance(self.rounds, bool) or not isinstance(self.rounds, int) or not 1 <= self.rounds <= 1 << 20:
            raise ValueError(f"{self.rounds} rounds")

    @property
    def bounds(self) -> tuple[Array, Array]:
        """The smallest and the largest of each number, float32 ``[d]`` each."""
        low, high = (np.array([float(each) for each in side.split()], np.float32) for side in (self.low, self.high))
        return low, high

    @override
    def noise_shape(self, graphs: Mapping[str, HasPorts]) -> tuple[int, ...]:
        return event_of(graphs, self.graph, NOISE, 1)

    @override
    def noises(self, graphs: Mapping[str, HasPorts]) -> tuple[Noise, ...]:
        return (Noise(NOISE, self.noise_shape(graphs)),)

    def accepts(self, x: Array) -> Array:
        """Which of samples ``[n, d]`` lie within the bounds: booleans ``[n]``."""
        low, high = self.bounds
        return np.asarray(((x >= low) & (x <= high)).all(1))

    @override
    def summary(self) -> str:
        return f"draws of {self.graph} until one lies within the bounds of the prior"
