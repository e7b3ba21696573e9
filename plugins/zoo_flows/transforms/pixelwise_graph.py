"""The inverse of :class:`~zoo_flows.transforms.pixelwise.Pixelwise`, written into a graph.

A step takes what each convolution sees of the pixels before to the pixel, and what later ones see of it. It is traced
once; the weights are its inputs. ``loop`` writes a ``Loop`` of as many turns as there are pixels, whose state is, for
each convolution, as many pixels as the taps go back; ``unroll`` writes the steps one after the other.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from torch import Tensor, nn

from zoo.programs.graph_writing import GraphBuilder, Value
from zoo.programs.ports import Dim
from zoo_flows.transforms.maps import Map
from zoo_flows.transforms.masked_convolutions import MaskedCNN, MaskedConvolution, Solve


def write(builder: GraphBuilder, way: str, network: MaskedCNN, map: Map, z: Value, context: Value | None) -> Value:
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
    channels, width, pixels = network.channels, network.width, network.height * network.columns

    def zeros(*sizes: int) -> Value:
        return builder("ConstantOfShape", builder("Concat", n, builder.integers(*sizes), axis=0))

    noise = builder("Reshape", z, builder.integers(-1, channels, pixels))
    position = builder.constant(np.ascontiguousarray(network.position.flatten(1).numpy().T))
    shift = zeros(width)
    if network.context is not None and context is not None:
        shift = builder("MatMul", context, builder.constant(np.ascontiguousarray(network.context.weight.numpy().T)))
    step = _Step.of(network, map)
    weights = [(builder.constant(w.numpy()), tuple(w.shape)) for w in _weights(network).values()]
    views = [_View.of(each, network.height, network.columns) for each in network.convolutions()]

    def turn(builder: GraphBuilder, index: Value, state: Sequence[Value]) -> list[Value]:
        done, *kept = state
        near: list[tuple[Value, tuple[Dim, ...]]] = []
        for memory, view in zip(kept, views, strict=True):
            seen = builder("Gather", memory, builder.integers(*view.places), axis=1)
            inside = builder("Gather", builder.constant(view.inside), index, axis=0)
            near.append((builder("Mul", seen, inside), ("batch", len(view.places), view.inputs)))
        here = builder("Add", shift, builder("Gather", position, index, axis=0))
        pixel, *latest = builder.call(
            step,
            (here, ("batch", width)),
            (builder("Gather", noise, index, axis=2), ("batch", channels)),
            *near,
            *weights,
        )
        end, one = builder.integers(np.iinfo(np.int64).max), builder.integers(1)
        moved = [
            builder("Concat", builder("Slice", memory, one, end, one), builder("Unsqueeze", each, one), axis=1)
            for memory, each in zip(kept, latest, strict=True)
        ]
        return [builder("Concat", done, builder("Unsqueeze", pixel, builder.integers(2)), axis=2), *moved]

    # pixels that are none: before the first, zeros
    state = [zeros(channels, 0), *(zeros(view.back, view.inputs) for view in views)]
    if way == "loop":
        done = builder.loop(pixels, state, turn)[0]
    else:
        for index in range(pixels):
            state = turn(builder, builder.constant(np.array(index)), state)
        done = state[0]
    return builder("Reshape", done, builder.integers(-1, network.size))


def solution(map: Map, z: Tensor) -> Solve:
    """Finds the channels of a pixel from their noise.

    Args:
        map: of each component.
        z: noise of the pixel, ``[n, channels]``.
    """

    def solve(channel: int, parameters: Tensor) -> Tensor:
        return map.inverse(z[:, channel].unsqueeze(0), parameters.movedim(1, 0)).squeeze(0)

    return solve


@dataclass(frozen=True)
class _View:
    """How a convolution sees a memory of the latest pixels.

    Attributes:
        back: pixels in it.
        inputs: numbers of each.
        places: of the taps in it.
        inside: whether each tap of each pixel is within the image to the left and right, ``[pixels, taps, 1]``.
    """

    back: int
    inputs: int
    places: tuple[int, ...]
    inside: np.ndarray

    @classmethod
    def of(cls, convolution: MaskedConvolution, height: int, width: int) -> _View:
        # taps farther to a side than the image is wide see nothing of it
        back = [-up * width - side if abs(side) < width else 1 for up, side in convolution.taps]
        columns = np.arange(height * width)[:, None] % width + np.array([side for _, side in convolution.taps])
        inside = ((columns >= 0) & (columns < width)).astype(np.float32)[:, :, None]
        most = max(back)
        return cls(most, convolution.inputs, tuple(most - each for each in back), inside)


def _weights(network: MaskedCNN) -> dict[str, Tensor]:
    """Those that a step needs."""
    outside = ("position", "context.weight")
    return {name: weight for name, weight in network.named_parameters() if name not in outside}


@dataclass(frozen=True)
class _Step:
    """A step with its weights as inputs; equal for networks of the same sizes and the same map."""

    sizes: tuple[int | None, ...]
    map: Map
    module: nn.Module = field(compare=False)
    names: tuple[str, ...] = field(compare=False)

    @classmethod
    def of(cls, network: MaskedCNN, map: Map) -> _Step:
        shapes = {name: tuple(weight.shape) for name, weight in _weights(network).items()}
        sizes = (network.channels, network.levels, *(size for shape in shapes.values() for size in shape))
        return cls(sizes, map, _Module(network, map), tuple(f"network.{name}" for name in shapes))

    def __call__(self, shift: Tensor, z: Tensor, *rest: Tensor) -> tuple[Tensor, ...]:
        near, weights = rest[: -len(self.names)], rest[-len(self.names) :]
        named = dict(zip(self.names, weights, strict=True))
        outputs: tuple[Tensor, ...] = torch.func.functional_call(self.module, named, (shift, z, *near))
        return outputs


class _Module(nn.Module):
    """Shift and noise of a pixel, and what is near, to the pixel and what later ones see of it."""

    def __init__(self, network: MaskedCNN, map: Map) -> None:
        super().__init__()
        self.network, self.map = network, map

    def forward(self, shift: Tensor, z: Tensor, *near: Tensor) -> tuple[Tensor, ...]:
        pixel, _, seen = self.network.step(shift, near, solution(self.map, z))
        return pixel, *seen
