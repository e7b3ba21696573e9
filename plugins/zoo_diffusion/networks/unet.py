"""The 2-D U-Net of Ho et al. 2020 with the residual blocks of Dhariwal & Nichol 2021 ("ADM").

Every operation here has a forward-mode derivative and an ONNX translation, because likelihood graphs are traced through
``jvp``: attention is explicit, upsampling is expand and reshape, and group norm gets contiguous input.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable, Iterable, Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.models.encoders import Attended, CrossAttention
from zoo.models.encoding import Attention
from zoo.overriding import override
from zoo_diffusion.networks.embeddings import ConditionedNetwork
from zoo_diffusion.networks.network import Network

Sides = tuple[int, int]
SQUARE: Sides = (3, 3)
#: of a norm, unless its channels are fewer or do not divide into so many
GROUPS = 32


def sinusoidal_embedding(time: Tensor, size: int, *, max_period: float = 10_000.0) -> Tensor:
    """Vaswani et al. 2017, section 3.5: cosines, then sines, of geometrically spaced frequencies.

    Args:
        time: ``[n]``.
        size: even number of features.
        max_period: the longest wavelength over 2π.

    Returns:
        ``[n, size]``.
    """
    half = size // 2
    # rounded once, from float64: at time 1000 another rounding would show, and other runtimes have another exp
    frequencies = torch.tensor([max_period ** (-i / half) for i in range(half)], dtype=torch.float64)
    angles = time[:, None] * frequencies.to(time)[None]
    return torch.cat([torch.cos(angles), torch.sin(angles)], dim=-1)


def group_norm(channels: int, groups: int = GROUPS) -> nn.GroupNorm:
    """Group norm with as many groups as divide both ``groups`` and ``channels``: their greatest common divisor."""
    return nn.GroupNorm(math.gcd(groups, channels), channels)


def zero(module: nn.Module) -> nn.Module:
    """Set a layer's parameters to zero, so that the branch it closes starts as the identity."""
    for parameter in module.parameters():
        nn.init.zeros_(parameter)
    return module


