"""When two arrays are the same, for the purpose of a proof."""

from __future__ import annotations

from collections.abc import Callable
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
    what PyTorch gives, within a factor of two.
    """

    def __init__(self, tolerance: float = TOLERANCE) -> None:
        self.tolerance = tolerance
        #: what was compared -> the largest difference found, in units of (unit + |value|)
        self.largest: dict[str, float] = {}

    def check(
        self, what: str, where: str, actual: Array, expected: Array, *, exact: Callable[[], Array], unit: float = 1.0
    ) -> None:
        """Compare.

        Args:
            what: e.g. ``"graph step, output denoised"``; largest differences are kept for each.
            where: on which inputs.
            actual: from ONNX Runtime.
            expected: from PyTorch, in float32.
            exact: gives what PyTorch gives in float64; called only when the others differ.
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
        if np.isfinite(torch) and onnx <= max(self.tolerance, 2 * torch):
            key = f"{what}, beyond PyTorch's own error"
            self.largest[key] = max(self.largest.get(key, 0.0), onnx - torch)
            return
        raise ProofError(
            f"{what} differs by {_say(difference)} between ONNX Runtime and PyTorch, {where}; tolerated is "
            f"{self.tolerance:g}. From float64, ONNX Runtime is off by {_say(onnx)} and PyTorch by {_say(torch)}",
            hint="The bundle was not written. Look for operations that lose precision or overflow in float32.",
        )


def _say(difference: float) -> str:
    return f"{difference:.2g}" if np.isfinite(difference) else "values that are not finite"
