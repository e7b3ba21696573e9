"""The conditional U-Net of Diffusion Policy (Chi et al. 2023, arXiv:2303.04137), over actions of a horizon.

Parameters have the names and shapes of the published code. Time and condition are one vector, which scales and shifts
the channels of every residual block (section 3.1; Perez et al. 2018).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.models.encoders import Attended
from zoo.models.encoding import Attention
from zoo.overriding import override
from zoo_diffusion.networks.embeddings import Sinusoids
from zoo_diffusion.networks.network import Network
from zoo_diffusion.networks.unet import crossing, looked, zero


class Mish(nn.Module):
    """x·tanh(softplus(x)) (Misra 2019), of operations that have a forward-mode derivative."""

    def forward(self, x: Tensor) -> Tensor:
        """Any shape."""
        return x * torch.tanh(F.softplus(x))


class ConvolutionBlock(nn.Module):
    """Convolution, group norm, Mish."""

    def __init__(self, into: int, out: int, kernel: int, groups: int) -> None:
        super().__init__()
        convolution = nn.Conv1d(into, out, kernel, padding=kernel // 2)
        self.block = nn.Sequential(convolution, nn.GroupNorm(groups, out), Mish())

    def forward(self, x: Tensor) -> Tensor:
        """``[n, in, length]`` to ``[n, out, length]``."""
        result: Tensor = self.block(x)
        return result


class ResidualBlock(nn.Module):
    """Two convolution blocks around a shortcut, with the activations between them scaled and shifted by the condition.

    Args:
        into: channels of the input.
        out: channels of the output.
        condition: length of the vector.
        kernel: of the convolutions.
        groups: of group norm.
        scaled: whether it scales and shifts, or shifts alone.
    """

    def __init__(self, into: int, out: int, condition: int, *, kernel: int, groups: int, scaled: bool) -> None:
        super().__init__()
        self.scaled = scaled
        self.blocks = nn.ModuleList(
            [ConvolutionBlock(into, out, kernel, groups), ConvolutionBlock(out, out, kernel, groups)]
        )
        self.cond_encoder = nn.Sequential(Mish(), nn.Linear(condition, out * (2 if scaled else 1)))
        self.residual_conv = nn.Conv1d(into, out, 1) if into != out else nn.Identity()

    def forward(self, x: Tensor, condition: Tensor) -> Tensor:
        """``[n, in, length]`` and ``[n, condition]`` to ``[n, out, length]``."""
        h = self.blocks[0](x)
        told = self.cond_encoder(condition)[:, :, None]
        if self.scaled:
            # the scale is not 1 + scale, since the published networks were trained so
            scale, shift = told.chunk(2, dim=1)
            h = scale * h + shift
        else:
            h = h + told
        result: Tensor = self.blocks[1](h) + self.residual_conv(x)
        return result


class Downsample(nn.Module):
    """Half the length."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.Conv1d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, c, length]`` to ``[n, c, length/2]``."""
        result: Tensor = self.conv(x)
        return result


class Upsample(nn.Module):
    """Twice the length, by a transposed convolution."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.conv = nn.ConvTranspose1d(channels, channels, 4, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, c, length]`` to ``[n, c, 2·length]``."""
        result: Tensor = self.conv(x)
        return result