def convolution(in_channels: int, out_channels: int, kernel: Sides = SQUARE, stride: Sides = (1, 1)) -> nn.Conv2d:
    """A convolution that keeps the sides, or divides them by ``stride``; the sides of ``kernel`` are odd."""
    return nn.Conv2d(in_channels, out_channels, kernel, stride=stride, padding=(kernel[0] // 2, kernel[1] // 2))


class ResidualBlock(nn.Module):
    """Norm, SiLU, conv, twice; time and class enter as scale and shift of the second norm (ADM, section 3)."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding: int,
        dropout: float,
        kernel: Sides = SQUARE,
        groups: int = GROUPS,
    ) -> None:
        super().__init__()
        self.norm1 = group_norm(in_channels, groups)
        self.conv1 = convolution(in_channels, out_channels, kernel)
        self.affine = nn.Linear(embedding, 2 * out_channels)
        self.norm2 = group_norm(out_channels, groups)
        self.dropout = nn.Dropout(dropout)
        self.conv2 = zero(convolution(out_channels, out_channels, kernel))
        self.skip = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``[n, in, h, w]`` and ``[n, embedding]`` to ``[n, out, h, w]``."""
        h = self.conv1(F.silu(self.norm1(x)))
        scale, shift = self.affine(embedding)[:, :, None, None].chunk(2, dim=1)
        h = F.silu(self.norm2(h) * (1 + scale) + shift)
        result: Tensor = self.skip(x) + self.conv2(self.dropout(h))
        return result


class SelfAttention(nn.Module):
    """Multi-head self-attention over the pixels, written out as matmul and softmax."""

    def __init__(self, channels: int, head_channels: int, groups: int = GROUPS) -> None:
        super().__init__()
        if channels % head_channels:
            raise ConfigError(
                f"head_channels ({head_channels}) must divide the {channels} channels of an attention layer"
            )
        self.heads = channels // head_channels
        self.norm = group_norm(channels, groups)
        self.qkv = nn.Conv2d(channels, 3 * channels, 1)
        self.out = zero(nn.Conv2d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``[n, c, h, w]`` to the same."""
        c, h, w = x.shape[1:]
        q, k, v = self.qkv(self.norm(x)).reshape(-1, 3, self.heads, c // self.heads, h * w).unbind(1)
        weights = torch.softmax(q.transpose(-1, -2) @ k / math.sqrt(c // self.heads), dim=-1)
        attended = (v @ weights.transpose(-1, -2)).reshape(-1, c, h, w)
        result: Tensor = x + self.out(attended)
        return result


class Upsample(nn.Module):
    """Twice the size by repetition, in the directions in which the kernel is wider than 1, then a convolution."""

    def __init__(self, channels: int, kernel: Sides = SQUARE) -> None:
        super().__init__()
        self.factors = _factors(kernel)
        self.conv = convolution(channels, channels, kernel)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, c, h, w]`` to ``[n, c, 2h, 2w]``."""
        result: Tensor = self.conv(enlarged(x, self.factors))
        return result


def enlarged(x: Tensor, factors: Sides = (2, 2)) -> Tensor:
    """Every pixel ``factors`` times: ``[n, c, h, w]`` to ``[n, c, h·factors[0], w·factors[1]]``."""
    c, h, w = x.shape[1:]
    down, across = factors
    return x[:, :, :, None, :, None].expand(-1, c, h, down, w, across).reshape(-1, c, down * h, across * w)


def squares_as_channels(x: Tensor, side: int) -> Tensor:
    """Space to depth: ``[n, c, h, w]`` to ``[n, c·side², h/side, w/side]``."""
    if side == 1:
        return x
    c, h, w = x.shape[1:]
    squares = x.reshape(-1, c, h // side, side, w // side, side).permute(0, 1, 3, 5, 2, 4)
    return squares.reshape(-1, c * side**2, h // side, w // side)


def channels_as_squares(x: Tensor, side: int) -> Tensor:
    """Depth to space, the inverse of :func:`squares_as_channels`."""
    if side == 1:
        return x
    c, h, w = x.shape[1:]
    squares = x.reshape(-1, c // side**2, side, side, h, w).permute(0, 1, 4, 2, 5, 3)
    return squares.reshape(-1, c // side**2, h * side, w * side)


def _factors(kernel: Sides) -> Sides:
    """By which a level's sides differ from the next: 2, but 1 where the kernel does not look sideways."""
    return (1 + (kernel[0] > 1), 1 + (kernel[1] > 1))


def _check_sides(size: Sides, factors: Sides, patch: object, levels: int) -> None:
    """Refuse a patch that is no whole number, and sides that it and the levels do not divide."""
    if not isinstance(patch, int) or isinstance(patch, bool) or patch < 1:
        raise ConfigError(f"patch must be a whole number above 0, not {patch!r}")
    needed = patch * 2 ** (levels - 1)
    if any(side % needed for side, factor in zip(size, factors, strict=True) if factor > 1):
        raise ConfigError(f"a U-Net of {levels} levels needs sides divisible by {needed}, not {size}")


def _check_groups(groups: object) -> None:
    """Refuse a number of groups that is no whole number, or below 1."""
    if not isinstance(groups, int) or isinstance(groups, bool) or groups < 1:
        raise ConfigError(f"groups must be a whole number above 0, not {groups!r}")


class Level(nn.Module):
    """The blocks of one resolution on the way down or up: residual blocks, each with its attentions or none."""

    def __init__(
        self,
        channels: Sequence[tuple[int, int]],
        embedding: int,
        dropout: float,
        head: int | None,
        kernel: Sides = SQUARE,
        cross: Callable[[int], nn.Module] | None = None,
        groups: int = GROUPS,
    ) -> None:
        super().__init__()
        self.blocks = nn.ModuleList(ResidualBlock(i, o, embedding, dropout, kernel, groups) for i, o in channels)
        self.attentions = nn.ModuleList(
            nn.Identity() if head is None else SelfAttention(o, head, groups) for _, o in channels
        )
        self.crosses = nn.ModuleList()
        if cross is not None and head is not None:
            self.crosses.extend(cross(o) for _, o in channels)

    def __len__(self) -> int:
        return len(self.blocks)

    def block(self, index: int, x: Tensor, embedding: Tensor, attended: Attended | None) -> Tensor:
        """The residual block of this number, and what follows it."""
        h: Tensor = self.attentions[index](self.blocks[index](x, embedding))
        return looked(self.crosses[index] if len(self.crosses) else None, h, attended)


def crossing(attention: Attention | None) -> Callable[[int], CrossAttention] | None:
    """Makes a network's cross-attentions, one after the other, from their channels; None where there are none."""
    if attention is None:
        return None
    count = itertools.count()
    return lambda channels: CrossAttention(channels, attention.width, attention.heads, next(count))


def looked(cross: nn.Module | None, h: Tensor, attended: Attended | None) -> Tensor:
    """``[n, channels, *size]`` after a cross-attention, if there is one."""
    if cross is None or attended is None:
        return h
    assert isinstance(cross, CrossAttention)
    return cross.over_pixels(h, attended)


class UNet(ConditionedNetwork, Network):
    """A U-Net over images ``[n, in_channels, height, width]``.

    Args:
        size: (height, width), each divisible by ``patch``, times 2 for every level but the last.
        patch: sides of the squares of pixels that are the channels of one position. It divides the positions by its
            square, and with them most of the cost.
        base: channels of the first level.
        multipliers: channels of each level over ``base``; each further level halves the sides.
        blocks: residual blocks a level on the way down; one more on the way up.
        attention: levels (0 is full resolution) with self-attention; the middle has it always.
        head_channels: channels of an attention head.
        dropout: inside residual blocks.
        global_skip: whether the channels of the input, those of a condition beside it too, are added to the output,
            with gains that a linear layer makes of the time's embedding: what is already there, such as a given picture
            that is to be changed, needs not pass the network (global residual learning, Kim et al. 2016,
            arXiv:1511.04587; the c_skip of Karras et al. 2022, table 1, but learned).
        groups: of every norm, or the greatest common divisor of it and the norm's channels. A norm subtracts the mean
            of each group over all positions, and with groups of one or a few channels nearly all of what is equal at
            all positions, which the network then cannot tell from nothing: of a signal in patches it is what repeats
            with the patch. Where that is heard or seen, take fewer groups, of more channels each; the parameters have
            the same shapes.
        kernel: sides of the convolutions, 1 or 3; where 1, all levels have the same side.

    Raises:
        ConfigError: ``patch`` or ``groups`` is no whole number above 0, sides that are not divisible as ``size`` says,
            or channels of an attention layer that ``head_channels`` does not divide.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int],
        in_channels: int,
        out_channels: int,
        patch: int = 1,
        base: int = 32,
        multipliers: Sequence[int] = (1, 2, 3),
        blocks: int = 1,
        attention: Sequence[int] = (2,),
        head_channels: int = 32,
        dropout: float = 0.0,
        global_skip: bool = False,
        groups: int = GROUPS,
        classes: int | None = None,
        vector: int | None = None,
        cross_attention: Attention | None = None,
        kernel: Sides = SQUARE,
    ) -> None:
        super().__init__()
        factors = _factors(kernel)
        _check_sides(size, factors, patch, len(multipliers))
        _check_groups(groups)
        self.base, self.patch = base, patch
        embedding = 4 * base
        self.time = nn.Sequential(nn.Linear(base, embedding), nn.SiLU(), nn.Linear(embedding, embedding))
        self.embed(classes, vector, embedding)
        self.conv_in = convolution(in_channels * patch**2, base, kernel)

        widths = [base * m for m in multipliers]
        cross = crossing(cross_attention)
        skips, width = [base], base
        self.down, self.downsample = nn.ModuleList(), nn.ModuleList()
        for level, out in enumerate(widths):
            head = head_channels if level in attention else None
            pairs = [(width if b == 0 else out, out) for b in range(blocks)]
            self.down.append(Level(pairs, embedding, dropout, head, kernel, cross, groups))
            skips += [out] * blocks
            width = out
            if level < len(widths) - 1:
                self.downsample.append(convolution(width, width, kernel, factors))
                skips.append(width)
        self.middle1 = ResidualBlock(width, width, embedding, dropout, kernel, groups)
        self.middle_attention = SelfAttention(width, head_channels, groups)
        self.middle_cross = None if cross is None else cross(width)
        self.middle2 = ResidualBlock(width, width, embedding, dropout, kernel, groups)
        self.up, self.upsample = nn.ModuleList(), nn.ModuleList()
        for level, out in reversed(list(enumerate(widths))):
            head = head_channels if level in attention else None
            pairs = []
            for _ in range(blocks + 1):
                pairs.append((width + skips.pop(), out))
                width = out
            self.up.append(Level(pairs, embedding, dropout, head, kernel, cross, groups))
            if level:
                self.upsample.append(Upsample(width, kernel))
        self.norm_out = group_norm(width, groups)
        self.conv_out = zero(convolution(width, out_channels * patch**2, kernel))
        self.gains = zero(nn.Linear(embedding, out_channels * in_channels)) if global_skip else None

    @override
    def forward(
        self, x: Tensor, time: Tensor, condition: Tensor | None = None, attended: Attended | None = None
    ) -> Tensor:
        embedding = self.time(sinusoidal_embedding(time, self.base))
        told = self.embedded(condition)
        if told is not None:
            embedding = embedding + told
        embedding = F.silu(embedding)

        h = self.conv_in(squares_as_channels(x, self.patch))
        skips = [h]
        for i, level in enumerate(cast(Iterable[Level], self.down)):
            for index in range(len(level)):
                h = level.block(index, h, embedding, attended)
                skips.append(h)
            if i < len(self.downsample):
                h = self.downsample[i](h)
                skips.append(h)
        h = self.middle_attention(self.middle1(h, embedding))
        h = self.middle2(looked(self.middle_cross, h, attended), embedding)
        for i, level in enumerate(cast(Iterable[Level], self.up)):
            for index in range(len(level)):
                h = level.block(index, torch.cat([h, skips.pop()], dim=1), embedding, attended)
            if i < len(self.upsample):
                h = self.upsample[i](h)
        output = channels_as_squares(self.conv_out(F.silu(self.norm_out(h))), self.patch)
        if self.gains is None:
            return output
        gains = self.gains(embedding).reshape(-1, output.shape[1], x.shape[1])
        past: Tensor = (gains @ x.flatten(2)).reshape(-1, *output.shape[1:])
        return output + past
