"""Architecture ``diffwave``: a diffusion over signals with DiffWave (Kong et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo.conditions import Condition
from zoo.errors import ConfigError
from zoo_diffusion.diffusion import Diffusion
from zoo_diffusion.networks.diffwave import DiffWave


class DiffWaveDiffusion(Diffusion):
    """A Gaussian diffusion over signals, such as recordings, with DiffWave.

    The paper's base model is ``residual_channels`` 64, ``layers`` 30, ``cycle`` 10; that for spoken digits has 256, 36
    and 12 (sections 5.1 and 5.2), and both ``path`` ``ddpm-linear`` and ``prediction`` ``epsilon``.

    Args:
        event_shape: (channels, length).
        patch: neighbouring samples that the network takes as the channels of one position; 1 in the paper.
        residual_channels: channels of every layer.
        layers: how many.
        cycle: layers after which the dilations 1, 2, 4, ... begin anew.
        embedding: length of the time embedding.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        diffusion: the other arguments of :class:`~zoo_diffusion.diffusion.Diffusion`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        patch: int = 1,
        residual_channels: int = 64,
        layers: int = 30,
        cycle: int = 10,
        embedding: int = 512,
        condition: Mapping[str, Any] | None = None,
        **diffusion: Any,
    ) -> None:
        if len(event_shape) != 2:
            raise ConfigError(f"DiffWave's event is (channels, length), not {tuple(event_shape)}")
        channels, length = event_shape
        described = None if condition is None else Condition.from_description(condition)
        network = DiffWave(
            channels=channels,
            length=length,
            patch=patch,
            residual_channels=residual_channels,
            layers=layers,
            cycle=cycle,
            embedding=embedding,
            classes=described.size + (not described.required) if described and described.kind == "classes" else None,
            vector=described.size if described and described.kind == "vector" else None,
        )
        super().__init__(network, (channels, length), condition=described, **diffusion)
