"""The 2-D U-Net of Ho et al. 2020 as diffusers' ``UNet2DModel`` has it: the same parameters under the same names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo_diffusion.networks.embeddings import RandomFourier, Sinusoids, TimeEmbedding
from zoo_diffusion.networks.unet import zero
from zoo_diffusion.networks.unet2d_blocks import BlockStyle, Level, Middle

#: type of a block -> (whether it has attention, whether a residual block changes the size)
DOWN = {"DownBlock2D": (False, False), "AttnDownBlock2D": (True, False), "ResnetDownsampleBlock2D": (False, True)}
UP = {"UpBlock2D": (False, False), "AttnUpBlock2D": (True, False), "ResnetUpsampleBlock2D": (False, True)}


class UNet2D(nn.Module):
    """A U-Net over images ``[n, in_channels, height, width]``.

    Arguments have the names, meanings and values of ``UNet2DModel``, so that its configs can be read as they are; what
    it takes and is not here (blocks with FIR filters, learned time embeddings, spatial norms) is refused.

    Args:
        size: (height, width), each divisible by 2 for every level but the last.
        in_channels: of the input.
        out_channels: of the output.
        block_out_channels: channels of each level.
        down_block_types: keys of :data:`DOWN`, one a level.
        up_block_types: keys of :data:`UP`, one a level, from the lowest resolution up.
        mid_block_type: ``"UNetMidBlock2D"``, or None for no middle.
        layers_per_block: residual blocks a level on the way down; one more on the way up.
        time_embedding_type: ``"positional"``, or ``"fourier"`` for networks that are given σ: their output is divided
            by it.
        time_embedding_dim: length of the embedding; None for four times the first channels.
        freq_shift: see :class:`~zoo_diffusion.networks.embeddings.Sinusoids`.
        flip_sin_to_cos: cosines before sines.
        center_input_sample: whether the input is taken from [0, 1] to [-1, 1] first.
        mid_block_scale_factor: what sums in the middle are divided by.
        add_attention: whether the middle has attention.
        downsample_padding: 0 or 1; 0 pads below and to the right.
        downsample_type: ``"conv"`` or ``"resnet"``, of levels with attention.
        upsample_type: likewise.
        dropout: inside residual blocks.
        act_fn: activation.
        attention_head_dim: channels of an attention head; None for one head.
        norm_num_groups: of group norm.
        attn_norm_num_groups: of the norm at the middle's attention.
        norm_eps: of group norm.
        resnet_time_scale_shift: ``"default"`` or ``"scale_shift"``.
        class_embed_type: None for ``classes``; ``"timestep"`` for a number that is embedded as the time is, or
            ``"identity"`` for a vector that is added to the time embedding as it is.
        classes: number of classes including a null class, or None.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int],
        in_channels: int,
        out_channels: int,
        block_out_channels: Sequence[int],
        down_block_types: Sequence[str],
        up_block_types: Sequence[str],
        mid_block_type: str | None = "UNetMidBlock2D",
        layers_per_block: int = 2,
        time_embedding_type: str = "positional",
        time_embedding_dim: int | None = None,
        freq_shift: float = 0.0,
        flip_sin_to_cos: bool = True,
        center_input_sample: bool = False,
        mid_block_scale_factor: float = 1.0,
        add_attention: bool = True,
        downsample_padding: int = 1,
        downsample_type: str = "conv",
        upsample_type: str = "conv",
        dropout: float = 0.0,
        act_fn: str = "silu",
        attention_head_dim: int | None = 8,
        norm_num_groups: int = 32,
        attn_norm_num_groups: int | None = None,
        norm_eps: float = 1e-5,
        resnet_time_scale_shift: str = "default",
        class_embed_type: str | None = None,
        classes: int | None = None,
    ) -> None:
        super().__init__()
        widths = list(block_out_channels)
        _check(widths, down_block_types, up_block_types, size)
        for name, value, known in (
            ("time_embedding_type", time_embedding_type, ("positional", "fourier")),
            ("mid_block_type", mid_block_type, ("UNetMidBlock2D", None)),
            ("downsample_type", downsample_type, ("conv", "resnet")),
            ("upsample_type", upsample_type, ("conv", "resnet")),
            ("class_embed_type", class_embed_type, (None, "timestep", "identity")),
        ):
            if value not in known:
                raise ConfigError(f"{name} is {' or '.join(map(str, known))}, not {value!r}")
        self.center_input_sample = center_input_sample
        self.class_embed_type = class_embed_type
        self.divides_by_time = time_embedding_type == "fourier"
        first = widths[0]
        embedding = time_embedding_dim or 4 * first
        style = BlockStyle(
            embedding,
            activation=act_fn,
            groups=norm_num_groups,
            eps=norm_eps,
            time=resnet_time_scale_shift,
            dropout=dropout,
            head_channels=attention_head_dim,
            downsample_padding=downsample_padding,
        )
        self.time_proj: RandomFourier | Sinusoids
        if time_embedding_type == "fourier":
            self.time_proj, features = RandomFourier(first), 2 * first
        else:
            self.time_proj, features = Sinusoids(first, cosines_first=flip_sin_to_cos, shift=freq_shift), first
        self.time_embedding = TimeEmbedding(features, embedding)
        self.class_embedding: nn.Module | None = None
        if class_embed_type == "timestep":
            self.class_embedding = TimeEmbedding(features, embedding)
        elif class_embed_type == "identity":
            self.class_embedding = nn.Identity()
        elif classes is not None:
            self.class_embedding = nn.Embedding(classes, embedding)

        self.conv_in = nn.Conv2d(in_channels, first, 3, padding=1)
        skips, width = [first], first
        self.down_blocks = nn.ModuleList()
        for level, (kind, out) in enumerate(zip(down_block_types, widths, strict=True)):
            attention, by_block = DOWN[kind]
            resample = None if level == len(widths) - 1 else "down"
            pairs = [(width if i == 0 else out, out) for i in range(layers_per_block)]
            by_block = by_block or (attention and downsample_type == "resnet")
            self.down_blocks.append(Level(pairs, style, attention=attention, resample=resample, by_block=by_block))
            skips += [out] * (layers_per_block + (resample is not None))
            width = out
        self.mid_block = None
        if mid_block_type is not None:
            self.mid_block = Middle(
                width,
                style,
                output_scale=mid_block_scale_factor,
                attention=add_attention,
                attention_groups=attn_norm_num_groups,
            )
        self.up_blocks = nn.ModuleList()
        for level, (kind, out) in enumerate(zip(up_block_types, reversed(widths), strict=True)):
            attention, by_block = UP[kind]
            resample = None if level == len(widths) - 1 else "up"
            pairs = []
            for _ in range(layers_per_block + 1):
                pairs.append((width + skips.pop(), out))
                width = out
            by_block = by_block or (attention and upsample_type == "resnet")
            self.up_blocks.append(Level(pairs, style, attention=attention, resample=resample, by_block=by_block))
        self.conv_norm_out = style.norm(first)
        self.conv_out = zero(nn.Conv2d(first, out_channels, 3, padding=1))

    def forward(self, x: Tensor, time: Tensor, condition: Tensor | None = None) -> Tensor:
        """Predict.

        Args:
            x: ``[n, in_channels, height, width]``.
            time: ``[n]``, the network's time.
            condition: int ``[n]`` or float ``[n, d]``, as built.

        Returns:
            ``[n, out_channels, height, width]``.
        """
        if self.center_input_sample:
            x = 2 * x - 1
        embedding = self.time_embedding(self.time_proj(time))
        if self.class_embedding is not None:
            assert condition is not None
            class_input = self.time_proj(condition[:, 0]) if self.class_embed_type == "timestep" else condition
            embedding = embedding + self.class_embedding(class_input)
        h = self.conv_in(x)
        skips = [h]
        for each in self.down_blocks:
            level = cast(Level, each)
            for i in range(len(level.resnets)):
                h = level.block(i, h, embedding)
                skips.append(h)
            if level.resampler:
                h = level.resample(h, embedding)
                skips.append(h)
        if self.mid_block is not None:
            h = self.mid_block(h, embedding)
        for each in self.up_blocks:
            level = cast(Level, each)
            for i in range(len(level.resnets)):
                h = level.block(i, torch.cat([h, skips.pop()], dim=1), embedding)
            if level.resampler:
                h = level.resample(h, embedding)
        prediction: Tensor = self.conv_out(F.silu(self.conv_norm_out(h)))
        return prediction / time[:, None, None, None] if self.divides_by_time else prediction


def _check(widths: Sequence[int], down: Sequence[str], up: Sequence[str], size: tuple[int, int]) -> None:
    """Refuse levels that do not fit together."""
    if not len(widths) == len(down) == len(up) or not widths:
        raise ConfigError(
            "block_out_channels, down_block_types and up_block_types have one entry a level, "
            f"not {len(widths)}, {len(down)} and {len(up)}"
        )
    for what, kinds, known in (("down_block_types", down, DOWN), ("up_block_types", up, UP)):
        if unknown := [kind for kind in kinds if kind not in known]:
            raise ConfigError(f"{what} can be {', '.join(known)}, not {', '.join(dict.fromkeys(unknown))}")
    factor = 2 ** (len(widths) - 1)
    if any(side % factor for side in size):
        raise ConfigError(f"a U-Net of {len(widths)} levels needs sides divisible by {factor}, not {size}")
