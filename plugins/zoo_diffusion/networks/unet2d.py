"""The 2-D U-Net of Ho et al. 2020 as diffusers' ``UNet2DModel`` has it: the same parameters under the same names."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from zoo.errors import ConfigError
from zoo.models.encoders import Attended
from zoo.models.encoding import Attention
from zoo.overriding import override
from zoo_diffusion.networks.embeddings import RandomFourier, Sinusoids, TimeEmbedding
from zoo_diffusion.networks.network import Network
from zoo_diffusion.networks.unet import crossing, zero
from zoo_diffusion.networks.unet2d_blocks import BlockStyle, Level, Middle

#: type of a block -> (whether it has attention, whether a residual block changes the size)
DOWN = {"DownBlock2D": (False, False), "AttnDownBlock2D": (True, False), "ResnetDownsampleBlock2D": (False, True)}
UP = {"UpBlock2D": (False, False), "AttnUpBlock2D": (True, False), "ResnetUpsampleBlock2D": (False, True)}
_CHOICES = {
    "time_embedding_type": ("positional", "fourier"),
    "mid_block_type": ("UNetMidBlock2D", None),
    "downsample_type": ("conv", "resnet"),
    "upsample_type": ("conv", "resnet"),
    "class_embed_type": (None, "timestep", "identity"),
}


@dataclass(frozen=True, kw_only=True)
class UNet2DLayout:
    """What a ``UNet2DModel``'s config says of the network beside sizes and classes, by the same names.

    What diffusers takes and is not here (blocks with FIR filters, learned time embeddings, spatial norms) is refused.

    Attributes:
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

    Raises:
        ConfigError: a value that is not one of those above, or levels that do not fit together.
    """

    block_out_channels: Sequence[int]
    down_block_types: Sequence[str]
    up_block_types: Sequence[str]
    mid_block_type: str | None = "UNetMidBlock2D"
    layers_per_block: int = 2
    time_embedding_type: str = "positional"
    time_embedding_dim: int | None = None
    freq_shift: float = 0.0
    flip_sin_to_cos: bool = True
    center_input_sample: bool = False
    mid_block_scale_factor: float = 1.0
    add_attention: bool = True
    downsample_padding: int = 1
    downsample_type: str = "conv"
    upsample_type: str = "conv"
    dropout: float = 0.0
    act_fn: str = "silu"
    attention_head_dim: int | None = 8
    norm_num_groups: int = 32
    attn_norm_num_groups: int | None = None
    norm_eps: float = 1e-5
    resnet_time_scale_shift: str = "default"
    class_embed_type: str | None = None

    def __post_init__(self) -> None:
        """Check values."""
        widths, down, up = self.block_out_channels, self.down_block_types, self.up_block_types
        if not len(widths) == len(down) == len(up) or not widths:
            raise ConfigError(
                "block_out_channels, down_block_types and up_block_types must have one entry for each level, "
                f"not {len(widths)}, {len(down)} and {len(up)}"
            )
        for what, kinds, blocks in (("down_block_types", down, DOWN), ("up_block_types", up, UP)):
            if unknown := [kind for kind in kinds if kind not in blocks]:
                raise ConfigError(f"{what} can be {', '.join(blocks)}, not {', '.join(dict.fromkeys(unknown))}")
        for name, known in _CHOICES.items():
            if (value := getattr(self, name)) not in known:
                raise ConfigError(f"{name} is {' or '.join(map(str, known))}, not {value!r}")

    @property
    def embedding(self) -> int:
        """Length of the embedding."""
        return self.time_embedding_dim or 4 * self.block_out_channels[0]

    def style(self) -> BlockStyle:
        """The settings of all blocks."""
        return BlockStyle(
            self.embedding,
            activation=self.act_fn,
            groups=self.norm_num_groups,
            eps=self.norm_eps,
            time=self.resnet_time_scale_shift,
            dropout=self.dropout,
            head_channels=self.attention_head_dim,
            downsample_padding=self.downsample_padding,
        )


class UNet2D(Network):
    """A U-Net over images ``[n, in_channels, height, width]``.

    Args:
        size: (height, width), each divisible by 2 for every level but the last.
        layout: fields of :class:`UNet2DLayout`.
    """

    def __init__(
        self,
        *,
        size: tuple[int, int],
        in_channels: int,
        out_channels: int,
        classes: int | None = None,
        vector: int | None = None,
        cross_attention: Attention | None = None,
        **layout: Any,
    ) -> None:
        super().__init__()
        built = UNet2DLayout(**layout)
        _check_size(size, len(built.block_out_channels))
        self.center_input_sample = built.center_input_sample
        self.class_embed_type = built.class_embed_type
        self.divides_by_time = built.time_embedding_type == "fourier"
        first, style = built.block_out_channels[0], built.style()
        features = 2 * first if self.divides_by_time else first
        self.time_proj = (
            RandomFourier(first)
            if self.divides_by_time
            else Sinusoids(first, cosines_first=built.flip_sin_to_cos, shift=built.freq_shift)
        )
        self.time_embedding = TimeEmbedding(features, built.embedding)
        self.class_embedding = _class_embedding(built.class_embed_type, classes, vector, features, built.embedding)
        cross = crossing(cross_attention)
        self.conv_in = nn.Conv2d(in_channels, first, 3, padding=1)
        self.down_blocks, skips = _down_blocks(built, style, cross)
        self.mid_block = None
        if built.mid_block_type is not None:
            self.mid_block = Middle(
                built.block_out_channels[-1],
                style,
                output_scale=built.mid_block_scale_factor,
                attention=built.add_attention,
                attention_groups=built.attn_norm_num_groups,
                cross=cross,
            )
        self.up_blocks = _up_blocks(built, style, skips, cross)
        self.conv_norm_out = style.norm(first)
        self.conv_out = zero(nn.Conv2d(first, out_channels, 3, padding=1))

    @override
    def forward(
        self, x: Tensor, time: Tensor, condition: Tensor | None = None, attended: Attended | None = None
    ) -> Tensor:
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
                h = level.block(i, h, embedding, attended)
                skips.append(h)
            if level.resampler:
                h = level.resample(h, embedding)
                skips.append(h)
        if self.mid_block is not None:
            h = self.mid_block(h, embedding, attended)
        for each in self.up_blocks:
            level = cast(Level, each)
            for i in range(len(level.resnets)):
                h = level.block(i, torch.cat([h, skips.pop()], dim=1), embedding, attended)
            if level.resampler:
                h = level.resample(h, embedding)
        prediction: Tensor = self.conv_out(F.silu(self.conv_norm_out(h)))
        return prediction / time[:, None, None, None] if self.divides_by_time else prediction


def _class_embedding(
    kind: str | None, classes: int | None, vector: int | None, features: int, size: int
) -> nn.Module | None:
    """What is added to the embedding of the time; see ``class_embed_type``."""
    if kind == "timestep":
        return TimeEmbedding(features, size)
    if kind == "identity":
        return nn.Identity()
    if vector is not None:
        return nn.Linear(vector, size)
    return None if classes is None else nn.Embedding(classes, size)


def _down_blocks(
    layout: UNet2DLayout, style: BlockStyle, cross: Callable[[int], nn.Module] | None
) -> tuple[nn.ModuleList, list[int]]:
    """The levels on the way down, and the channels of all that they and the first convolution leave for the way up."""
    levels, widths, layers = nn.ModuleList(), layout.block_out_channels, layout.layers_per_block
    width = widths[0]
    skips = [width]
    for index, (kind, out) in enumerate(zip(layout.down_block_types, widths, strict=True)):
        attention, always = DOWN[kind]
        resample = None if index == len(widths) - 1 else "down"
        pairs = [(width if i == 0 else out, out) for i in range(layers)]
        by_block = always or (attention and layout.downsample_type == "resnet")
        levels.append(Level(pairs, style, attention=attention, resample=resample, by_block=by_block, cross=cross))
        skips += [out] * (layers + (resample is not None))
        width = out
    return levels, skips


def _up_blocks(
    layout: UNet2DLayout, style: BlockStyle, skips: Sequence[int], cross: Callable[[int], nn.Module] | None
) -> nn.ModuleList:
    """The levels on the way up, from the lowest resolution; ``skips`` are those of :func:`_down_blocks`."""
    levels, widths, left = nn.ModuleList(), layout.block_out_channels, list(skips)
    width = widths[-1]
    for index, (kind, out) in enumerate(zip(layout.up_block_types, reversed(widths), strict=True)):
        attention, always = UP[kind]
        resample = None if index == len(widths) - 1 else "up"
        pairs = []
        for _ in range(layout.layers_per_block + 1):
            pairs.append((width + left.pop(), out))
            width = out
        by_block = always or (attention and layout.upsample_type == "resnet")
        levels.append(Level(pairs, style, attention=attention, resample=resample, by_block=by_block, cross=cross))
    return levels


def _check_size(size: tuple[int, int], levels: int) -> None:
    factor = 2 ** (levels - 1)
    if any(side % factor for side in size):
        raise ConfigError(f"a U-Net of {levels} levels needs sides divisible by {factor}, not {size}")
