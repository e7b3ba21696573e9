"""Continuous transforms: the flow of a differential equation (Chen et al. 2018, arXiv:1806.07366).

Integrated by the classical Runge-Kutta method of order 4, in equal steps: the same number of evaluations for every
point, without branches on values, one iteration of a ``Loop`` per step in a graph.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.overriding import override
from zoo.programs.graph_writing import GraphBuilder, Value
from zoo_flows.transforms.base import ITERATIVE_WAYS, Direction, Transform
from zoo_flows.transforms.velocity import VelocityMLP, random_signs, unit_vectors

#: from a place and a time to the velocity ``[n, d]`` and the rates ``[n]`` that are integrated along the trajectory
Rates = Callable[[Tensor, Tensor], tuple[Tensor, ...]]
_FLOAT = 1  # as ONNX numbers its types
#: halving the steps divides the error by 2⁴, so the difference shows 15/16 of it
_RICHARDSON = 16.0 / 15.0


class Way(NamedTuple):
    """The end of a trajectory from data to noise, and integrals along it over time, ``[n]`` each.

    Attributes:
        z: its end, ``[n, d]``.
        log_det: of the divergence: log |det ∂z/∂x|.
        kinetic: of ‖f‖² (Finlay et al. 2020, eq. 9).
        frobenius: of ‖∂f/∂x‖², squared and summed over all elements (eq. 14).
    """

    z: Tensor
    log_det: Tensor
    kinetic: Tensor
    frobenius: Tensor


class Continuous(Transform):
    """z = x(1) of dx/dt = f(x, t; context) from x(0) = x; its inverse follows the same trajectory backwards.

    Data are at t = 0 and noise at t = 1. Trajectories never cross, so the map is invertible for any smooth f, and the
    logarithm of the volume changes by the divergence of f (Chen et al. 2018, theorem 1)::

        log |det ∂z/∂x| = ∫ tr ∂f/∂x dt

    Integration in steps of h is inverse and exact up to terms of h⁴: :func:`step_doubling_error`
    estimates them.

    The divergence is exact, of d derivatives. Where ``exact`` is less than d, training takes Hutchinson's estimate
    instead, with one random direction that each sample keeps all the way, from data to noise (Grathwohl et al. 2019,
    arXiv:1810.01367, section 3.1); in evaluation, in the inverse and in exported graphs it is exact for any d.

    Args:
        network: f.
        steps: how many steps from end to end, of four evaluations each.
        exact: the largest d whose divergence is exact in training.

    Raises:
        ConfigError: no steps.
    """

    sequential: frozenset[Direction] = frozenset({"forward", "inverse"})
    written = sequential
    ways = ITERATIVE_WAYS

    def __init__(self, network: VelocityMLP, *, steps: int = 32, exact: int = 16) -> None:
        super().__init__()
        if steps < 1:
            raise ConfigError(f"the integration from data to noise needs 1 step or more, not {steps}")
        self.network, self.steps, self.exact = network, steps, exact

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_det = self._integrated(x, _diverging(self.network, context, self._directions(x)))
        return z, log_det

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_det = self._integrated(z, _diverging(self.network, context, unit_vectors(z)), direction="inverse")
        return x, log_det

    @override
    def data(self, z: Tensor, context: Tensor | None = None) -> Tensor:
        """Without the derivatives, one evaluation instead of 1 + d."""
        (x,) = self._integrated(z, lambda y, t: (self.network(y, t, context),), direction="inverse")
        return x

    def way(self, x: Tensor, context: Tensor | None = None) -> Way:
        """:meth:`forward`, with what regularisers look at."""
        directions = self._directions(x)

        def rates(y: Tensor, t: Tensor) -> tuple[Tensor, ...]:
            velocity, derivatives = self.network.pushed(y, t, context, directions)
            divergence = (directions * derivatives).sum((0, 2))
            return velocity, divergence, velocity.square().sum(1), derivatives.square().sum((0, 2))

        return Way(*self._integrated(x, rates))

    @override
    def write(
        self,
        builder: GraphBuilder,
        direction: Direction,
        way: str,
        value: Value,
        context: Value | None,
        *,
        log_det: bool,
    ) -> tuple[Value, Value | None]:
        """A step is traced once; steps are the turns of a ``Loop``, or follow one another."""
        start, h = _grid(direction, self.steps)
        step = _Step(self.network, h, log_det=log_det)
        contexts = [] if context is None else [(context, ("batch", self._context_size()))]

        def turn(inner: GraphBuilder, number: Value, state: Sequence[Value]) -> list[Value]:
            if isinstance(number, int):
                time = np.array([start + number * h], np.float32)
            else:
                turns = inner("Unsqueeze", inner("Cast", number, to=_FLOAT), inner.integers(0))
                time = inner("Add", inner("Mul", turns, np.array(h, np.float32)), np.array(start, np.float32))
            after = inner.call(step, (state[0], ("batch", self.network.size)), (time, (1,)), *contexts)
            return [after[0], *(inner("Add", a, b) for a, b in zip(state[1:], after[1:], strict=True))]

        state = [value]
        if log_det:
            n = builder("Slice", builder("Shape", value), builder.integers(0), builder.integers(1))
            state.append(builder("Expand", np.zeros(1, np.float32), n))
        if way == "loop":
            state = builder.loop(self.steps, state, turn)
        else:
            for number in range(self.steps):
                state = turn(builder, number, state)
        return state[0], state[1] if log_det else None

    def _context_size(self) -> int:
        return 0 if self.network.context is None else self.network.context.in_features

    def _directions(self, x: Tensor) -> Tensor:
        return random_signs(x) if self.training and self.network.size > self.exact else unit_vectors(x)

    def _integrated(
        self, x: Tensor, rates: Rates, *, direction: Direction = "forward", refined: int = 1
    ) -> tuple[Tensor, ...]:
        """x at the other end, and the integrals of the other rates; in ``refined`` times as many steps."""
        steps = refined * self.steps
        start, h = _grid(direction, steps)
        sums: tuple[Tensor, ...] = ()
        for number in range(steps):
            x, *more = step(rates, x, x.new_full((1,), start + number * h), h)
            sums = tuple(a + b for a, b in zip(sums, more, strict=True)) if sums else tuple(more)
        return x, *sums


def _diverging(network: VelocityMLP, context: Tensor | None, directions: Tensor) -> Rates:
    """Velocity and divergence."""

    def rates(x: Tensor, t: Tensor) -> tuple[Tensor, ...]:
        velocity, derivatives = network.pushed(x, t, context, directions)
        return velocity, (directions * derivatives).sum((0, 2))

    return rates


class _Step(nn.Module):
    """The traced step, from x, time and context to x and, if wanted, what it adds to the log-determinant."""

    def __init__(self, network: VelocityMLP, h: float, *, log_det: bool) -> None:
        super().__init__()
        self.network, self.h, self.log_det = network, h, log_det

    def forward(self, x: Tensor, t: Tensor, context: Tensor | None = None) -> tuple[Tensor, ...]:
        if self.log_det:
            return step(_diverging(self.network, context, unit_vectors(x)), x, t, self.h)
        return step(lambda y, time: (self.network(y, time, context),), x, t, self.h)


def step(rates: Rates, x: Tensor, t: Tensor, h: float) -> tuple[Tensor, ...]:
    """One step of the classical Runge-Kutta method.

    Args:
        rates: velocity and rates at a place and a time.
        x: ``[n, d]``.
        t: the time, ``[1]``.
        h: the step; negative backwards in time.

    Returns:
        x after it, and the increments of the other rates' integrals, ``[n]`` each.
    """
    one = rates(x, t)
    two = rates(x + 0.5 * h * one[0], t + 0.5 * h)
    three = rates(x + 0.5 * h * two[0], t + 0.5 * h)
    four = rates(x + h * three[0], t + h)
    change, *more = (h / 6.0 * (a + 2.0 * (b + c) + d) for a, b, c, d in zip(one, two, three, four, strict=True))
    return x + change, *more


@torch.no_grad()
def step_doubling_error(
    transform: Continuous, x: Tensor, context: Tensor | None = None, *, direction: Direction = "forward"
) -> tuple[Tensor, Tensor]:
    """The integration error, estimated by integrating again with twice as many steps.

    Args:
        transform: the transform.
        x: where to start, ``[n, d]``: data, or noise for the inverse.
        context: ``[n, c]``, or None.
        direction: of time.

    Returns:
        estimates of the largest component's error and of the log-determinant's, ``[n]`` each, for an f smooth
        enough for the order of the method; they include rounding.
    """
    rates = _diverging(transform.network, context, unit_vectors(x))
    (once, once_log_det), (twice, twice_log_det) = (
        transform._integrated(x, rates, direction=direction, refined=refined) for refined in (1, 2)
    )
    return _RICHARDSON * (once - twice).abs().amax(1), _RICHARDSON * (once_log_det - twice_log_det).abs()


def _grid(direction: Direction, steps: int) -> tuple[float, float]:
    """When time starts, and how long a step is."""
    return (0.0, 1.0 / steps) if direction == "forward" else (1.0, -1.0 / steps)
