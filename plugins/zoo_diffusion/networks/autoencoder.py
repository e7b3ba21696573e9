"""Convolutional encoder and decoder of images, smaller than those of Rombach et al. 2022 (appendix G)."""

from __future__ import annotations

import itertools
from collections.abc import Sequence

import torch.nn.functional as F
from torch import Tensor, nn

from zoo_diffusion.networks.unet import Upsample, group_norm, zero


class Block(nn.Module):
    """Norm, SiLU, convolution, twice, added to what came in."""

    def __init__(self, in_channels: int, out_channels: int) -> None:
        super().__init__()
        self.norm1 = group_norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.norm2 = group_norm(out_channels)
        self.conv2 = zero(nn.Conv2d(out_channels, out_channels, 3, padding=1))
        self.skip = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        """``[n, in, h, w]`` to ``[n, out, h, w]``."""
        h = self.conv1(F.silu(self.norm1(x)))
        result: Tensor = self.skip(x) + self.conv2(F.silu(self.norm2(h)))
        return result


def encoder(channels: int, widths: Sequence[int], out_channels: int) -> nn.Sequential:
    """``[n, channels, h, w]`` to ``[n, out_channels, h / 2^k, w / 2^k]``, k one less than there are widths."""
    layers: list[nn.Module] = [nn.Conv2d(channels, widths[0], 3, padding=1)]
    for before, width in itertools.pairwise(widths):
        layers += [Block(before, before), nn.Conv2d(before, width, 3, stride=2, padding=1)]
    last = widths[-1]
    return nn.Sequential(*layers, Block(last, last), group_norm(last), nn.SiLU(), nn.Conv2d(last, out_channels, 1))


def decoder(channels: int, widths: Sequence[int], out_channels: int) -> nn.Sequential:
    """The way back: ``[n, channels, h, w]`` to ``[n, out_channels, 2^k·h, 2^k·w]``; ``widths`` as of the encoder."""
    first = widths[-1]
    layers: list[nn.Module] = [nn.Conv2d(channels, first, 3, padding=1), Block(first, first)]
    for before, width in itertools.pairwise(reversed(widths)):
        layers += [Upsample(before), Block(before, width)]
    last = widths[0]
    return nn.Sequential(*layers, group_norm(last), nn.SiLU(), nn.Conv2d(last, out_channels, 3, padding=1))
