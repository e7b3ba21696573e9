"""The conditioner of PixelCNN: convolutions that look back (van den Oord et al. 2016, arXiv:1606.05328)."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from zoo_flows.transforms.networks import bounded

#: takes a channel and its parameters ``[n, outputs]``, and gives the values ``[n]`` of that channel
Solve = Callable[[int, Tensor], Tensor]


class MaskedCNN(nn.Module):
    """A network of images whose outputs for a component depend on those before it, and on the context.

    Components come pixel by pixel, row by row, and channel by channel within a pixel. The first convolution sees pixels
    above and to the left, the others what was made of the pixel itself too, in residual blocks::

        h ← h + W·relu(masked(relu(h)))

    A layer within the pixel shows a channel those before it. The last layer starts at zero, so that whatever is
    conditioned starts at its zero parameters.

    Args:
        shape: ``[channels, height, width]`` of the images.
        outputs: P, for each component.
        context: length of the context, which is added, times a matrix, to the output of the first layer at every pixel;
            0 for none.
        width: channels of the hidden layers.
        blocks: how many.
        field: how far up and to both sides the first convolution sees.
        reach: the same of those in the blocks.
        levels: of inputs in [-1, 1] that stand for levels, how many: the network then sees the level that an input lies
            in, not where in it, and whether that is the lowest or the highest, of which backgrounds are. None for
            inputs without bounds, see :func:`~zoo_flows.transforms.networks.bounded`.
    """

    def __init__(
        self,
        shape: Sequence[int],
        outputs: int,
        *,
        context: int = 0,
        width: int = 64,
        blocks: int = 4,
        field: int = 4,
        reach: int = 2,
        levels: int | None = None,
    ) -> None:
        super().__init__()
        self.channels, self.height, self.columns = shape
        self.size, self.outputs, self.width, self.levels = math.prod(shape), outputs, width, levels
        #: numbers that the network sees of each channel
        self.seen = 1 if levels is None else 3
        self.first = MaskedConvolution(self.seen * self.channels, width, field, here=False)
        self.position = nn.Parameter(0.02 * torch.randn(width, self.height, self.columns))
        self.context = nn.Linear(context, width, bias=False) if context else None
        self.blocks = nn.ModuleList(_Block(width, reach) for _ in range(blocks))
        self.hidden = nn.Linear(width, self.channels * width)
        scale = 1.0 / math.sqrt(self.seen * self.channels)
        # the first channel sees no other
        shape_before = (self.channels, self.channels, self.seen, width)
        self.before = nn.Parameter(scale * torch.randn(shape_before)) if self.channels > 1 else None
        self.out = nn.Linear(width, outputs)
        nn.init.zeros_(self.out.weight)
        nn.init.zeros_(self.out.bias)

    def forward(self, x: Tensor, context: Tensor | None = None) -> Tensor:
        """``[n, d]`` and ``[n, context]`` to ``[n, d, outputs]``."""
        seen = self.features(torch.unflatten(x, 1, (self.channels, self.height, self.columns)))
        image = seen.movedim(4, 2).flatten(1, 2)
        if self.training:  # in which order of memory CPUs train convolutions faster
            image = image.contiguous(memory_format=torch.channels_last)
        h = self.first(image) + self.position
        if self.context is not None and context is not None:
            h = h + self.context(context).unsqueeze(2).unsqueeze(3)
        for block in self.layers():
            h = block(h)
        hidden = torch.unflatten(_pointwise(self.hidden, F.relu(h)), 1, (self.channels, self.width)).movedim(2, 4)
        if self.before is not None:
            earlier = self.before.permute(2, 3, 0, 1).tril(-1).permute(3, 0, 2, 1).flatten(0, 1).flatten(1)
            told = torch.matmul(seen.movedim(1, 3).flatten(3), earlier)
            hidden = hidden + torch.unflatten(told, 3, (self.channels, self.width)).movedim(3, 1)
        out: Tensor = self.out(F.relu(hidden))
        return out.flatten(1, 3)

    def step(self, shift: Tensor, near: Sequence[Tensor], solve: Solve) -> tuple[Tensor, Tensor, tuple[Tensor, ...]]:
        """One pixel ``[n, channels]``, its parameters ``[n, channels, outputs]``, and what later pixels see of it.

        Args:
            shift: ``[n, width]``: the position, and what the context adds.
            near: for each convolution, what it sees of pixels before, ``[n, taps, inputs]``, in the order of
                :attr:`MaskedConvolution.taps`.
            solve: finds a channel, given its parameters.
        """
        h = self.first.at(near[0]) + shift
        kept: list[Tensor] = []
        for block, each in zip(self.layers(), near[1:], strict=True):
            h, active = block.step(h, each)
            kept.append(active)
        hidden = torch.unflatten(self.hidden(F.relu(h)), 1, (self.channels, self.width))
        values: list[Tensor] = []
        seen: list[Tensor] = []
        taken: list[Tensor] = []
        for channel in range(self.channels):
            inner = hidden[:, channel]
            if seen and self.before is not None:
                inner = inner + torch.matmul(torch.cat(seen, dim=1), self.before[channel, :channel].flatten(0, 1))
            parameters = self.out(F.relu(inner))
            taken.append(parameters)
            values.append(solve(channel, parameters))
            seen.append(self.features(values[-1]))
        return torch.stack(values, dim=1), torch.stack(taken, dim=1), (torch.cat(seen, dim=1), *kept)

    def features(self, x: Tensor) -> Tensor:
        """What the network sees of values ``[...]``: ``[..., seen]``."""
        if self.levels is None:
            return bounded(x).unsqueeze(-1)
        number = ((x + 1.0) * (self.levels / 2)).clamp(0.0, self.levels - 1.0).floor()
        lowest, highest = (number == 0).to(x.dtype), (number == self.levels - 1).to(x.dtype)
        return torch.stack([(2.0 * number + 1.0) / self.levels - 1.0, lowest, highest], dim=-1)

    def begin(self, parameters: Tensor) -> None:
        """Start at these parameters ``[outputs]`` of every component."""
        self.out.bias.copy_(parameters)

    def layers(self) -> Iterator[_Block]:
        """The blocks."""
        for block in self.blocks:
            assert isinstance(block, _Block)
            yield block

    def convolutions(self) -> list[MaskedConvolution]:
        """Those that look at other pixels, in order."""
        return [self.first, *(block.one for block in self.layers())]


class MaskedConvolution(nn.Module):
    """A convolution whose kernel has taps above, to the left, and perhaps here, and none for pixels to come.

    Args:
        inputs: channels.
        outputs: channels.
        reach: how far the taps are up, to the left, and above to the right.
        here: whether there is one for the pixel itself.
    """

    def __init__(self, inputs: int, outputs: int, reach: int, *, here: bool) -> None:
        super().__init__()
        self.inputs, self.outputs, self.reach, self.here = inputs, outputs, reach, here
        #: rows and columns from the pixel to each tap but that of the pixel itself, as they stand in the kernel
        self.taps = [
            *((row, column) for row in range(-reach, 0) for column in range(-reach, reach + 1)),
            *((0, column) for column in range(-reach, 0)),
        ]
        # the kernel's taps in order: only those that exist are parameters
        count = len(self.taps) + here
        limit = 1.0 / math.sqrt(count * inputs)
        self.weight = nn.Parameter(torch.empty(count, inputs, outputs).uniform_(-limit, limit))
        self.bias = nn.Parameter(torch.zeros(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """``[n, inputs, h, w]`` to ``[n, outputs, h, w]``."""
        reach, side = self.reach, 2 * self.reach + 1
        missing = (reach + 1) * side - self.weight.shape[0]
        kernel = F.pad(self.weight, (0, 0, 0, 0, 0, missing)).permute(2, 1, 0)
        return F.conv2d(F.pad(x, (reach, reach, reach, 0)), torch.unflatten(kernel, 2, (reach + 1, side)), self.bias)

    def at(self, near: Tensor) -> Tensor:
        """Of one pixel: what is at its taps, ``[n, taps, inputs]``, to ``[n, outputs]``."""
        return torch.addmm(self.bias, near.flatten(1), self.weight.flatten(0, 1))


class _Block(nn.Module):
    def __init__(self, width: int, reach: int) -> None:
        super().__init__()
        self.one = MaskedConvolution(width, width, reach, here=True)
        self.two = nn.Linear(width, width)

    def forward(self, h: Tensor) -> Tensor:
        return h + _pointwise(self.two, F.relu(self.one(F.relu(h))))

    def step(self, h: Tensor, near: Tensor) -> tuple[Tensor, Tensor]:
        """The same of one pixel ``[n, width]``, and what the convolutions of later ones see of it."""
        active = F.relu(h)
        inner: Tensor = self.two(F.relu(self.one.at(torch.cat([near, active.unsqueeze(1)], dim=1))))
        return h + inner, active


def _pointwise(linear: nn.Linear, h: Tensor) -> Tensor:
    """A layer at every pixel of ``[n, inputs, h, w]``."""
    return F.conv2d(h, linear.weight.unsqueeze(2).unsqueeze(3), linear.bias)
