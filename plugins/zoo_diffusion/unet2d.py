"""Architecture ``unet2d``: a diffusion over images with the U-Net of diffusers' ``UNet2DModel``."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.network_arguments import with_arguments_of
from zoo_diffusion.networks.unet2d import UNet2D, UNet2DLayout


class UNet2DDiffusion(Diffusion):
    """A Gaussian diffusion over images (Ho et al. 2020) whose network has the layout of diffusers' checkpoints.

    The network's arguments have the names of a ``UNet2DModel``'s config; see
    :class:`~zoo_diffusion.networks.unet2d.UNet2DLayout`. The defaults here are a small network's.

    Args:
        event_shape: (channels, height, width).
        condition: description of a :class:`~zoo.conditions.Condition`, or None. A vector needs ``class_embed_type``.
        variance: see :class:`~zoo_diffusion.diffusion.Diffusion`.
        diffusion: the other arguments of :class:`~zoo_diffusion.diffusion.Diffusion`.
    """

    @with_arguments_of(
        UNet2DLayout,
        block_out_channels=(32, 64, 96),
        down_block_types=("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
        up_block_types=("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
        layers_per_block=1,
        attention_head_dim=32,
    )
    def __init__(
        self,
        layout: Mapping[str, Any],
        *,
        event_shape: Sequence[int],
        condition: Mapping[str, Any] | None = None,
        variance: str = "fixed",
        **diffusion: Any,
    ) -> None:
        if len(event_shape) != 3:
            raise ConfigError(f"a U-Net's event is (channels, height, width), not {tuple(event_shape)}")
        channels, height, width = event_shape
        described = None if condition is None else Condition.from_description(condition)
        embedding = layout["time_embedding_dim"] or 4 * layout["block_out_channels"][0]
        _check_condition(described, layout["class_embed_type"], embedding)
        network = UNet2D(
            size=(height, width),
            in_channels=channels,
            out_channels=channels * (2 if variance == "learned-range" else 1),
            classes=described.size + (not described.required) if described and described.kind == "classes" else None,
            **layout,
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
