"""ADM, the U-Net of Dhariwal & Nichol 2021 ("Diffusion models beat GANs on image synthesis", arXiv:2105.05233).

Section 3: several heads of attention at several resolutions, residual blocks that change the size, and group norm that
time and class scale and shift. Parameters have the names and shapes of the published checkpoints,
checked against the source that they were trained with. :mod:`zoo_diffusion.networks.unet` is the smaller network after
the same paper; operations here are written as there, so that likelihoods can be exported.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.overriding import override
from zoo_diffusion.networks.embeddings import Sinusoids
from zoo_diffusion.networks.network import Network
from zoo_diffusion.networks.unet import Upsample, enlarged, group_norm, zero


class ResidualBlock(nn.Module):
    """Norm, SiLU, convolution, twice, around a shortcut.

    Args:
        in_channels: of the input.
        out_channels: of the output.
        embedding: length of the embedding of time and class.
        dropout: before the last convolution.
        scale_shift: whether the embedding scales and shifts the output of the second norm ("adaptive group norm",
            section 3.1), rather than being added before it.
        resample: ``"up"`` or ``"down"`` for a block that changes the size before its first convolution, by repeating
            or averaging pixels.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        embedding: int,
        *,
        dropout: float = 0.0,
        scale_shift: bool = True,
        resample: str | None = None,
    ) -> None:
        super().__init__()
        self.scale_shift, self.resample = scale_shift, resample
        self.in_layers = nn.Sequential(
            group_norm(in_channels), nn.SiLU(), nn.Conv2d(in_channels, out_channels, 3, padding=1)
        )
        self.emb_layers = nn.Sequential(nn.SiLU(), nn.Linear(embedding, (1 + scale_shift) * out_channels))
        # a norm of every channel by itself would remove what is added to the channel: where the usual number of
        # groups is that of the channels, half as many
        groups = 32 if scale_shift else min(32, out_channels // 2)
        self.out_layers = nn.Sequential(
            group_norm(out_channels, groups),
            nn.SiLU(),
            nn.Dropout(dropout),
            zero(nn.Conv2d(out_channels, out_channels, 3, padding=1)),
        )
        self.skip_connection = nn.Conv2d(in_channels, out_channels, 1) if in_channels != out_channels else nn.Identity()

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``[n, in, h, w]`` and ``[n, embedding]`` to ``[n, out, h, w]``, or sides doubled or halved."""
        norm, activation, convolution = self.in_layers
        h = activation(norm(x))
        if self.resample is not None:
            x, h = _resampled(x, self.resample), _resampled(h, self.resample)
        h = convolution(h)
        levels = self.emb_layers(embedding)[:, :, None, None]
        norm, *rest = self.out_layers
        if self.scale_shift:
            scale, shift = levels.chunk(2, dim=1)
            h = norm(h) * (1 + scale) + shift
        else:
            h = norm(h + levels)
        for layer in rest:
            h = layer(h)
        result: Tensor = self.skip_connection(x) + h
        return result


def _resampled(x: Tensor, how: str) -> Tensor:
    return enlarged(x) if how == "up" else F.avg_pool2d(x, 2)


class AttentionBlock(nn.Module):
    """Multi-head self-attention over the pixels, around a shortcut.

    Args:
        channels: of input and output.
        heads: how many.
        new_order: whether the channels of ``qkv`` are queries, keys and values, each of all heads, as in the network
            for 64×64 images, rather than heads, each with its queries, keys and values.
    """

    def __init__(self, channels: int, heads: int, *, new_order: bool) -> None:
        super().__init__()
        self.heads, self.new_order = heads, new_order
        self.norm = group_norm(channels)
        self.qkv = nn.Conv1d(channels, 3 * channels, 1)
        self.proj_out = zero(nn.Conv1d(channels, channels, 1))

    def forward(self, x: Tensor) -> Tensor:
        """``[n, c, h, w]`` to the same."""
        c, h, w = x.shape[1:]
        size = c // self.heads
        parts = self.qkv(self.norm(x).reshape(-1, c, h * w))
        if self.new_order:
            q, k, v = parts.reshape(-1, 3, self.heads, size, h * w).unbind(1)
        else:
            q, k, v = parts.reshape(-1, self.heads, 3, size, h * w).unbind(2)
        weights = torch.softmax(q.transpose(-1, -2) @ k / math.sqrt(size), dim=-1)
        attended = self.proj_out((v @ weights.transpose(-1, -2)).reshape(-1, c, h * w))
        result: Tensor = x + attended.reshape(-1, c, h, w)
        return result


class Downsample(nn.Module):
    """Half the size, by a convolution of stride 2."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.op = nn.Conv2d(channels, channels, 3, stride=2, padding=1)

    def forward(self, x: Tensor) -> Tensor:
        """``[n, c, h, w]`` to ``[n, c, h/2, w/2]``."""
        result: Tensor = self.op(x)
        return result


class Stage(nn.ModuleList):
    """Layers one after the other, of which the residual blocks get the time and the class."""

    def forward(self, x: Tensor, embedding: Tensor) -> Tensor:
        """``[n, c, h, w]`` and ``[n, embedding]`` to the output of the last layer."""
        for layer in self:
            x = layer(x, embedding) if isinstance(layer, ResidualBlock) else layer(x)
        return x


@dataclass(frozen=True, kw_only=True)
class _Blocks:
    """Makes the blocks of one network, from what they have in common; see the arguments of :class:`ADM`."""

    embedding: int
    dropout: float
    scale_shift: bool
    head_channels: int | None
    heads: int
    new_order: bool
    attention_at: tuple[int, ...]
    resampling: bool

    def residual(self, into: int, out: int, resample: str | None = None) -> ResidualBlock:
        return ResidualBlock(
            into, out, self.embedding, dropout=self.dropout, scale_shift=self.scale_shift, resample=resample
        )

    def attention(self, channels: int) -> AttentionBlock:
        if channels % (self.head_channels or self.heads):
            option = "num_heads" if self.head_channels is None else "num_head_channels"
            raise ConfigError(
                f"{option} ({self.head_channels or self.heads}) must divide the {channels} channels of an attention "
                "layer"
            )
        heads = self.heads if self.head_channels is None else channels // self.head_channels
        return AttentionBlock(channels, heads, new_order=self.new_order)

    def stage(self, into: int, out: int, level: int) -> list[nn.Module]:
        """A residual block, and attention where the level has it."""
        return [self.residual(into, out), *([self.attention(out)] if 2**level in self.attention_at else [])]

    def resample(self, channels: int, how: str) -> nn.Module:
        """Twice or half the size, by a residual block or a convolution."""
        if self.resampling:
            return self.residual(channels, channels, how)
        return Downsample(channels) if how == "down" else Upsample(channels)


class ADM(Network):
    """ADM's U-Net over images ``[n, in_channels, height, width]``.

    Arguments have the names and meanings of the published code. The network for ImageNet at 64×64 has
    ``model_channels`` 192, ``channel_mult`` 1, 2, 3, 4, ``num_res_blocks`` 3, ``attention_resolutions`` 2, 4, 8,
    ``num_head_channels`` 64 and ``use_new_attention_order``; its dropout is 0.1.

    Args:
        size: (height, width), each divisible by 2 for every level but the last.
        model_channels: channels over ``channel_mult``.
        channel_mult: channels of each level over ``model_channels``.
        num_res_blocks: residual blocks a level on the way down; one more on the way up.
        attention_resolutions: by how much the sides are divided where there is attention; the middle has it always.
        num_head_channels: channels of an attention head, or None for ``num_heads``.
        num_heads: attention heads, whatever the channels.
        use_scale_shift_norm: whether time and class scale and shift what is normalised, or are added.
        resblock_updown: whether residual blocks change the size, or convolutions.
        use_new_attention_order: see :class:`AttentionBlock`.
        dropout: inside residual blocks.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int],
        in_channels: int,
        out_channels: int,
        model_channels: int = 32,
        channel_mult: Sequence[int] = (1, 2, 3),
        num_res_blocks: int = 1,
        attention_resolutions: Sequence[int] = (4,),
        num_head_channels: int | None = 32,
        num_heads: int = 1,
        use_scale_shift_norm: bool = True,
        resblock_updown: bool = True,
        use_new_attention_order: bool = False,
        dropout: float = 0.0,
        classes: int | None = None,
        vector: int | None = None,
    ) -> None:
        super().__init__()
        factor = 2 ** (len(channel_mult) - 1)
        if any(side % factor for side in size):
            raise ConfigError(f"a U-Net of {len(channel_mult)} levels needs sides divisible by {factor}, not {size}")
        embedding = 4 * model_channels
        blocks = _Blocks(
            embedding=embedding,
            dropout=dropout,
            scale_shift=use_scale_shift_norm,
            head_channels=num_head_channels,
            heads=num_heads,
            new_order=use_new_attention_order,
            attention_at=tuple(attention_resolutions),
            resampling=resblock_updown,
        )
        self.sinusoids = Sinusoids(model_channels)
        self.time_embed = nn.Sequential(
            nn.Linear(model_channels, embedding), nn.SiLU(), nn.Linear(embedding, embedding)
        )
        self.label_emb: nn.Module | None = None
        if classes is not None:
            self.label_emb = nn.Embedding(classes, embedding)
        elif vector is not None:
            self.label_emb = nn.Linear(vector, embedding)
        widths = [model_channels * m for m in channel_mult]
        self.input_blocks = nn.ModuleList([Stage([nn.Conv2d(in_channels, widths[0], 3, padding=1)])])
        skips = self._add_inputs(blocks, widths, num_res_blocks)
        width = widths[-1]
        self.middle_block = Stage(
            [blocks.residual(width, width), blocks.attention(width), blocks.residual(width, width)]
        )
        self.output_blocks = nn.ModuleList()
        width = self._add_outputs(blocks, widths, num_res_blocks, skips)
        self.out = nn.Sequential(group_norm(width), nn.SiLU(), zero(nn.Conv2d(width, out_channels, 3, padding=1)))

    def _add_inputs(self, blocks: _Blocks, widths: Sequence[int], depth: int) -> list[int]:
        """The way down after its first convolution; returns the channels of everything that the way up concatenates."""
        width = widths[0]
        skips = [width]
        for level, out in enumerate(widths):
            for _ in range(depth):
                self.input_blocks.append(Stage(blocks.stage(width, out, level)))
                skips.append(width := out)
            if level < len(widths) - 1:
                self.input_blocks.append(Stage([blocks.resample(out, "down")]))
                skips.append(out)
        return skips

    def _add_outputs(self, blocks: _Blocks, widths: Sequence[int], depth: int, skips: list[int]) -> int:
        """The way up, which consumes ``skips``; returns its last number of channels."""
        width = widths[-1]
        for level, out in reversed(list(enumerate(widths))):
            for i in range(depth + 1):
                layers = blocks.stage(width + skips.pop(), out, level)
                if level and i == depth:
                    layers.append(blocks.resample(out, "up"))
                self.output_blocks.append(Stage(layers))
                width = out
        return width

    @override
    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        embedding = self.time_embed(self.sinusoids(time))
        if self.label_emb is not None:
            embedding = embedding + self.label_emb(condition)
        h, skips = x, []
        for stage in self.input_blocks:
            h = stage(h, embedding)
            skips.append(h)
        h = self.middle_block(h, embedding)
        for stage in self.output_blocks:
            h = stage(torch.cat([h, skips.pop()], dim=1), embedding)
        prediction: Tensor = self.out(h)
        return prediction