class PolicyUNet1d(Network):
    """The U-Net of Diffusion Policy over signals ``[n, in_channels, length]``.

    The policies on pictures have ``step_embedding`` 128 and ``down_dims`` 512, 1024, 2048; those on states 256, and
    256, 512, 1024. The published code concatenates the observation with the time's embedding as it is: numbers without
    a ``width``, and the features of its pictures.

    Args:
        size: (length,), divisible by 2 for every level but the last.
        down_dims: channels of each level.
        step_embedding: length of the time's embedding.
        kernel_size: of the convolutions, odd.
        n_groups: of group norm; it divides the channels of every level.
        cond_predict_scale: whether time and condition scale what they shift.
        classes: are embedded in a vector as long as the time's.
    """

    def __init__(
        self,
        *,
        size: tuple[int],
        in_channels: int,
        out_channels: int,
        down_dims: Sequence[int] = (64, 128),
        step_embedding: int = 64,
        kernel_size: int = 5,
        n_groups: int = 8,
        cond_predict_scale: bool = True,
        classes: int | None = None,
        vector: int | None = None,
        cross_attention: Attention | None = None,
    ) -> None:
        super().__init__()
        _check(size[0], down_dims, step_embedding, kernel_size, n_groups)
        width, cross = step_embedding, crossing(cross_attention)
        self.diffusion_step_encoder = nn.Sequential(
            Sinusoids(width, cosines_first=False, shift=1.0),
            nn.Linear(width, 4 * width),
            Mish(),
            nn.Linear(4 * width, width),
        )
        self.classes = nn.Embedding(classes, width) if classes else None
        condition = width + (width if classes else vector or 0)

        def block(into: int, out: int) -> ResidualBlock:
            return ResidualBlock(into, out, condition, kernel=kernel_size, groups=n_groups, scaled=cond_predict_scale)

        pairs = list(pairwise((in_channels, *down_dims)))
        last = len(pairs) - 1
        self.down_modules = nn.ModuleList(
            nn.ModuleList([block(i, o), block(o, o), Downsample(o) if level < last else nn.Identity()])
            for level, (i, o) in enumerate(pairs)
        )
        deepest = down_dims[-1]
        self.mid_modules = nn.ModuleList([block(deepest, deepest), block(deepest, deepest)])
        self.cross = None if cross is None else cross(deepest)
        self.up_modules = nn.ModuleList(
            nn.ModuleList([block(2 * o, i), block(i, i), Upsample(i)]) for i, o in reversed(pairs[1:])
        )
        first = down_dims[0]
        self.final_conv = nn.Sequential(
            ConvolutionBlock(first, first, kernel_size, n_groups), zero(nn.Conv1d(first, out_channels, 1))
        )

    @override
    def forward(
        self, x: Tensor, time: Tensor, condition: Tensor | None = None, attended: Attended | None = None
    ) -> Tensor:
        told = self.diffusion_step_encoder(time)
        if condition is not None:
            told = torch.cat([told, condition if self.classes is None else self.classes(condition)], 1)
        h, skips = x, []
        for level in self.down_modules:
            one, two, resample = _three(level)
            h = two(one(h, told), told)
            skips.append(h)
            h = resample(h)
        h = looked(self.cross, self.mid_modules[0](h, told), attended)
        h = self.mid_modules[1](h, told)
        for level in self.up_modules:
            one, two, resample = _three(level)
            h = resample(two(one(torch.cat([h, skips.pop()], 1), told), told))
        prediction: Tensor = self.final_conv(h)
        return prediction


def _three(level: nn.Module) -> tuple[Callable[..., Tensor], Callable[..., Tensor], Callable[..., Tensor]]:
    assert isinstance(level, nn.ModuleList)
    return level[0], level[1], level[2]


def _check(length: int, down_dims: Sequence[int], step_embedding: int, kernel_size: int, n_groups: int) -> None:
    """Refuse arguments with which the network cannot be built.

    Raises:
        ConfigError: with what does not fit.
    """
    if not down_dims or min(down_dims) < 1 or n_groups < 1 or any(width % n_groups for width in down_dims):
        raise ConfigError(
            f"n_groups ({n_groups}) must divide all numbers of channels in down_dims, not {list(down_dims)}"
        )
    factor = 2 ** (len(down_dims) - 1)
    if length % factor:
        raise ConfigError(f"a U-Net of {len(down_dims)} levels needs a length divisible by {factor}, not {length}")
    if kernel_size < 1 or not kernel_size % 2:
        raise ConfigError(f"kernel_size must be odd, not {kernel_size}")
    if step_embedding < 4 or step_embedding % 2:
        raise ConfigError(f"step_embedding must be even and 4 or more, not {step_embedding}")
