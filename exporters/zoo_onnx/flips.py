"""Symbols that two sides draw differently because two scores are equal up to rounding.

A model that draws symbols takes the largest of some scores (:func:`zoo.models.interface.largest`). Where the best two
are apart by less than rounding, float32 programs that are both right may take different ones, and with them all symbols
after it. Its graph says by how much each symbol was ahead, in the output ``margin``; a proof accepts a sample whose
first different symbol was ahead by no more than :data:`EDGE` on both sides, and counts it.
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
        symbols: how many symbols were compared.
        flipped: how many samples had another symbol at an edge.
        largest: the largest margin of one that was accepted.
    """

    symbols: int = 0
    flipped: int = 0
    largest: float = 0.0

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
            return actual
        name = next(iter(expected))
        x, rows = self.levelled(actual[name], expected[name], actual[MARGIN], expected[MARGIN])
        if not len(rows):
            return actual
        margin = np.array(actual[MARGIN])
        margin[rows] = expected[MARGIN][rows]
        return {**actual, name: x, MARGIN: margin}

    def describe(self) -> dict[str, object]:
        """As JSON values."""
        return {"symbols": self.symbols, "flipped": self.flipped, "largest_margin": float(f"{self.largest:.1e}")}

    def told(self) -> str:
        """In words; empty if there was nothing to accept."""
        if not self.flipped:
            return ""
        return (
            f"{self.flipped} samples have another symbol in ONNX Runtime where the best two are apart by at most "
            f"{self.largest:.1e}, which is rounding; {self.symbols:,} symbols were compared"
        )
