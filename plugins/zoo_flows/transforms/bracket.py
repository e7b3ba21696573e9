"""The root of an increasing function inside a bracket, in a fixed number of steps and without a branch on values.

Newton's method converges fast, where it converges; bisection always does, slowly. Each step here is Newton's, unless
it would leave the bracket, which shrinks around the root, or progress too little; then it goes to the bracket's middle.
So it is never worse than a bisection of half as many steps, and near the root the correct digits double with each step.
"""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable, Sequence
from typing import ClassVar

import torch
from torch import Tensor

from zoo.overriding import override
from zoo_flows.transforms.maps import Map
from zoo_flows.transforms.precision import at_least_single

#: steps shorter than this, relative to 1 + |x|, are Newton's whatever the bracket
_SMALL = 1e-4

#: x, low, high, and the length of the last step
State = tuple[Tensor, Tensor, Tensor, Tensor]


def begin(low: Tensor, high: Tensor) -> State:
    """Before the first step: x is in the middle of [low, high], which holds the root."""
    return 0.5 * (low + high), low, high, high - low


def step(function: Callable[[Tensor], tuple[Tensor, Tensor]], target: Tensor, state: State) -> State:
    """One step towards function(x) = target.

    Args:
        function: from x to the value of an increasing function and its slope, above 0.
        target: the value to reach.
        state: before the step.
    """
    x, low, high, before = state
    value, slope = function(x)
    short = target - value
    low, high = torch.where(short > 0, x, low), torch.where(short < 0, x, high)
    newton = x + short / slope
    inside = (newton >= low) & (newton <= high) & (2.0 * short.abs() <= before * slope)
    # at the limit of precision steps do not get shorter, and the root may lie an ulp outside
    near = short.abs() <= _SMALL * (1.0 + x.abs()) * slope
    after = torch.where(inside | near, newton, 0.5 * (low + high))
    return after, low, high, (after - x).abs()


class IterativeMap(Map):
    """A :class:`~zoo_flows.transforms.maps.Map` whose inverse is found so; graphs repeat one step of it.

    Attributes:
        steps: how many, at most; a test looks for parameters that need more.
    """

    steps: ClassVar[int] = 32

    @abstractmethod
    def prepared(self, parameters: Tensor) -> tuple[Tensor, ...]:
        """The constants of all steps, ``[k, ...]`` each, computed from the parameters."""

    @abstractmethod
    def ends(self, z: Tensor, prepared: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """Two numbers between which the inverse of z lies."""

    @abstractmethod
    def values(self, x: Tensor, prepared: Sequence[Tensor]) -> tuple[Tensor, Tensor]:
        """z and its slope."""

    @override
    def forward(self, x: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        z, slope = self.values(x, self.prepared(parameters))
        return z, torch.log(slope)

    @override
    def inverse(self, z: Tensor, parameters: Tensor) -> Tensor:
        """Gradients are those of (z - f(x))/f'(x), at the root x.

        16 bits are too few to find a root: such values are solved for in float32, and rounded.
        """
        dtype = z.dtype
        z, parameters = (value.to(at_least_single(dtype)) for value in (z, parameters))
        target, prepared = z.detach(), self.prepared(parameters.detach())
        state = self.begin(target, prepared)
        for _ in range(self.steps):
            arrived = not torch.compiler.is_compiling() and _nearly(state)
            state = self.step(target, prepared, state)
            if arrived:
                break  # graphs take the remaining steps too, but nothing moves any more
        x = state[0]
        if z.requires_grad or parameters.requires_grad:
            value, slope = self.values(x, self.prepared(parameters))
            move = (z - value) / slope.detach()
            x = x + (move - move.detach())
        return x.to(dtype)

    @override
    def inverse_with_slope(self, z: Tensor, parameters: Tensor) -> tuple[Tensor, Tensor]:
        x = self.inverse(z, parameters)
        return x, -self.forward(x, parameters)[1]

    def begin(self, z: Tensor, prepared: Sequence[Tensor]) -> State:
        """Before the first step."""
        return begin(*self.ends(z, prepared))

    def step(self, z: Tensor, prepared: Sequence[Tensor], state: State) -> State:
        """One step towards f(x) = z."""
        return step(lambda x: self.values(x, prepared), z, state)


def _nearly(state: State) -> bool:
    """Whether one more step gives all samples all digits: Newton's method doubles them."""
    x, *_, last = state
    return bool((last <= torch.finfo(x.dtype).eps ** (2 / 3) * (1.0 + x.abs())).all())
