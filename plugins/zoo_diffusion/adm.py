"""Architecture ``adm``: a diffusion over images with the U-Net of Dhariwal & Nichol 2021."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.networks.adm import ADM


class ADMDiffusion(Diffusion):
    """A Gaussian diffusion with ADM's U-Net (Dhariwal & Nichol 2021).

    The network's arguments have the names of the published code, see :class:`~zoo_diffusion.networks.adm.ADM`. The
    defaults here are a small network's. The published networks predict ε and their variance, over the path
    ``ddpm-cosine`` at 64×64 and ``ddpm-linear`` above; their classes have no null class (``required = true``).

    Args:
        event_shape: (channels, height, width).
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        variance: see :class:`~zoo_diffusion.diffusion.Diffusion`.
        diffusion: the other arguments of :class:`~zoo_diffusion.diffusion.Diffusion`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
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
        condition: Mapping[str, Any] | None = None,
        variance: str = "fixed",
        **diffusion: Any,
    ) -> None:
        if len(event_shape) != 3:
            raise ConfigError(f"a U-Net's event is (channels, height, width), not {tuple(event_shape)}")
        channels, height, width = event_shape
        described = None if condition is None else Condition.from_description(condition)
        network = ADM(
            size=(height, width),
            in_channels=channels,
            out_channels=channels * (2 if variance == "learned-range" else 1),
            model_channels=model_channels,
            channel_mult=channel_mult,
            num_res_blocks=num_res_blocks,
            attention_resolutions=attention_resolutions,
            num_head_channels=num_head_channels,
            num_heads=num_heads,
            use_scale_shift_norm=use_scale_shift_norm,
            resblock_updown=resblock_updown,
            use_new_attention_order=use_new_attention_order,
            dropout=dropout,
            classes=described.size + (not described.required) if described and described.kind == "classes" else None,
            vector=described.size if described and described.kind == "vector" else None,
        )
        super().__init__(network, (channels, height, width), condition=described, variance=variance, **diffusion)
