"""Architecture ``naf``: the neural autoregressive flow of Huang et al. 2018, arXiv:1804.00779, deep sigmoidal form."""

from __future__ import annotations

from functools import partial
from typing import Any

import torch

from zoo_flows import config
from zoo_flows.maf import AutoregressiveFlow
from zoo_flows.transforms import Autoregressive, SigmoidalMap, Transform


class NAF(AutoregressiveFlow):
    """Mixtures of sigmoids as autoregressive maps: densities in one pass, samples in d small steps, a root in each.

    Such maps approximate any increasing function, and are smooth, without bounds or knots.

    Args:
        units: sigmoids of each map.
        others: see :class:`~zoo_flows.maf.AutoregressiveFlow`.
    """

    def __init__(self, *, units: int = 8, **others: Any) -> None:
        config.at_least(units=(units, 1))
        super().__init__(partial(SigmoidalMap, units), False, (), **others)

    @torch.no_grad()
    def autoregressive(self, transform: Autoregressive) -> Transform:
        """One whose sigmoids begin apart."""
        assert isinstance(transform.map, SigmoidalMap)
        network = transform.network
        network.linear(-1).bias.copy_(transform.map.apart().repeat(network.size))
        return transform
