"""Architecture ``naf``: the neural autoregressive flow of Huang et al. 2018, arXiv:1804.00779, deep sigmoidal form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import torch

from zoo_flows import config
from zoo_flows.maf import AutoregressiveFlow
from zoo_flows.transforms import Autoregressive, SigmoidalMap, Transform


class NAF(AutoregressiveFlow):
    """Mixtures of sigmoids as autoregressive maps: densities in one pass, samples in d small steps, a root in each.

    Any increasing function is near to such a map, and it is smooth, without a bound or knots.

    Args:
        event_shape: shape of one sample, flattened inside.
        transforms: how many autoregressive transforms.
        units: sigmoids of each map.
        hidden: widths of the masked networks' hidden layers.
        residual: whether hidden layers after the first are residual blocks, all of one width.
        mixing: between transforms: ``"reverse"``, ``"permutation"``, ``"householder"``, ``"lu"`` or ``"none"``.
        base: ``"normal"``, N(0, I); ``"learned"``, normals that see the condition; or ``"mixture"``, of normals.
        components: of a mixture.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        levels: number of values of discrete data, which then pass a logit; None for continuous data.
        alpha: of the logit, see :class:`~zoo_flows.transforms.logit.Logit`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        transforms: int = 3,
        units: int = 8,
        hidden: Sequence[int] = (64, 64),
        residual: bool = False,
        mixing: str = "lu",
        base: str = "normal",
        components: int = 8,
        condition: Mapping[str, Any] | None = None,
        levels: int | None = None,
        alpha: float = 0.01,
    ) -> None:
        config.at_least(units=(units, 1))
        super().__init__(
            event_shape,
            partial(SigmoidalMap, units),
            transforms=transforms,
            hidden=hidden,
            residual=residual,
            mixing=mixing,
            base=base,
            components=components,
            condition=condition,
            levels=levels,
            alpha=alpha,
        )

    @torch.no_grad()
    def autoregressive(self, transform: Autoregressive) -> Transform:
        """One whose sigmoids begin apart."""
        assert isinstance(transform.map, SigmoidalMap)
        network = transform.network
        network.linear(-1).bias.copy_(transform.map.apart().repeat(network.size))
        return transform
