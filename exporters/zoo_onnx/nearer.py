"""Noise so far out that float32 has no digits there is taken nearer: to where it has, and no nearer than noise comes.

A proof looks at graphs of noise with noise of up to thirty deviations, which nobody draws: normals of float32 end at
5.8. A deep flow may amplify a last bit there until PyTorch itself has no two digits right, and no comparison says
anything. Only PyTorch decides that, by its own distance from float64, so that nothing which ONNX Runtime computes can
move what it is compared on.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass

import numpy as np

from zoo.arrays import Array, Float64Array
from zoo.bundle.differences import relative_difference

Feeds = dict[str, Array]

#: the distance of PyTorch from float64, in units of (unit + \|value\|), from which on it has not two digits right
_DIGITS = 0.01
#: the largest noise that is never taken nearer: beyond the largest normal of float32, 5.77
_REACH = 6.0


@dataclass
class Nearer:
    """What was compared nearer, of one graph.

    Attributes:
        cases: how many comparisons.
        share: the least share of its noise that a sample was compared with.
        pytorch: the largest distance of PyTorch from float64 where it was not compared.
    """

    cases: int = 0
    share: float = 1.0
    pytorch: float = 0.0

    def describe(self) -> dict[str, object]:
        """As JSON values."""
        # what is not finite in one of the two is infinitely far apart, which JSON has no number for
        return {"cases": self.cases, "share": self.share, "pytorch": float(f"{min(self.pytorch, 1e30):.1e}")}

    def said(self, graph: str) -> str:
        """In words."""
        return (
            f"graph {graph} has no digits in float32 for noise far beyond what is drawn, where PyTorch is off by "
            f"{self.pytorch:.2g}: {self.cases} cases were compared with less of it, down to {self.share:g} times"
        )


def nearer(
    feeds: Feeds,
    noises: Collection[str],
    compute: Callable[[Feeds], Feeds],
    exact: Callable[[Feeds], Feeds],
    unit: float,
    told: Nearer,
) -> Feeds | None:
    """Inputs of which those samples have half of their noise, or a quarter, ..., where PyTorch has no digits.

    Args:
        feeds: inputs of a graph, noises ``[n, ...]``.
        noises: the names of the inputs that are normal noise.
        compute: outputs of PyTorch in float32.
        exact: the same in float64.
        unit: absolute size of a difference of 1.
        told: where it is noted.

    Returns:
        the inputs; None if float32 has digits for all samples, or has none where noise comes.
    """
    share = np.ones(len(feeds[next(iter(noises))]))
    while True:
        near = {name: _times(value, share) if name in noises else value for name, value in feeds.items()}
        off = _off(compute(near), exact(near), unit)
        without = off > _DIGITS
        if not without.any():
            break
        far = np.max([np.abs(near[name]).reshape(len(share), -1).max(1) for name in noises], axis=0)
        if (far[without] <= _REACH).any():
            return None
        told.pytorch = max(told.pytorch, float(off.max()))
        share[without] /= 2
    if (share == 1).all():
        return None
    told.cases, told.share = told.cases + 1, min(told.share, float(share.min()))
    return near


def _times(value: Array, share: Float64Array) -> Array:
    scaled: Array = value * share.reshape(-1, *[1] * (value.ndim - 1)).astype(value.dtype)
    return scaled


def _off(outputs: Feeds, exact: Feeds, unit: float) -> Float64Array:
    """How far each sample's outputs are from float64, ``[n]``."""
    rows = [
        [relative_difference(row, right, unit) for row, right in zip(outputs[name], exact[name], strict=True)]
        for name in outputs
    ]
    return np.asarray(np.max(rows, axis=0), np.float64)
