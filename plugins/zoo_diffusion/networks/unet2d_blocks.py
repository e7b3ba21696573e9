"""The parts of :mod:`zoo_diffusion.networks.unet2d`, whose parameters have the names of diffusers' checkpoints.

Operations are written as :mod:`zoo_diffusion.networks.unet` writes them, so that likelihoods can be exported.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.models.encoders import Attended
from zoo_diffusion.networks.unet import Upsample, enlarged, looked

ACTIVATIONS: dict[str, Callable[[Tensor], Tensor]] = {
    "silu": F.silu,
    "swish": F.silu,
    "gelu": F.gelu,
    "relu": F.relu,
    "mish": lambda x: x * torch.tanh(F.softplus(x)),
}


@dataclass(frozen=True)
class BlockStyle:
    """The settings that all blocks of a network share.

    Attributes:
        embedding: length of the time embedding.
        activation: a key of :data:`ACTIVATIONS`.
        groups: of group norm.
        eps: of group norm.
        time: ``"default"``, the embedding is added before the second norm, or ``"scale_shift"``, it scales and shifts
            what comes out of it.
        dropout: inside residual blocks.
        head_channels: channels of an attention head; None for one head of full width.
        downsample_padding: of the convolutions that halve the sides; 0 pads below and to the right only.
    """

    embedding: int
    activation: str = "silu"
    groups: int = 32
    eps: float = 1e-5
    time: str = "default"
    dropout: float = 0.0
    head_channels: int | None = 8
    downsample_padding: int = 1

    def __post_init__(self) -> None:
        """Refuse unknown values."""
        if self.activation not in ACTIVATIONS:
            raise ConfigError(f"act_fn must be one of {', '.join(ACTIVATIONS)}, not {self.activation!r}")
        if self.time not in ("default", "scale_shift"):
            raise ConfigError(f"resnet_time_scale_shift must be default or scale_shift, not {self.time!r}")

    def norm(self, channels: int, groups: int | None = None) -> nn.GroupNorm:
        """Group norm of these channels, with ``groups`` of them if given."""
        groups = self.groups if groups is None else groups
        if channels % groups:
            raise ConfigError(f"norm_num_groups ({groups}) must divide the {channels} channels of every block")
        return nn.GroupNorm(groups, channels, eps=self.eps)


class ResidualBlock(nn.Module):
    """Norm, activation, convolution, twice, around a shortcut (Ho et al. 2020, appendix B).

    Args:
        in_channels: of the input.
        out_channels: of the output.
        style: the settings of all blocks.
        output_scale: what the sum is divided by.
        resample: ``"up"`` or ``"down"`` for a block that changes the size before its first convolution, by repeating
            or averaging pixels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        style: BlockStyle,
        *,
        output_scale: float = 1.0,
        resample: str | None = None,
    ) -> None:
        super().__init__()
        self.activation = ACTIVATIONS[style.activation]
        self.scale_shift = style.time == "scale_shift"
        self.output_scale, self.resample = output_scale, resample
        self.norm1 = style.norm(in_channels)
        self.conv1 = nn.Conv2d(in_channels, out_channels, 3, padding=1)
        self.time_emb_proj = nn.Linear(style.embedding, (1 + self.scale_shift) * out_channels)
        self.norm2 = style.norm(out_channels)
        self.dropout = nn.Dropout(style.dropout)
        self.conv2 = nn.Conv2d(out_channels, out_channels, 3, padding=1)
        self.conv_shortcut = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else None

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``[n, in, h, w]`` and ``[n, embedding]`` to ``[n, out, h, w]``, or sides doubled or halved."""
        h = self.activation(self.norm1(x))
        if self.resample is not None:
            resample = enlarged if self.resample == "up" else _halved
            x, h = resample(x), resample(h)
        h = self.conv1(h)
        time = self.time_emb_proj(self.activation(embedding))[:, :, None, None]
        if self.scale_shift:
            scale, shift = time.chunk(2, dim=1)
            h = self.norm2(h) * (1 + scale) + shift
        else:
            h = self.norm2(h + time)
        h = self.conv2(self.dropout(self.activation(h)))
        if self.conv_shortcut is not None:
            x = self.conv_shortcut(x)
        return _scaled(x + h, self.output_scale)


def _scaled(x: Tensor, scale: float) -> Tensor:
    """``x / scale``, for which nothing is computed where the scale is 1."""
    return x if scale == 1.0 else x / scale


def _halved(x: Tensor) -> Tensor:
    return F.avg_pool2d(x, 2)


class SelfAttention(nn.Module):
    """Multi-head self-attention over the pixels, around a shortcut.

    Args:
        channels: of input and output.
        style: the settings of all blocks.
        output_scale: what the sum is divided by.
        groups: of the norm; 0 for no norm.
    """

    def __init__(self, channels: int, style: BlockStyle, *, output_scale: float = 1.0, groups: int) -> None:
        super().__init__()
        self.size = style.head_channels or channels
        self.heads = channels // self.size
        if not self.heads:
            raise ConfigError(
                f"attention_head_dim ({self.size}) is more than the {channels} channels of an attention layer"
            )
        width = self.heads * self.size
        self.output_scale = output_scale
        self.group_norm = style.norm(channels, groups) if groups else None
        self.to_q = nn.Linear(channels, width)
        self.to_k = nn.Linear(channels, width)
        self.to_v = nn.Linear(channels, width)
        self.to_out = nn.ModuleList([nn.Linear(width, channels)])

    def forward(self, x: Tensor) -> Tensor:
        """``[n, c, h, w]`` to the same."""
        c, h, w = x.shape[1:]
        normed = x if self.group_norm is None else self.group_norm(x)
        pixels = normed.flatten(2).transpose(1, 2)
        q, k, v = (
            layer(pixels).reshape(-1, h * w, self.heads, self.size).transpose(1, 2)
            for layer in (self.to_q, self.to_k, self.to_v)
        )
        # the queries, which are fewer numbers than the products, of which there is one for each two pixels
        weights = torch.softmax((q / math.sqrt(self.size)) @ k.transpose(-1, -2), dim=-1)
        attended = (weights @ v).transpose(1, 2).reshape(-1, h * w, self.heads * self.size)
        return _scaled(x + self.to_out[0](attended).transpose(1, 2).reshape(-1, c, h, w), self.output_scale)


class Downsample(nn.Module):
    """A convolution of stride 2."""

    def __init__(self, channels: int, padding: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(channels, channels, 3, stride=2, padding=padding)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, c, h, w]`` to ``[n, c, h/2, w/2]``."""
        if self.conv.padding == (0, 0):
            # one pixel below and to the right: the convolution of TensorFlow's "SAME", with which DDPM was trained.
            # F.pad, while its derivative is traced, asks about memory in a way that fixes the batch.
            x = torch.cat([x, torch.zeros_like(x[:, :, :1])], dim=2)
            x = torch.cat([x, torch.zeros_like(x[:, :, :, :1])], dim=3)
        result: Tensor = self.conv(x)
        return result


