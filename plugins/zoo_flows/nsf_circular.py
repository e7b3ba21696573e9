"""Architecture ``nsf-circular``: circular splines of periodic variables, Rezende et al. 2020, arXiv:2002.02428."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from zoo_flows import config
from zoo_flows.bases import Uniform
from zoo_flows.flow import Flow
from zoo_flows.transforms import Angles, CircularMap, Coupling
from zoo_flows.transforms.circular import OfAngles
from zoo_flows.transforms.networks import ResidualMLP


class NSFCircular(Flow):
    """A flow on a torus: angles, times of day, or whatever else comes round again, in every component.

    Couplings of circular splines map the two parts of the components in turn; the base is uniform, so a fresh flow is.
    The density belongs to one period, and is the same in all others.

    Args:
        event_shape: shape of one sample, flattened inside.
        low: where the period begins that samples lie in.
        period: its length.
        transforms: how many couplings.
        bins: of each spline.
        hidden: width of the conditioners.
        blocks: residual blocks of a conditioner.
        dropout: inside the conditioners.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        low: float = -math.pi,
        period: float = 2.0 * math.pi,
        transforms: int = 6,
        bins: int = 8,
        hidden: int = 64,
        blocks: int = 2,
        dropout: float = 0.0,
        condition: Mapping[str, Any] | None = None,
    ) -> None:
        size = config.event_size(event_shape)
        config.at_least(transforms=(transforms, 1), bins=(bins, 2), hidden=(hidden, 1), blocks=(blocks, 0))
        config.share(dropout=dropout)
        described, context = config.described(condition)
        network = partial(ResidualMLP, context=context, hidden=hidden, blocks=blocks, dropout=dropout)
        super().__init__(
            event_shape,
            preprocessing=[Angles(low, period)],
            transforms=[
                Coupling(size, CircularMap(bins), partial(OfAngles, network), swap=turn % 2 == 1)
                for turn in range(transforms)
            ],
            base=Uniform(size),
            condition=described,
            landmarks=np.linspace(-math.pi, math.pi, bins + 1).tolist(),
        )
