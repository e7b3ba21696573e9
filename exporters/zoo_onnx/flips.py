"""Symbols and levels that two sides draw differently because of rounding.

A model that draws symbols takes the largest of some scores (:func:`zoo.models.interface.largest`). Where the best two
are apart by less than rounding, float32 programs that are both right may take different ones, and with them all symbols
after it. Its graph says by how much each symbol was ahead, in the output ``margin``; a proof accepts a sample whose
first different symbol was ahead by no more than :data:`EDGE` on both sides, and counts it.

A model of levels draws numbers, of which later ones depend on the level alone. Where a number lies at the edge of two,
rounding may put it into either: a proof accepts a sample in which the two sides agree about a number, up to the
tolerance, and not about its level.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.bundle.differences import TOLERANCE
from zoo.programs import MARGIN

#: the largest margin of a symbol that rounding may flip: the tolerance of any output
EDGE = TOLERANCE


@dataclass
class Flips:
    """What was accepted so far.

    Attributes:
        edges: distance of the edges of levels, which lie at its multiples; 0 for a model without.
        event: shape of one sample.
        symbols: how many symbols were compared.
        flipped: how many samples had another symbol at an edge.
        largest: the largest margin of one that was accepted.
        crossed: how many samples had a number at the edge of two levels in both.
    """

    edges: float = 0.0
    event: tuple[int, ...] = ()
    symbols: int = 0
    flipped: int = 0
    largest: float = 0.0
    crossed: int = 0

    def levelled(self, actual: Array, expected: Array, *margins: Array) -> tuple[Array, NDArray[np.intp]]:
        """The actual samples, with those replaced by the expected ones that rounding explains.

        Args:
            actual: ``[n, *event]``.
            expected: likewise.
            margins: of the symbols on one side or on both, likewise.

        Returns:
            the samples, and which of them were replaced.
        """
        if actual.shape != expected.shape or not actual.size:
            return actual, np.zeros(0, np.intp)
        self.symbols += actual.size
        rows, n = [], len(actual)
        with np.errstate(invalid="ignore"):
            differs = ~(np.abs(actual - expected) <= TOLERANCE * (1 + np.abs(expected)))
        for row in np.flatnonzero(differs.reshape(n, -1).any(1)):
            first = int(differs[row].ravel().argmax())
            ahead = [float(margin[row].ravel()[first]) for margin in margins]
            if all(each <= EDGE for each in ahead):
                rows.append(row)
                self.largest = max(self.largest, *ahead)
        self.flipped += len(rows)
        replaced = np.array(actual)
        replaced[rows] = expected[rows]
        return replaced, np.array(rows, np.intp)

    def outputs(self, actual: dict[str, Array], expected: dict[str, Array]) -> dict[str, Array]:
        """The same for the outputs of a graph, margins included; those of other graphs are left alone."""
        if MARGIN not in expected or MARGIN not in actual:
            return {k: self.at_edges(v, expected[k]) for k, v in actual.items()} if self.edges else actual
        name = next(iter(expected))
        x, rows = self.levelled(actual[name], expected[name], actual[MARGIN], expected[MARGIN])
        if not len(rows):
            return actual
        margin = np.array(actual[MARGIN])
        margin[rows] = expected[MARGIN][rows]
        return {**actual, name: x, MARGIN: margin}

    def at_edges(self, actual: Array, expected: Array) -> Array:
        """The actual samples ``[n, *event]``, with those replaced whose difference begins at the edge of two levels."""
        if not self.edges or actual.shape != expected.shape or actual.shape[1:] != self.event or not actual.size:
            return actual
        rows = (len(actual), -1)
        with np.errstate(invalid="ignore"):
            near = (np.abs(actual - expected) <= TOLERANCE * (1 + np.abs(expected))).reshape(rows)
            crossed = (np.floor(actual / self.edges) != np.floor(expected / self.edges)).reshape(rows)
        accepted = ~near.all(1) & (near & crossed).any(1)
        if not accepted.any():
            return actual
        self.crossed += int(accepted.sum())
        replaced = np.array(actual)
        replaced[accepted] = expected[accepted]
        return replaced

    def off_edges(self, x: Array) -> bool:
        """Whether no number of samples is so near to an edge that another device may put it into another level."""
        if not self.edges:
            return True
        place = np.asarray(x, np.float64) / self.edges
        return bool((np.abs(place - np.round(place)) > EDGE).all())

    def describe(self) -> dict[str, object]:
        """As JSON values."""
        return {"symbols": self.symbols, "flipped": self.flipped, "largest_margin": float(f"{self.largest:.1e}")}

    def told(self) -> str:
        """In words; empty if there was nothing to accept."""
        if self.crossed:
            return (
                f"{self.crossed} samples differ from one on, in ONNX Runtime, that lies at the edge of two levels, in "
                "which rounding put it into either"
            )
        if not self.flipped:
            return ""
        return (
            f"{self.flipped} samples have another symbol in ONNX Runtime where the best two are apart by at most "
            f"{self.largest:.1e}, which is rounding; {self.symbols:,} symbols were compared"
        )
