"""When two arrays are the same, for the purpose of a proof."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from zoo.difference import TOLERANCE, relative_difference
from zoo.errors import ProofError

Array = NDArray[Any]


class Comparison:
    """Compares what ONNX Runtime gives with what PyTorch gives, and remembers the largest difference.

    Two values are the same if they differ by no more than ``tolerance``·(``unit`` + \\|value\\|), or are the same
    infinity, or are both not a number. Where a model amplifies rounding itself, so that two correct float32 programs
    differ by more, the same computation in float64 decides: what ONNX Runtime gives must then be as near to it as
    what PyTorch gives, within a factor of two; or, if PyTorch has lost the digits of single values as well, as near to
    it as is tolerated in terms of the sample's largest value, whose rounding layers spread over all of them. How far
    amplified roundings take PyTorch is a matter of chance, so it is judged by the worst of a few inputs that are the
    same but for their last bits.
    """

    def __init__(self, tolerance: float = TOLERANCE) -> None:
        self.tolerance = tolerance
        #: what was compared -> the largest difference found, in units of (unit + |value|)
        self.largest: dict[str, float] = {}

    def check(
        self,
        what: str,
        where: str,
        actual: Array,
        expected: Array,
        *,
        exact: Callable[[], Array],
        nearby: Callable[[], Iterable[tuple[Array, Array]]] = tuple,
        unit: float = 1.0,
    ) -> None:
        """Compare.

        Args:
            what: e.g. ``"graph step, output denoised"``; largest differences are kept for each.
            where: on which inputs.
            actual: from ONNX Runtime.
            expected: from PyTorch, in float32.
            exact: gives what PyTorch gives in float64; called only when the others differ.
            nearby: gives what PyTorch gives in float32 and in float64 for inputs next to these; called only when that
                counts.
            unit: absolute size of a difference of 1.

        Raises:
            ProofError: they are not the same.
        """
        if actual.shape != expected.shape or actual.dtype != expected.dtype:
            raise ProofError(
                f"{what} is {actual.dtype}{list(actual.shape)} in ONNX Runtime and "
                f"{expected.dtype}{list(expected.shape)} in PyTorch, {where}"
            )
        difference = relative_difference(actual, expected, unit)
        if not difference > self.tolerance:
            self.largest[what] = max(self.largest.get(what, 0.0), difference)
            return
        reference = np.asarray(exact())
        onnx, torch = (relative_difference(a, reference, unit) for a in (actual, expected))
        if self.tolerance < torch < onnx / 2:
            torch = max([torch, *(relative_difference(a, b, unit) for a, b in nearby())])
        spread = torch > self.tolerance and _of_largest(actual, reference, unit) <= self.tolerance
        if np.isfinite(torch) and (onnx <= max(self.tolerance, 2 * torch) or spread):
            key = f"{what}, beyond PyTorch's own error"
            self.largest[key] = max(self.largest.get(key, 0.0), onnx - torch)
            return
        raise ProofError(
            f"{what} differs by {_say(difference)} between ONNX Runtime and PyTorch, {where}; tolerated is "
            f"{self.tolerance:g}. From float64, ONNX Runtime is off by {_say(onnx)} and PyTorch by {_say(torch)}",
            hint="The bundle was not written. Look for operations that lose precision or overflow in float32.",
        )


def _of_largest(actual: Array, expected: Array, unit: float) -> float:
    """The largest difference in terms of the largest value of the same sample."""
    if not np.array_equal(np.isfinite(actual), np.isfinite(expected)):
        return math.inf
    a, b = (np.where(np.isfinite(expected), each, 0).reshape(len(expected), -1) for each in (actual, expected))
    return float((np.abs(a - b).max(1) / (unit + np.abs(b).max(1))).max())


def _say(difference: float) -> str:
    return f"{difference:.2g}" if np.isfinite(difference) else "values that are not finite"
