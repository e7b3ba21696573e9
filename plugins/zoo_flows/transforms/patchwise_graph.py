"""The inverse of :class:`~zoo_flows.transforms.patchwise.Patchwise`, written into a graph with a key/value cache.

A step takes a token, and the keys and values of those before it, to the patch and the next token. It is traced once for
all transforms of a flow: their weights are inputs of the traced graph. ``loop`` writes a ``Loop`` of as many turns as
there are patches, whose state is the cache; ``unroll`` writes the steps one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from zoo.programs.graph_writing import GraphBuilder, Value
from zoo.programs.ports import Dim
from zoo_flows.transforms.causal import CausalTransformer, Extend, Solve
from zoo_flows.transforms.maps import Map


def write(
    builder: GraphBuilder, way: str, network: CausalTransformer, map: Map, z: Value, context: Value | None
) -> Value:
    """Noise ``[n, d]`` to data ``[n, d]``.

    Args:
        builder: the graph.
        way: ``"unroll"`` or ``"loop"``.
        network: frozen.
        map: whose parameters it makes.
        z: noise.
        context: ``[n, c]``, or None.
    """
    n = builder("Slice", builder("Shape", z), builder.integers(0), builder.integers(1))
    heads, width, patch = network.heads, network.width, network.patch

    def zeros(*sizes: int) -> Value:
        return builder("ConstantOfShape", builder("Concat", n, builder.integers(*sizes), axis=0))

    parts = builder("Reshape", z, builder.integers(-1, network.tokens, patch))
    position = builder.constant(network.position.numpy())
    shift = zeros(width)
    if network.context is not None and context is not None:
        shift = builder("MatMul", context, builder.constant(np.ascontiguousarray(network.context.weight.numpy().T)))
    step = _Step.of(network, map)
    weights = [(builder.constant(w.numpy()), tuple(w.shape)) for w in dict(network.named_parameters()).values()]
    cache: tuple[Dim, ...] = ("batch", heads, "past", width // heads)

    def turn(builder: GraphBuilder, index: Value, state: Sequence[Value]) -> list[Value]:
        done, embedded, *past = state
        here = builder("Gather", position, index, axis=0)
        # a window is embedded by the step itself: nothing is known of its token before
        token = shift if network.windowed else builder("Add", embedded, shift)
        recent = [(latest(builder, done), ("batch", network.reach, patch))] if network.windowed else []
        out = builder.call(
            step,
            (builder("Add", token, here), ("batch", width)),
            (builder("Gather", parts, index, axis=1), ("batch", patch)),
            *recent,
            *((each, cache) for each in past),
            *weights,
        )
        x, *rest = out
        return [builder("Concat", done, builder("Unsqueeze", x, builder.integers(1)), axis=1), *rest]

    def latest(builder: GraphBuilder, done: Value) -> Value:
        end = builder.integers(np.iinfo(np.int64).max)
        return builder("Slice", done, builder.integers(-network.reach), end, builder.integers(1))

    # the first token has no patch, and nothing comes before it but the zeros of a window
    before = network.reach if network.windowed else 0
    state = [
        zeros(before, patch),
        zeros(width),
        *(zeros(heads, 0, width // heads) for _ in range(2 * len(network.blocks))),
    ]
    if way == "loop":
        done = builder.loop(network.tokens, state, turn)[0]
    else:
        for index in range(network.tokens):
            state = turn(builder, builder.constant(np.array(index)), state)
        done = state[0]
    if before:
        end = builder.integers(before + network.tokens)
        done = builder("Slice", done, builder.integers(before), end, builder.integers(1))
    return builder("Reshape", done, builder.integers(-1, network.size))


def solution(map: Map, z: Tensor) -> Solve:
    """Finds components of a patch from their noise.

    Args:
        map: of each component.
        z: noise of the patch, ``[n, patch]``.
    """

    def solve(at: slice, parameters: Tensor) -> Tensor:
        return map.inverse(z[:, at].unsqueeze(0), parameters.movedim(2, 0)).squeeze(0)

    return solve


@dataclass(frozen=True)
class _Step:
    """A step with its weights as inputs; equal for networks of the same sizes and the same map."""

    sizes: tuple[int, ...]
    map: Map
    module: nn.Module = field(compare=False)
    names: tuple[str, ...] = field(compare=False)

    @classmethod
    def of(cls, network: CausalTransformer, map: Map) -> _Step:
        shapes = {name: tuple(weight.shape) for name, weight in network.named_parameters()}
        sizes = (network.heads, network.patch, *network.window, *(size for shape in shapes.values() for size in shape))
        return cls(sizes, map, _Module(network, map), tuple(f"network.{name}" for name in shapes))

    def __call__(self, token: Tensor, z: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        past, weights = rest[: -len(self.names)], rest[-len(self.names) :]
        named = dict(zip(self.names, weights, strict=True))
        outputs: tuple[Tensor, ...] = torch.func.functional_call(self.module, named, (token, z, *past))
        return outputs


class _Module(nn.Module):
    """A token, the noise of its patch, those of a window and the cache to the patch, its token, and the cache."""

    def __init__(self, network: CausalTransformer, map: Map) -> None:
        super().__init__()
        self.network, self.map = network, map

    def forward(self, token: Tensor, z: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        past = list(rest)
        caches: list[Tensor] = []

        def extend(keys: Tensor, values: Tensor) -> Extend:
            def add(k: Tensor, v: Tensor) -> tuple[Tensor, Tensor]:
                caches.extend((torch.cat([keys, k], dim=2), torch.cat([values, v], dim=2)))
                return caches[-2], caches[-1]

            return add

        if self.network.windowed:
            recent, *past = past
            token = token + self.network.following(recent)
        pairs = zip(past[::2], past[1::2], strict=True)
        x, _ = self.network.step(token, [extend(keys, values) for keys, values in pairs], solution(self.map, z))
        # what comes after a window is not known from one patch
        return x, token if self.network.windowed else self.network.token(x), *caches
