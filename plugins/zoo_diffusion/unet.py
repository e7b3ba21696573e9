"""Architecture ``unet``: a diffusion over images with the U-Net of :mod:`zoo_diffusion.networks.unet`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.networks.unet import UNet


class UNetDiffusion(Diffusion):
    """A Gaussian diffusion over images (Ho et al. 2020; Dhariwal & Nichol 2021).

    Args:
        event_shape: (channels, height, width).
        base: channels of the first level.
        multipliers: channels of each level over ``base``; each further level halves the sides.
        blocks: residual blocks a level.
        attention: levels with self-attention, counted from 0 at full resolution.
        head_channels: channels of an attention head.
        dropout: inside residual blocks.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        diffusion: the other arguments of :class:`~zoo_diffusion.diffusion.Diffusion`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        base: int = 32,
        multipliers: Sequence[int] = (1, 2, 3),
        blocks: int = 1,
        attention: Sequence[int] = (2,),
        head_channels: int = 32,
        dropout: float = 0.0,
        condition: Mapping[str, Any] | None = None,
        **diffusion: Any,
    ) -> None:
        if len(event_shape) != 3:
            raise ConfigError(f"a U-Net's event is (channels, height, width), not {tuple(event_shape)}")
        channels, height, width = event_shape
        described = None if condition is None else Condition.from_description(condition)
        network = UNet(
            channels=channels,
            size=(height, width),
            base=base,
            multipliers=tuple(multipliers),
            blocks=blocks,
            attention=tuple(attention),
            head_channels=head_channels,
            dropout=dropout,
            classes=described.size + (not described.required) if described and described.kind == "classes" else None,
            vector=described.size if described and described.kind == "vector" else None,
        )
        super().__init__(network, (channels, height, width), condition=described, **diffusion)
