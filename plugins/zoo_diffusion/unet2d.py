"""Architecture ``unet2d``: a diffusion over images with the U-Net of diffusers' ``UNet2DModel``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.networks.unet2d import UNet2D


class UNet2DDiffusion(Diffusion):
    """A Gaussian diffusion over images (Ho et al. 2020) whose network has the layout of diffusers' checkpoints.

    The network's arguments have the names of a ``UNet2DModel``'s config; see
    :class:`~zoo_diffusion.networks.unet2d.UNet2D`. The defaults here are a small network's.

    Args:
        event_shape: (channels, height, width).
        condition: description of a :class:`~zoo.conditions.Condition`, or None. A vector needs ``class_embed_type``.
        variance: see :class:`~zoo_diffusion.diffusion.Diffusion`.
        diffusion: the other arguments of :class:`~zoo_diffusion.diffusion.Diffusion`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        block_out_channels: Sequence[int] = (32, 64, 96),
        down_block_types: Sequence[str] = ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types: Sequence[str] = ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        mid_block_type: str | None = "UNetMidBlock2D",
        layers_per_block: int = 1,
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
        attention_head_dim: int | None = 32,
        norm_num_groups: int = 32,
        attn_norm_num_groups: int | None = None,
        norm_eps: float = 1e-5,
        resnet_time_scale_shift: str = "default",
        class_embed_type: str | None = None,
        condition: Mapping[str, Any] | None = None,
        variance: str = "fixed",
        **diffusion: Any,
    ) -> None:
        if len(event_shape) != 3:
            raise ConfigError(f"a U-Net's event is (channels, height, width), not {tuple(event_shape)}")
        channels, height, width = event_shape
        described = None if condition is None else Condition.from_description(condition)
        _check_condition(described, class_embed_type, time_embedding_dim or 4 * block_out_channels[0])
        network = UNet2D(
            size=(height, width),
            in_channels=channels,
            out_channels=channels * (2 if variance == "learned-range" else 1),
            block_out_channels=block_out_channels,
            down_block_types=down_block_types,
            up_block_types=up_block_types,
            mid_block_type=mid_block_type,
            layers_per_block=layers_per_block,
            time_embedding_type=time_embedding_type,
            time_embedding_dim=time_embedding_dim,
            freq_shift=freq_shift,
            flip_sin_to_cos=flip_sin_to_cos,
            center_input_sample=center_input_sample,
            mid_block_scale_factor=mid_block_scale_factor,
            add_attention=add_attention,
            downsample_padding=downsample_padding,
            downsample_type=downsample_type,
            upsample_type=upsample_type,
            dropout=dropout,
            act_fn=act_fn,
            attention_head_dim=attention_head_dim,
            norm_num_groups=norm_num_groups,
            attn_norm_num_groups=attn_norm_num_groups,
            norm_eps=norm_eps,
            resnet_time_scale_shift=resnet_time_scale_shift,
            class_embed_type=class_embed_type,
            classes=described.size + (not described.required) if described and described.kind == "classes" else None,
        )
        super().__init__(network, (channels, height, width), condition=described, variance=variance, **diffusion)
        if network.divides_by_time and not self.path.network_time(self.path.t_min) > 0:
            raise ConfigError(
                f"a fourier time embedding takes the logarithm of the time, which path {self.path.name} "
                "starts at 0: use path ve"
            )


def _check_condition(condition: Condition | None, embedded_as: str | None, embedding: int) -> None:
    """Refuse a condition that ``class_embed_type`` cannot embed."""
    kind = None if condition is None else condition.kind
    if embedded_as is None:
        if kind == "vector":
            raise ConfigError("a vector needs class_embed_type: timestep for one number, or identity")
        return
    size = {"timestep": 1, "identity": embedding}.get(embedded_as)
    if size is not None and (condition is None or kind != "vector" or condition.size != size):
        raise ConfigError(f"class_embed_type {embedded_as} needs a condition of kind vector and size {size}")
