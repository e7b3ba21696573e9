"""Architecture ``uvit``: a diffusion over images or latents with the transformer of Bao et al. 2023."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.networks.uvit import UViT


class UViTDiffusion(Diffusion):
    """A Gaussian diffusion with a U-ViT (Bao et al. 2023).

    U-ViT-L/2 is ``embed_dim`` 1024, ``depth`` 20, ``num_heads`` 16, ``patch_size`` 2.

    Args:
        event_shape: (channels, height, width).
        patch_size: pixels along the side of a patch.
        embed_dim: length of a token.
        depth: blocks besides the one in the middle, an even number.
        num_heads: attention heads.
        mlp_ratio: hidden units of the MLPs over ``embed_dim``.
        qkv_bias: see :class:`~zoo_diffusion.networks.uvit.UViT`.
        mlp_time_embed: see there.
        conv: see there.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        variance: see :class:`~zoo_diffusion.diffusion.Diffusion`.
        diffusion: the other arguments of :class:`~zoo_diffusion.diffusion.Diffusion`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        patch_size: int = 2,
        embed_dim: int = 128,
        depth: int = 4,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        qkv_bias: bool = False,
        mlp_time_embed: bool = False,
        conv: bool = True,
        condition: Mapping[str, Any] | None = None,
        variance: str = "fixed",
        **diffusion: Any,
    ) -> None:
        if len(event_shape) != 3:
            raise ConfigError(f"a U-ViT's event is (channels, height, width), not {tuple(event_shape)}")
        channels, height, width = event_shape
        described = None if condition is None else Condition.from_description(condition)
        network = UViT(
            size=(height, width),
            in_channels=channels,
            out_channels=channels * (2 if variance == "learned-range" else 1),
            patch_size=patch_size,
            embed_dim=embed_dim,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            qkv_bias=qkv_bias,
            mlp_time_embed=mlp_time_embed,
            conv=conv,
            classes=described.size + (not described.required) if described and described.kind == "classes" else None,
            vector=described.size if described and described.kind == "vector" else None,
        )
        super().__init__(network, (channels, height, width), condition=described, variance=variance, **diffusion)
