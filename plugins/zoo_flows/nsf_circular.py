"""Architecture ``nsf-circular``: circular splines of periodic variables, Rezende et al. 2020, arXiv:2002.02428."""

from __future__ import annotations

import math
from functools import partial

import numpy as np

from zoo_flows import config
from zoo_flows.bases import Uniform
from zoo_flows.flow import Flow
from zoo_flows.transforms import Angles, CircularMap, Coupling
from zoo_flows.transforms.circular import OfAngles


class NSFCircular(Flow):
    """A flow on a torus: angles, times of day and other periodic quantities in every component.

    Couplings of circular splines map the two parts of the components in turn; the base is uniform, and so is an
    untrained flow.
    The density belongs to one period, and is the same in all others.

    Args:
        conditioner: see :class:`~zoo_flows.config.Conditioner`.
        shared: see :class:`~zoo_flows.config.Shared`.
        low: start of the period that samples lie in.
        period: its length.
        transforms: how many couplings.
        bins: of each spline.
    """

    @config.shared()
    @config.conditioner()
    def __init__(
        self,
        conditioner: config.Conditioner,
        shared: config.Shared,
        *,
        low: float = -math.pi,
        period: float = 2.0 * math.pi,
        transforms: int = 6,
        bins: int = 8,
    ) -> None:
        size = shared.size
        config.at_least(transforms=(transforms, 1), bins=(bins, 2))
        network = conditioner.network(shared.context)
        super().__init__(
            shared.event_shape,
            preprocessing=[Angles(low, period)],
            transforms=[
                Coupling(size, CircularMap(bins), partial(OfAngles, network), swap=turn % 2 == 1)
                for turn in range(transforms)
            ],
            base=Uniform(size),
            condition=shared.described,
            encoder=shared.encoder,
            landmarks=np.linspace(-math.pi, math.pi, bins + 1).tolist(),
        )
