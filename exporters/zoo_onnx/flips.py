"""Symbols and levels that two sides draw differently because of rounding.

A model that draws symbols takes the largest of some scores (:func:`zoo.models.interface.largest`). Where the best two
are apart by less than rounding, float32 programs that are both right may take different ones, and with them all symbols
after it. Its graph says by how much each symbol was ahead, in the output ``margin``; a proof accepts a sample whose
first different symbol was ahead by no more than :data:`EDGE` on both sides, and counts it.

A model of levels draws numbers in turn, of which later ones depend on the level alone. Where a number lies at the edge
of two, rounding may put it into either: a proof accepts a sample in which the two sides agree about all numbers up to
one, up to the tolerance, and not about the level of it or of one before. What follows is not compared, so no more than
:data:`CROSSED` of all samples may be such.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from zoo.arrays import Array
from zoo.bundle.differences import TOLERANCE
from zoo.errors import ProofError
from zoo.models.interface import GenerativeModel
from zoo.programs import MARGIN

#: the largest margin of a symbol that rounding may flip: the tolerance of any output
EDGE = TOLERANCE
#: the largest share of compared samples that may differ because of a number at the edge of two levels
CROSSED = 0.25


@dataclass
class Flips:
    """What was accepted so far.

    Attributes:
        edges: between levels, rising; empty for a model without.
        event: shape of one sample.
        turns: of the numbers of a flattened sample, the order in which they are drawn; empty for theirs.
        symbols: how many symbols were compared.
        flipped: how many samples had another symbol at an edge.
        largest: the largest margin of one that was accepted.
        levels: how many samples of levels were compared.
        crossed: how many of them differed from a number on that lies at the edge of two levels in both.
    """

    edges: tuple[float, ...] = ()
    event: tuple[int, ...] = ()
    turns: tuple[int, ...] = ()
    symbols: int = 0
    flipped: int = 0
    largest: float = 0.0
    levels: int = 0
    crossed: int = 0

    @classmethod
    def of(cls, model: GenerativeModel) -> Flips:
        """None yet, of a model, which may have ``edges`` of levels, and ``turns``."""
        edges, turns = (tuple(getattr(model, name, ())) for name in ("edges", "turns"))
        return cls(edges, tuple(model.event_shape), turns)

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

    def at_edges(self, actual: Array, expected: Array, *, counted: bool = True) -> Array:
        """The actual samples ``[n, *event]``, with those replaced whose difference begins at the edge of two levels.

        Args:
            actual: samples, or anything else, which is left alone.
            expected: likewise.
            counted: whether they are among those that :meth:`few` looks at.
        """
        if not self.edges or actual.shape != expected.shape or actual.shape[1:] != self.event or not actual.size:
            return actual
        sides = [each.reshape(len(each), -1)[:, self.turns or slice(None)] for each in (actual, expected)]
        with np.errstate(invalid="ignore"):
            differs = ~(np.abs(sides[0] - sides[1]) <= TOLERANCE * (1 + np.abs(sides[1])))
        mine, other = (np.searchsorted(self.edges, each, "right") for each in sides)
        first = np.where(differs.any(1), differs.argmax(1), 0)
        before = np.arange(differs.shape[1]) < first[:, None]
        accepted = ((mine != other) & before).any(1)
        self.levels += len(actual) * counted
        if not accepted.any():
            return actual
        self.crossed += int(accepted.sum()) * counted
        replaced = np.array(actual)
        replaced[accepted] = expected[accepted]
        return replaced

    def off_edges(self, x: Array) -> bool:
        """Whether no number of samples is so near to an edge that another device may put it into another level."""
        if not self.edges:
            return True
        edges, x = np.asarray(self.edges), np.asarray(x, np.float64)
        above = np.searchsorted(edges, x).clip(0, len(edges) - 1)
        return bool(all((np.abs(x - edges[each]) > EDGE).all() for each in (above, (above - 1).clip(0))))

    def few(self) -> None:
        """Check at the end that samples that differ from an edge on are the exception.

        Raises:
            ProofError: they are more than :data:`CROSSED` of those that were compared.
        """
        if self.crossed > CROSSED * self.levels:
            raise ProofError(
                f"{self.crossed} of {self.levels} samples differ from PyTorch's from a number on that lies at the edge "
                "of two levels, which is more than rounding explains",
                hint="The bundle was not written. Look for operations that lose precision in float32.",
            )

    def describe(self) -> dict[str, object]:
        """As JSON values."""
        return {"symbols": self.symbols, "flipped": self.flipped, "largest_margin": float(f"{self.largest:.1e}")}

    def told(self) -> str:
        """In words; empty if there was nothing to accept."""
        if self.crossed:
            return (
                f"{self.crossed} samples differ between ONNX Runtime, PyTorch and float64 from a number on that lies "
                "at the edge of two levels, where rounding may put it into either"
            )
        if not self.flipped:
            return ""
        return (
            f"{self.flipped} samples have another symbol in ONNX Runtime where the best two are apart by at most "
            f"{self.largest:.1e}, which is rounding; {self.symbols:,} symbols were compared"
        )
