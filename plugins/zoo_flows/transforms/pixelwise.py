"""Autoregressive over pixels, conditioned by masked convolutions (van den Oord et al. 2016, arXiv:1606.05328)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from zoo.overriding import override
from zoo.programs.graph_writing import GraphBuilder, Value
from zoo.programs.ports import Dim
from zoo_flows.transforms import pixelwise_graph
from zoo_flows.transforms.base import ITERATIVE_WAYS, Direction, Transform
from zoo_flows.transforms.maps import Map
from zoo_flows.transforms.masked_convolutions import MaskedCNN, MaskedConvolution
from zoo_flows.transforms.pixelwise_graph import solution
from zoo_flows.transforms.precision import conditioned


class Pixelwise(Transform):
    """Data to noise in one pass of a masked convolutional network; noise to data pixel by pixel::

        zᵢ = f(xᵢ; parameters(x₀ … xᵢ₋₁, context))        for components xᵢ, channels within pixels within rows

    The inverse computes each hidden unit once: what a layer made of earlier pixels is kept. So it takes as many steps
    as there are pixels, and the arithmetic of one pass.

    Args:
        shape: ``[channels, height, width]`` of the images, which come flattened.
        map: of each component.
        settings: others of the :class:`~zoo_flows.transforms.masked_convolutions.MaskedCNN`.
    """

    sequential: frozenset[Direction] = frozenset({"inverse"})
    written = sequential
    ways = ITERATIVE_WAYS

    def __init__(self, shape: Sequence[int], map: Map, **settings: Any) -> None:
        super().__init__()
        self.map = map
        self.network = MaskedCNN(shape, map.count, **settings)

    @torch.no_grad()
    def begin(self, x: Tensor) -> None:
        """Start at the map that brings all components of ``[n, d]`` together near to the base, whatever they are."""
        self.network.begin(self.map.fitted(x.flatten()))

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_slope = self.map.forward(x.unsqueeze(0), conditioned(self.network, x, context).movedim(2, 0))
        return z.squeeze(0), log_slope.sum((0, 2))

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        network = self.network
        n = z.shape[0]
        kept: list[_Kept | _Grown] = [
            (_Grown if torch.is_grad_enabled() else _Kept)(each, network.height, network.columns)
            for each in network.convolutions()
        ]
        shift = network.position.flatten(1).T.unsqueeze(1).expand(-1, n, -1)
        if network.context is not None and context is not None:
            shift = shift + network.context(context)
        noise = torch.unflatten(z, 1, (network.channels, -1))
        pixels: list[Tensor] = []
        parameters: list[Tensor] = []
        for i in range(network.height * network.columns):
            near = [each.near(i, z) for each in kept]
            pixel, taken, seen = network.step(shift[i], near, solution(self.map, noise[:, :, i]))
            for memory, each in zip(kept, seen, strict=True):
                memory.keep(i, each)
            pixels.append(pixel)
            parameters.append(taken)
        x = torch.stack(pixels, dim=2).flatten(1)
        # the slopes of all components together, once, instead of in every step
        every = torch.stack(parameters, dim=2).flatten(1, 2).movedim(2, 0)
        _, log_slope = self.map.forward(x.unsqueeze(0), every)
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
        x = pixelwise_graph.write(builder, way, self.network, self.map, value, context)
        if not log_det:
            return x, None
        inputs: list[tuple[Value, tuple[Dim, ...]]] = [(x, ("batch", self.network.size))]
        if context is not None and self.network.context is not None:
            inputs.append((context, ("batch", self.network.context.in_features)))
        _, forward_log_det = builder.call(self, *inputs)
        return x, builder("Neg", forward_log_det)


class _Kept:
    """What a convolution sees of all pixels so far, in the memory of an image with a margin of zeros."""

    def __init__(self, convolution: MaskedConvolution, height: int, width: int) -> None:
        self.convolution, self.height, self.width = convolution, height, width
        self.memory: Tensor | None = None

    def near(self, pixel: int, like: Tensor) -> Tensor:
        """What is at its taps: ``[n, taps, inputs]``."""
        reach = self.convolution.reach
        if self.memory is None:
            sides = self.height + reach, self.width + 2 * reach
            self.memory = like.new_zeros(like.shape[0], *sides, self.convolution.inputs)
        row, column = divmod(pixel, self.width)
        square = self.memory[:, row : row + reach + 1, column : column + 2 * reach + 1]
        return square.flatten(1, 2)[:, : len(self.convolution.taps)]

    def keep(self, pixel: int, seen: Tensor) -> None:
        """What is at a pixel, ``[n, inputs]``."""
        assert self.memory is not None
        row, column = divmod(pixel, self.width)
        self.memory[:, row + self.convolution.reach, column + self.convolution.reach] = seen


class _Grown(_Kept):
    """The same, each time in new memory, so that gradients pass."""

    def __init__(self, convolution: MaskedConvolution, height: int, width: int) -> None:
        super().__init__(convolution, height, width)
        self.seen: list[Tensor] = []

    @override
    def near(self, pixel: int, like: Tensor) -> Tensor:
        row, column = divmod(pixel, self.width)
        nothing = like.new_zeros(like.shape[0], self.convolution.inputs)
        places = [(row + up, column + side) for up, side in self.convolution.taps]
        return torch.stack(
            [self.seen[y * self.width + x] if y >= 0 and 0 <= x < self.width else nothing for y, x in places], dim=1
        )

    @override
    def keep(self, pixel: int, seen: Tensor) -> None:
        self.seen.append(seen)
