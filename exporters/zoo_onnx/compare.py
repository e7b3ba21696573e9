"""When two arrays are the same, for the purpose of a proof."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.bundle.differences import TOLERANCE, relative_difference
from zoo.errors import ProofError

Array = NDArray[Any]

#: how many times what a last bit does rounding may take a float32 program from float64: every operation of it rounds,
#: where the measure moves inputs and weights alone. On inputs at which a deep Glow loses three digits, PyTorch was off
#: by 0.3 to 1 times the measure
ROUNDINGS = 16.0
#: the largest distance from float64 that float64 is asked about at all, in units of (unit + \|value\|)
SMALL = 0.1


@dataclass(frozen=True)
class Sides:
    """What is compared, in words: ``given`` with ``wanted``."""

    given: str = "ONNX Runtime"
    wanted: str = "PyTorch"


@dataclass
class Judged:
    """Values further apart than is tolerated, let through since float64 says that both are as near as rounding goes.

    Attributes:
        cases: how many comparisons.
        where: of the worst of them.
        given: its distance from float64, of ONNX Runtime.
        wanted: that of PyTorch.
        bound: what rounding was measured to allow there, or to allow at least.
    """

    cases: int
    where: str
    given: float
    wanted: float
    bound: float


class Comparison:
    """Compares what ONNX Runtime gives with what PyTorch gives, and remembers the largest difference.

    Two values are the same if they differ by no more than ``tolerance``·(``unit`` + \\|value\\|), or are the same
    infinity, or are both not a number. Where a model amplifies rounding, so that two correct float32 programs differ by
    more, the same computation in float64 is asked. How far rounding may take a float32 program is measured: float64
    again, with every input and every weight moved by one unit in the last place of float32, a few times. Both sides
    must then lie within :data:`ROUNDINGS` times the largest change that this makes, and within :data:`SMALL`. What was
    let through so is kept in :attr:`judged`.
    """

    def __init__(self, tolerance: float = TOLERANCE) -> None:
        self.tolerance = tolerance
        #: what was compared -> the largest difference found, in units of (unit + |value|)
        self.largest: dict[str, float] = {}
        #: what was compared -> what float64 let through
        self.judged: dict[str, Judged] = {}

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
            what: e.g. ``"graph step, output denoised"``; largest differences are kept for each.
            where: on which inputs.
            actual: from ONNX Runtime.
            expected: from PyTorch, in float32.
            exact: gives what PyTorch gives in float64; called only when the others differ.
            moved: gives the same for inputs and weights moved by a last bit of float32; called only when that counts.
            unit: absolute size of a difference of 1.
            sides: what the two are called; None for ONNX Runtime and PyTorch.

        Raises:
            ProofError: they are not the same.
        """
        named = Sides() if sides is None else sides
        if actual.shape != expected.shape or actual.dtype != expected.dtype:
            raise ProofError(
                f"{what} is {actual.dtype}{list(actual.shape)} in {named.given} and "
                f"{expected.dtype}{list(expected.shape)} in {named.wanted}, {where}"
            )
        difference = relative_difference(actual, expected, unit)
        if not difference > self.tolerance:
            self.largest[what] = max(self.largest.get(what, 0.0), difference)
            return
        reference = np.asarray(exact())
        given, wanted = (relative_difference(each, reference, unit) for each in (actual, expected))
        bound, said = 0.0, ""
        if max(given, wanted) <= SMALL:
            bound = self._bound(moved(), reference, unit, max(given, wanted))
            said = f"; rounding explains {bound:.2g}"
        if max(given, wanted) <= bound:
            self._let_through(what, where, given, wanted, bound)
            return
        raise ProofError(
            f"{what} differs by {_say(difference)} between {named.given} and {named.wanted}, {where}; tolerated is "
            f"{self.tolerance:g}. From float64, {named.given} is off by {_say(given)} and {named.wanted} by "
            f"{_say(wanted)}{said}",
            hint="The bundle was not written. Look for operations that lose precision or overflow in float32.",
        )

    def _bound(self, moved: Iterable[Array], reference: Array, unit: float, enough: float) -> float:
        """How far rounding may take a float32 program, measured until it is ``enough``."""
        bound = self.tolerance
        for each in moved:
            if bound >= enough:
                break
            rounding = relative_difference(np.asarray(each), reference, unit)
            bound = max(bound, min(ROUNDINGS * rounding, SMALL))
        return bound

    def _let_through(self, what: str, where: str, given: float, wanted: float, bound: float) -> None:
        before = self.judged.get(what)
        cases = 1 if before is None else before.cases + 1
        if before is None or max(given, wanted) > max(before.given, before.wanted):
            self.judged[what] = Judged(cases, where, given, wanted, bound)
        else:
            before.cases = cases


def _say(difference: float) -> str:
    return f"{difference:.2g}" if np.isfinite(difference) else "values that are not finite"
