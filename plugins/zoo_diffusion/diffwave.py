"""Architecture ``diffwave``: a diffusion over signals with DiffWave (Kong et al. 2021)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from torch import nn

from zoo.overriding import override
from zoo_diffusion.networks.diffwave import DiffWave
from zoo_diffusion.spatial import SignalDiffusion, network_arguments


class DiffWaveDiffusion(SignalDiffusion):
    """A Gaussian diffusion over signals, such as recordings, with DiffWave.

    Its arguments are those of the network and of :class:`~zoo_diffusion.spatial.SpatialDiffusion`. The paper's base
    model is ``residual_channels`` 64, ``layers`` 30, ``cycle`` 10; that for spoken digits has 256, 36 and 12 (sections
    5.1 and 5.2), and both ``path`` ``ddpm-linear`` and ``prediction`` ``epsilon``.

    Args:
        network: arguments of :class:`~zoo_diffusion.networks.diffwave.DiffWave`.
        diffusion: arguments of :class:`~zoo_diffusion.spatial.SpatialDiffusion`.
    """

    @network_arguments(DiffWave)
    def __init__(self, network: Mapping[str, Any], **diffusion: Any) -> None:
        super().__init__(partial(DiffWave, **network), **diffusion)

    @override
    def blocks(self) -> Sequence[nn.Module]:
        return ()  # its layers return views, which torch warns of
