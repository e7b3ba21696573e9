"""When a proof considers two arrays equal."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

import numpy as np

from zoo.arrays import Array
from zoo.bundle.differences import TOLERANCE, relative_difference
from zoo.errors import ProofError
from zoo_onnx.flips import Flips
from zoo_onnx.nearer import Nearer

#: how far rounding may take a float32 program from float64, in multiples of the effect of one last bit: every operation
#: rounds, where the measure moves inputs and weights alone. On inputs at which a deep Glow loses three digits, PyTorch
#: was off by 0.3 to 1 times the measure
ROUNDINGS = 16.0
#: the largest distance from float64 that can be excused by rounding, in units of (unit + \|value\|)
SMALL = 0.1


@dataclass(frozen=True)
class Sides:
    """What the two sides of a comparison are called in messages."""

    actual: str = "ONNX Runtime"
    expected: str = "PyTorch"


@dataclass
class Judged:
    """Values that differ by more than the tolerance, accepted because both are as close to float64 as rounding allows.

    Attributes:
        cases: how many comparisons.
        where: the inputs of the worst one.
        actual_error: the distance of the first side (ONNX Runtime) from float64.
        expected_error: the distance of the second side (PyTorch) from float64.
        bound: the error that rounding was measured to explain there, or a lower bound of it.
    """

    cases: int
    where: str
    actual_error: float
    expected_error: float
    bound: float


class Comparison:
    """Compares the results of ONNX Runtime and PyTorch, and remembers the largest difference.

    Two values are the same if they differ by no more than ``tolerance``·(``unit`` + \\|value\\|), or are the same
    infinity, or are both NaN. Where a model amplifies rounding, so that two correct float32 programs differ by more,
    both are compared with float64. How far rounding may take a float32 program is measured: the float64
    computation is repeated a few times with every input and weight moved by one unit in the last place of
    float32. Both sides must then lie within :data:`ROUNDINGS` times the largest change observed, and within
    :data:`SMALL`. Cases accepted this way are recorded in :attr:`judged`.
    """

    def __init__(self, tolerance: float = TOLERANCE, flips: Flips | None = None) -> None:
        self.tolerance = tolerance
        #: what was compared -> the largest difference, in units of (unit + |value|)
        self.largest: dict[str, float] = {}
        #: what was compared -> the differences accepted because of float64
        self.judged: dict[str, Judged] = {}
        #: symbols and levels that rounding drew differently
        self.flips = Flips() if flips is None else flips
        #: graph -> the noise that was taken nearer, to where float32 has digits
        self.nearer: dict[str, Nearer] = {}

    def check(
        self,
        what: str,
        where: str,
        actual: Array,
        expected: Array,
        *,
        exact: Callable[[], Array],
        moved: Callable[[], Iterable[Array]] = tuple,
        unit: float = 1.0,
        sides: Sides | None = None,
    ) -> None:
        """Compare.

        Args:
            what: e.g. ``"graph step, output denoised"``; the largest difference is kept for each.
            where: on which inputs.
            actual: from ONNX Runtime.
            expected: from PyTorch, in float32.
            exact: computes the result of PyTorch in float64; called only if the others differ.
            moved: the same with inputs and weights moved by a last bit of float32; used only if needed.
            unit: absolute size of a difference of 1.
            sides: the names of the two; None for ONNX Runtime and PyTorch.

        Raises:
            ProofError: they differ.
        """
        named = Sides() if sides is None else sides
        if actual.shape != expected.shape or actual.dtype != expected.dtype:
            raise ProofError(
                f"{what} is {actual.dtype}{list(actual.shape)} in {named.actual} and "
                f"{expected.dtype}{list(expected.shape)} in {named.expected}, {where}"
            )
        actual = self.flips.at_edges(actual, expected)
        difference = relative_difference(actual, expected, unit)
        if not difference > self.tolerance:
            self.largest[what] = max(self.largest.get(what, 0.0), difference)
            return
        reference = np.asarray(exact())
        actual_error, expected_error = (self._off(each, reference, unit) for each in (actual, expected))
        bound, said = 0.0, ""
        if max(actual_error, expected_error) <= SMALL:
            bound = self._bound(moved(), reference, unit, max(actual_error, expected_error))
            said = f"; rounding explains {bound:.2g}"
        if max(actual_error, expected_error) <= bound:
            self._let_through(what, where, actual_error, expected_error, bound)
            return
        raise ProofError(
            f"{what} differs by {_say(difference)} between {named.actual} and {named.expected}, {where}; the tolerance "
            f"is "
            f"{self.tolerance:g}. From float64, {named.actual} is off by {_say(actual_error)} and {named.expected} by "
            f"{_say(expected_error)}{said}",
            hint="The bundle was not written. Look for operations that lose precision or overflow in float32.",
        )

    def _bound(self, moved: Iterable[Array], reference: Array, unit: float, enough: float) -> float:
        """How far rounding may take a float32 program, measured until it reaches ``enough``."""
        bound = self.tolerance
        for each in moved:
            if bound >= enough:
                break
            rounding = self._off(np.asarray(each), reference, unit, counted=False)
            bound = max(bound, min(ROUNDINGS * rounding, SMALL))
        return bound

    def _off(self, values: Array, reference: Array, unit: float, *, counted: bool = True) -> float:
        """The distance from float64, which an edge of two levels may have sent another way too."""
        return relative_difference(self.flips.at_edges(values, reference, counted=counted), reference, unit)

    def _let_through(self, what: str, where: str, actual_error: float, expected_error: float, bound: float) -> None:
        before = self.judged.get(what)
        cases = 1 if before is None else before.cases + 1
        if before is None or max(actual_error, expected_error) > max(before.actual_error, before.expected_error):
            self.judged[what] = Judged(cases, where, actual_error, expected_error, bound)
        else:
            before.cases = cases


def _say(difference: float) -> str:
    return f"{difference:.2g}" if np.isfinite(difference) else "values that are not finite"
