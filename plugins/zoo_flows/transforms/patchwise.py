"""Autoregressive over patches, conditioned by a transformer (Zhai et al. 2024, arXiv:2412.06329)."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from zoo.overriding import override
from zoo.programs.graph_writing import GraphBuilder, Value
from zoo.programs.ports import Dim
from zoo_flows.transforms import patchwise_graph
from zoo_flows.transforms.base import ITERATIVE_WAYS, Direction, Transform
from zoo_flows.transforms.causal import CausalTransformer, Extend
from zoo_flows.transforms.maps import Map
from zoo_flows.transforms.patchwise_graph import solution
from zoo_flows.transforms.precision import conditioned


class Patchwise(Transform):
    """Data to noise in one pass of a causal transformer; noise to data patch by patch::

        zᵢ = f(xᵢ; parameters(x₀ … xᵢ₋₁, context))        for patches xᵢ, component by component

    The inverse passes each token through the transformer once: the keys and values of those before it are kept. So it
    takes as many steps as there are patches, and the arithmetic of one pass.

    Args:
        size: length d of the vector.
        map: of each component.
        patch: components of a patch.
        settings: others of the :class:`~zoo_flows.transforms.causal.CausalTransformer`.
    """

    sequential: frozenset[Direction] = frozenset({"inverse"})
    written = sequential
    ways = ITERATIVE_WAYS

    def __init__(self, size: int, map: Map, *, patch: int, **settings: Any) -> None:
        super().__init__()
        self.map = map
        self.network = CausalTransformer(size, patch, map.count, **settings)

    @torch.no_grad()
    def begin(self, x: Tensor) -> None:
        """Start at the map that brings all components of ``[n, d]`` together near to normal, whatever comes before."""
        self.network.begin(self.map.fitted(x.flatten()))

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_slope = self.map.forward(x.unsqueeze(0), conditioned(self.network, x, context).movedim(2, 0))
        return z.squeeze(0), log_slope.sum((0, 2))

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        network = self.network
        n = z.shape[0]
        extend: list[Extend] = [
            _Grown() if torch.is_grad_enabled() else _Kept(network.tokens) for _ in network.layers()
        ]
        shift = network.position.unsqueeze(1).expand(-1, n, -1)
        if network.context is not None and context is not None:
            shift = shift + network.context(context)
        zeros = z.new_zeros(n, network.patch)
        # those before the first, which a window shows
        patches = [zeros] * network.reach if network.windowed else []
        token = shift[0]
        parameters: list[Tensor] = []
        for i, part in enumerate(torch.split(z, network.patch, dim=1)):
            if network.windowed:
                token = network.following(torch.stack(patches[-network.reach :], dim=1)) + shift[i]
            patch, taken = network.step(token, extend, solution(self.map, part))
            patches.append(patch)
            parameters.append(taken.movedim(2, 0))
            if i + 1 < network.tokens and not network.windowed:
                token = network.token(patches[-1]) + shift[i + 1]
        x = torch.cat(patches[-network.tokens :], dim=1)
        # the slopes of all components together, once, instead of in every step
        _, log_slope = self.map.forward(x.unsqueeze(0), torch.cat(parameters, dim=2))
        return x, -log_slope.sum((0, 2))

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
        x = patchwise_graph.write(builder, way, self.network, self.map, value, context)
        if not log_det:
            return x, None
        inputs: list[tuple[Value, tuple[Dim, ...]]] = [(x, ("batch", self.network.size))]
        if context is not None and self.network.context is not None:
            inputs.append((context, ("batch", self.network.context.in_features)))
        _, forward_log_det = builder.call(self, *inputs)
        return x, builder("Neg", forward_log_det)


class _Grown:
    """Keys and values of all tokens so far, each time in new memory, so that gradients pass."""

    def __init__(self) -> None:
        self.kept: tuple[Tensor, Tensor] | None = None

    def __call__(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if self.kept is not None:
            k, v = torch.cat([self.kept[0], k], dim=2), torch.cat([self.kept[1], v], dim=2)
        self.kept = (k, v)
        return k, v


class _Kept:
    """Keys and values of all tokens so far, in memory that holds as many as there will be."""

    def __init__(self, tokens: int) -> None:
        self.tokens, self.known = tokens, 0
        self.memory: list[Tensor] = []

    def __call__(self, k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
        if not self.memory:
            self.memory = [each.new_empty(*each.shape[:2], self.tokens, each.shape[3]) for each in (k, v)]
        for memory, each in zip(self.memory, (k, v), strict=True):
            memory[:, :, self.known] = each[:, :, 0]
        self.known += 1
        keys, values = (memory[:, :, : self.known] for memory in self.memory)
        return keys, values
