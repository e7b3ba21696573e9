"""Architecture ``nsf-ar``: the neural spline flow RQ-NSF (AR) of Durkan et al. 2019, arXiv:1906.04032."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from zoo_flows import config
from zoo_flows.maf import AutoregressiveFlow
from zoo_flows.transforms import SplineMap


class NSFAutoregressive(AutoregressiveFlow):
    """Spline autoregressive transforms: densities in one pass, samples in d small steps that cost about as much.

    Args:
        event_shape: shape of one sample, flattened inside.
        transforms: how many autoregressive transforms.
        bins: of each spline.
        bound: splines act on [-bound, bound], in standard deviations; the tails are linear.
        hidden: widths of the masked networks' hidden layers.
        residual: whether hidden layers after the first are residual blocks, all of one width.
        mixing: between transforms: ``"reverse"``, ``"permutation"``, ``"householder"``, ``"lu"`` (the paper's) or
            ``"none"``.
        base: ``"normal"``, N(0, I); ``"learned"``, normals that see the condition; or ``"mixture"``, of normals.
        components: of a mixture.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        levels: number of values of discrete data, which then pass a logit; None for continuous data.
        alpha: of the logit, see :class:`~zoo_flows.transforms.logit.Logit`.
        marginals: for tables: ``knots`` and ``categories`` of :class:`~zoo_flows.transforms.marginals.Marginals`, which
            then takes the place of standardisation; or None.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        transforms: int = 3,
        bins: int = 8,
        bound: float = 5.0,
        hidden: Sequence[int] = (64, 64),
        residual: bool = False,
        mixing: str = "lu",
        base: str = "normal",
        components: int = 8,
        condition: Mapping[str, Any] | None = None,
        levels: int | None = None,
        alpha: float = 0.01,
        marginals: Mapping[str, Any] | None = None,
    ) -> None:
        config.at_least(bins=(bins, 2))
        config.positive(bound=bound)
        super().__init__(
            event_shape,
            partial(SplineMap, bins, bound),
            transforms=transforms,
            hidden=hidden,
            residual=residual,
            mixing=mixing,
            base=base,
            components=components,
            condition=condition,
            levels=levels,
            alpha=alpha,
            marginals=marginals,
            landmarks=np.linspace(-bound, bound, bins + 1).tolist(),
        )