class Level(nn.Module):
    """The blocks of one resolution: residual blocks, each with attention or none, and what changes the size.

    Args:
        channels: (in, out) of each residual block.
        style: the settings of all blocks.
        attention: whether each is followed by attention.
        resample: ``"down"``, ``"up"``, or None at the last level.
        by_block: whether a residual block changes the size, rather than a convolution.
        cross: makes the cross-attention, from its channels, that follows each attention; or None.
    """

    def __init__(
        self,
        channels: Sequence[tuple[int, int]],
        style: BlockStyle,
        *,
        attention: bool,
        resample: str | None,
        by_block: bool,
        cross: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        out = channels[-1][1]
        self.resnets = nn.ModuleList(ResidualBlock(i, o, style) for i, o in channels)
        self.attentions = nn.ModuleList(
            SelfAttention(o, style, groups=style.groups) for _, o in (channels if attention else ())
        )
        self.crosses = nn.ModuleList()
        if cross is not None and attention:
            self.crosses.extend(cross(o) for _, o in channels)
        name = {"down": "downsamplers", "up": "upsamplers"}.get(resample or "", "")
        if name:
            layer: nn.Module
            if by_block:
                layer = ResidualBlock(out, out, style, resample=resample)
            else:
                layer = Downsample(out, style.downsample_padding) if resample == "down" else Upsample(out)
            self.add_module(name, nn.ModuleList([layer]))
        self.resampler, self.by_block = name, by_block

    def block(self, index: int, x: Tensor, embedding: Tensor, attended: Attended | None = None) -> Tensor:
        """The residual block of this number, and its attentions."""
        x = self.resnets[index](x, embedding)
        x = self.attentions[index](x) if len(self.attentions) else x
        return looked(self.crosses[index] if len(self.crosses) else None, x, attended)

    def resample(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``x`` with its sides halved or doubled."""
        (layer,) = cast(nn.ModuleList, getattr(self, self.resampler))
        result: Tensor = layer(x, embedding) if self.by_block else layer(x)
        return result


class Middle(nn.Module):
    """Residual block, attention, residual block, at the lowest resolution.

    Args:
        channels: of all.
        style: the settings of all blocks.
        output_scale: what each sum is divided by.
        attention: whether there is one.
        attention_groups: of its norm; None for those of the style, but no norm at all with ``"scale_shift"``.
        cross: makes the cross-attention that follows it, from its channels; or None.
    """

    def __init__(
        self,
        channels: int,
        style: BlockStyle,
        *,
        output_scale: float,
        attention: bool,
        attention_groups: int | None,
        cross: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if attention_groups is None:
            attention_groups = style.groups if style.time == "default" else 0
        self.resnets = nn.ModuleList(
            ResidualBlock(channels, channels, style, output_scale=output_scale) for _ in range(2)
        )
        self.attentions = nn.ModuleList(
            SelfAttention(channels, style, output_scale=output_scale, groups=attention_groups)
            for _ in range(int(attention))
        )
        self.cross = None if cross is None else cross(channels)

    def forward(self, x: Tensor, embedding: Tensor, attended: Attended | None = None) -> Tensor:
        """``[n, c, h, w]`` to the same."""
        x = self.resnets[0](x, embedding)
        for attention in self.attentions:
            x = attention(x)
        result: Tensor = self.resnets[1](looked(self.cross, x, attended), embedding)
        return result
