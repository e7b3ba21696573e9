"""Contractive residual transforms (Behrmann et al. 2019, arXiv:1811.00995; Chen et al. 2019, arXiv:1906.02735)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.overriding import override
from zoo.programs.graph_writing import GraphBuilder, Value
from zoo_flows.transforms.base import ITERATIVE_WAYS, Direction, Transform
from zoo_flows.transforms.elimination import log_det as write_log_det
from zoo_flows.transforms.lipschitz import Lipschitz
from zoo_flows.transforms.precision import at_least_single
from zoo_flows.transforms.roulette import estimated_log_det

#: remaining distance to a fixed point, as a share of the distance at the start
_TOLERANCES = {torch.float32: 1e-6, torch.float64: 1e-13}

#: numbers in Jacobians and their factors at a time: 256 MB in float32
_ENTRIES = 2**26


class Residual(Transform):
    """z = x + g(x; context), where g brings points nearer to one another, by a factor of at most ``network.bound`` < 1.

    Any network can be g, without masks or parts that stay unchanged. The inverse is the fixed point of x = z - g(x),
    which iteration finds from any start, with an error of at most ‖g‖·Lᵏ after k turns (Behrmann et al. 2019,
    theorem 1 and algorithm 1). The number of turns follows from the Lipschitz constant L of g's weights: enough for
    Lᵏ = 1e-6 in float32 and 1e-13 in float64.

    log |det ∂z/∂x| is exact, from the Jacobian as a product of matrices. Where ``exact`` is less than d, training
    takes an unbiased estimate instead (:mod:`~zoo_flows.transforms.roulette`), from data to noise; in evaluation, in
    the inverse and in exported graphs it is exact for any d.

    Args:
        network: g.
        size: length d of the vector.
        exact: the largest d whose log-determinant is exact in training.
    """

    sequential: frozenset[Direction] = frozenset({"forward", "inverse"})
    written = sequential
    ways = ITERATIVE_WAYS

    def __init__(self, network: Lipschitz, size: int, *, exact: int = 64) -> None:
        super().__init__()
        if not 0.0 < network.bound < 1.0:
            raise ConfigError(f"a contraction needs a Lipschitz constant between 0 and 1, not {network.bound}")
        self.network, self.size, self.exact = network, size, exact

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        weights = self.network.weights()
        change, slopes = self._change(x, context, weights)
        if self.training and self.size > self.exact:
            log_det = estimated_log_det(
                lambda v: self.network.pulled_back(v, weights, slopes), x, bound=self.network.bound
            )
        else:
            log_det = self._log_det(weights, slopes)
        return x + change, log_det

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        weights = self.network.weights()
        with torch.no_grad():
            x = z
            for _ in range(self.turns(z.dtype)):
                x = z - self._change(x, context, weights)[0]
        if torch.is_grad_enabled():
            x = self._differentiable(x, z, context, weights)
        _, slopes = self._change(x, context, weights)
        return x, -self._log_det(weights, slopes)

    def turns(self, dtype: torch.dtype) -> int:
        """The number of turns of x = z - g(x) in ``dtype``: L to that power is the tolerance."""
        lipschitz, tolerance = self.network.lipschitz(), _TOLERANCES.get(dtype, 1e-6)
        return 1 if lipschitz <= tolerance else math.ceil(math.log(tolerance) / math.log(lipschitz))

    def frozen(self) -> Transform:
        """With weights that are within their limits."""
        return Residual(self.network.frozen(), self.size, exact=self.exact).eval()

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
        """The fixed point is a ``Loop``, or turn after turn without one."""
        if direction == "forward":
            return self._write_forward(builder, way, value, context)

        def turn(inner: GraphBuilder, _: Value, state: Sequence[Value]) -> list[Value]:
            change, _ = self.network.write(inner, state[0], context)
            return [inner("Sub", value, change)]

        turns, state = self.turns(torch.float32), [value]
        if way == "loop":
            state = builder.loop(turns, state, turn)
        else:
            for _ in range(turns):
                state = turn(builder, None, state)
        if not log_det:
            return state[0], None
        return state[0], builder("Neg", self._write_forward(builder, way, state[0], context)[1])

    def _write_forward(self, builder: GraphBuilder, way: str, x: Value, context: Value | None) -> tuple[Value, Value]:
        change, slopes = self.network.write(builder, x, context)
        matrix = builder("Add", self.network.write_jacobian(builder, slopes), np.eye(self.size, dtype=np.float32))
        return builder("Add", x, change), write_log_det(builder, way, matrix, self.size)

    def _change(self, x: Tensor, context: Tensor | None, weights: Sequence[Tensor]) -> tuple[Tensor, list[Tensor]]:
        change, slopes = self.network(x, context, weights)
        return change, slopes

    def _differentiable(self, root: Tensor, z: Tensor, context: Tensor | None, weights: Sequence[Tensor]) -> Tensor:
        """The fixed point with the gradient that the implicit function theorem gives it: one step of Newton's method.

        Nothing of the turns that found it is kept for the backward pass.
        """
        change, slopes = self._change(root, context, weights)
        matrix = _plus_identity(self.network.jacobian(weights, slopes)).detach()
        dtype = at_least_single(z.dtype)
        step: Tensor = torch.linalg.solve(matrix.to(dtype), (root + change - z).unsqueeze(2).to(dtype))
        return root - step.squeeze(2).to(z.dtype)

    def _log_det(self, weights: Sequence[Tensor], slopes: Sequence[Tensor]) -> Tensor:
        """log |det ∂z/∂x| ``[n]``, for no more samples at a time than fit into the memory set aside."""
        each = max(1, _ENTRIES // self.network.entries)
        parts = zip(*(torch.split(slope, each) for slope in slopes), strict=True)
        return torch.cat([_log_abs_det(_plus_identity(self.network.jacobian(weights, part))) for part in parts])


def _log_abs_det(matrix: Tensor) -> Tensor:
    log_det: Tensor = torch.linalg.slogdet(matrix.to(at_least_single(matrix.dtype)))[1]
    return log_det.to(matrix.dtype)


def _plus_identity(matrix: Tensor) -> Tensor:
    return matrix + torch.eye(matrix.shape[-1], dtype=matrix.dtype, device=matrix.device)
