"""Architecture ``unet1d``: a diffusion over signals with the U-Net of :mod:`zoo_diffusion.networks.unet1d`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.networks.unet1d import UNet1d


class UNet1dDiffusion(Diffusion):
    """A Gaussian diffusion over signals, such as recordings.

    Args:
        event_shape: (channels, length).
        patch: neighbouring samples that the network takes as the channels of one position.
        base: channels of the first convolution.
        multipliers: channels of each level over ``base``; each further level halves the positions.
        blocks: residual blocks a level.
        attention: levels with self-attention, counted from 0; the middle has it always.
        head_channels: channels of an attention head.
        dropout: inside residual blocks.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        diffusion: the other arguments of :class:`~zoo_diffusion.diffusion.Diffusion`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        patch: int = 16,
        base: int = 16,
        multipliers: Sequence[int] = (4, 6, 8),
        blocks: int = 1,
        attention: Sequence[int] = (),
        head_channels: int = 32,
        dropout: float = 0.0,
        condition: Mapping[str, Any] | None = None,
        **diffusion: Any,
    ) -> None:
        if len(event_shape) != 2:
            raise ConfigError(f"a 1-D U-Net's event is (channels, length), not {tuple(event_shape)}")
        channels, length = event_shape
        described = None if condition is None else Condition.from_description(condition)
        network = UNet1d(
            channels=channels,
            length=length,
            patch=patch,
            base=base,
            multipliers=tuple(multipliers),
            blocks=blocks,
            attention=tuple(attention),
            head_channels=head_channels,
            dropout=dropout,
            classes=described.size + (not described.required) if described and described.kind == "classes" else None,
            vector=described.size if described and described.kind == "vector" else None,
        )
        super().__init__(network, (channels, length), condition=described, **diffusion)
