"""Architecture ``unet1d``: a diffusion over signals with the U-Net of :mod:`zoo_diffusion.networks.unet1d`, or of
:mod:`zoo_diffusion.networks.policy`.
"""

from __future__ import annotations

import inspect
from collections.abc import Mapping
from functools import partial
from typing import Any

from zoo.errors import ConfigError, UnknownNameError
from zoo_diffusion.networks.policy import PolicyUNet1d
from zoo_diffusion.networks.unet import UNet
from zoo_diffusion.networks.unet1d import UNet1d
from zoo_diffusion.spatial import ATTENDING, SignalDiffusion, network_arguments

LAYOUTS = {"adm": UNet1d, "diffusion-policy": PolicyUNet1d}
_DEFAULTS: dict[str, object] = {"patch": 16, "base": 16, "multipliers": (4, 6, 8), "attention": ()}


class UNet1dDiffusion(SignalDiffusion):
    """A Gaussian diffusion over signals, such as recordings, or actions over a horizon.

    Its arguments are those of the network and of :class:`~zoo_diffusion.spatial.SpatialDiffusion`.

    Args:
        network: arguments of the layout's network: :class:`~zoo_diffusion.networks.unet1d.UNet1d`, those of its U-Net
            among them, or :class:`~zoo_diffusion.networks.policy.PolicyUNet1d`.
        layout: ``"adm"``, or ``"diffusion-policy"`` for the U-Net of Chi et al. 2023.
        diffusion: arguments of :class:`~zoo_diffusion.spatial.SpatialDiffusion`.
    """

    ways = ATTENDING

    @network_arguments(UNet1d, UNet, PolicyUNet1d, defaults=_DEFAULTS)
    def __init__(self, network: Mapping[str, object], *, layout: str = "adm", **diffusion: Any) -> None:
        if layout not in LAYOUTS:
            raise UnknownNameError("layout", layout, LAYOUTS)
        policies = set(inspect.signature(PolicyUNet1d).parameters)
        # defaults of the other layout are not said by a config
        theirs = {n: v for n, v in network.items() if (n in policies) != (layout == "diffusion-policy")}
        if beyond := sorted(n for n, v in theirs.items() if n in policies or v != _DEFAULTS.get(n)):
            raise ConfigError(f"the layout {layout} takes no {beyond[0]}")
        own = {name: value for name, value in network.items() if name not in theirs}
        super().__init__(partial(LAYOUTS[layout], **own), **diffusion)
