"""Architecture ``dit``: a diffusion over images or latents with the transformer of Peebles & Xie 2023."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.networks.dit import DiT


class DiTDiffusion(Diffusion):
    """A Gaussian diffusion with a DiT (Peebles & Xie 2023); with path ``rectified-flow`` and prediction ``velocity``
    it is SiT's (Ma et al. 2024).

    DiT-XL/2 is ``hidden_size`` 1152, ``depth`` 28, ``num_heads`` 16, ``patch_size`` 2.

    Args:
        event_shape: (channels, height, width).
        patch_size: pixels along the side of a patch.
        hidden_size: length of a token.
        depth: blocks.
        num_heads: attention heads.
        mlp_ratio: hidden units of the MLPs over ``hidden_size``.
        time_embedding: see :class:`~zoo_diffusion.networks.dit.DiT`.
        norm_eps: see there.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        variance: see :class:`~zoo_diffusion.diffusion.Diffusion`.
        diffusion: the other arguments of :class:`~zoo_diffusion.diffusion.Diffusion`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        patch_size: int = 2,
        hidden_size: int = 128,
        depth: int = 4,
        num_heads: int = 4,
        mlp_ratio: float = 4.0,
        time_embedding: str = "dit",
        norm_eps: float = 1e-6,
        condition: Mapping[str, Any] | None = None,
        variance: str = "fixed",
        **diffusion: Any,
    ) -> None:
        if len(event_shape) != 3:
            raise ConfigError(f"a DiT's event is (channels, height, width), not {tuple(event_shape)}")
        channels, height, width = event_shape
        described = None if condition is None else Condition.from_description(condition)
        network = DiT(
            size=(height, width),
            in_channels=channels,
            out_channels=channels * (2 if variance == "learned-range" else 1),
            patch_size=patch_size,
            hidden_size=hidden_size,
            depth=depth,
            num_heads=num_heads,
            mlp_ratio=mlp_ratio,
            time_embedding=time_embedding,
            norm_eps=norm_eps,
            classes=described.size + (not described.required) if described and described.kind == "classes" else None,
            vector=described.size if described and described.kind == "vector" else None,
        )
        super().__init__(network, (channels, height, width), condition=described, variance=variance, **diffusion)
