"""Architecture ``unet2d``: a diffusion over images with the U-Net of diffusers' ``UNet2DModel``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo_diffusion.networks.unet2d import UNet2D, UNet2DLayout
from zoo_diffusion.spatial import ATTENDING, ImageDiffusion, network_arguments


class UNet2DDiffusion(ImageDiffusion):
    """A Gaussian diffusion over images (Ho et al. 2020) whose network has the layout of diffusers' checkpoints.

    Its arguments are those of the network, which have the names of a ``UNet2DModel``'s config, and of
    :class:`~zoo_diffusion.spatial.SpatialDiffusion`. The defaults here are a small network's. A condition that is a
    vector needs ``class_embed_type``.

    Args:
        network: fields of :class:`~zoo_diffusion.networks.unet2d.UNet2DLayout`.
        diffusion: arguments of :class:`~zoo_diffusion.spatial.SpatialDiffusion`.
    """

    ways = ATTENDING

    @network_arguments(
        UNet2DLayout,
        defaults={
            "block_out_channels": (32, 64, 96),
            "down_block_types": ("DownBlock2D", "DownBlock2D", "AttnDownBlock2D"),
            "up_block_types": ("AttnUpBlock2D", "UpBlock2D", "UpBlock2D"),
            "layers_per_block": 1,
            "attention_head_dim": 32,
        },
    )
    def __init__(self, network: Mapping[str, Any], **diffusion: Any) -> None:
        layout = UNet2DLayout(**network)

        described = diffusion.get("condition")
        named = described is not None and not Condition.from_description(described).plain

        def unet2d(*, vector: int | None, **sizes: Any) -> UNet2D:
            # an embedding of named parts is always brought to the length of the time's
            _check_vector(None if named and layout.class_embed_type is None else vector, layout)
            return UNet2D(**sizes, vector=vector if named else None, **network)

        super().__init__(unet2d, **diffusion)
        if layout.time_embedding_type == "fourier" and not self.path.network_time(self.path.t_min) > 0:
            raise ConfigError(
                f"a fourier time embedding takes the logarithm of the time, and path {self.path.name} "
                "starts at time 0: use path ve"
            )


def _check_vector(length: int | None, layout: UNet2DLayout) -> None:
    """Refuse a condition, a vector of this length or none, that ``class_embed_type`` cannot embed."""
    embedded_as = layout.class_embed_type
    if embedded_as is None:
        if length is not None:
            raise ConfigError("a vector needs class_embed_type: timestep for one number, or identity")
        return
    size = {"timestep": 1, "identity": layout.embedding}[embedded_as]
    if length != size:
        raise ConfigError(f"class_embed_type {embedded_as} needs a condition of kind vector and size {size}")
