"""The root of an increasing function inside a bracket, in a fixed number of steps and without a branch on values.

Newton's method converges fast, where it converges; bisection always does, slowly. Each step here takes Newton's, unless
that leaves the bracket that shrinks around the root, or shortens the way too little, and then the middle of it. So it is
never worse than a bisection of half as many steps, and near the root the digits double with each.
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

#: shorter steps, in terms of 1 + |x|, are Newton's however much they shorten the way
_SMALL = 1e-4


def solve(
    function: Callable[[Tensor], tuple[Tensor, Tensor]],
    target: Tensor,
    low: Tensor,
    high: Tensor,
    *,
    steps: int,
    start: Tensor | None = None,
) -> Tensor:
    """x in [low, high] with function(x) = target.

    Args:
        function: from x to its value, which increases, and its slope, above 0.
        target: of values.
        low: not above the root.
        high: not below it.
        steps: how many evaluations.
        start: the first x; None takes the middle.
    """
    x = 0.5 * (low + high) if start is None else start
    before = high - low
    # where digits end, steps shorten no more
    small = _SMALL * (1.0 + x.abs())
    for _ in range(steps):
        value, slope = function(x)
        short = target - value
        low, high = torch.where(short > 0, x, low), torch.where(short < 0, x, high)
        newton = x + short / slope
        good = (newton >= low) & (newton <= high) & (2.0 * short.abs() <= before * slope)
        following = torch.where(good, newton, 0.5 * (low + high))
        before = (following - x).abs() + small
        x = following
    return x


def differentiable(x: Tensor, target: Tensor, function: Callable[[Tensor], tuple[Tensor, Tensor]]) -> Tensor:
    """The root ``x`` with the gradients that the implicit function theorem gives it: those of (target - f(x))/f'(x).

    Args:
        x: a root of function(x) = target, found without gradients.
        target: of values.
        function: see :func:`solve`; what it gives depends on what gradients are asked for.
    """
    value, slope = function(x.detach())
    step = (target - value) / slope.detach()
    return x.detach() + (step - step.detach())
