"""Architecture ``nsf-circular``: circular splines of periodic variables, Rezende et al. 2020, arXiv:2002.02428."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from functools import partial

import numpy as np
from torch import nn

from zoo.errors import ConfigError
from zoo_flows import config
from zoo_flows.bases import MixedBase, Uniform
from zoo_flows.flow import Flow
from zoo_flows.transforms import Angles, CircularMap, Coupling, Domains, MixedCoupling, Transform
from zoo_flows.transforms.bounded import intervals
from zoo_flows.transforms.circular import OfAngles
from zoo_flows.transforms.mixed import partitions


class NSFCircular(Flow):
    """A flow on a torus, or on a product of circles and lines: angles, times of day and other periodic quantities.

    Couplings of circular splines map the two parts of the components in turn; the base is uniform, and so is an
    untrained flow. Components that are not circular, where ``circular`` names those that are, get splines of the line
    and a normal base.
    The density belongs to one period, and is the same in all others.

    Args:
        conditioner: see :class:`~zoo_flows.config.Conditioner`.
        shared: see :class:`~zoo_flows.config.Shared`.
        low: start of the period that samples lie in, where all components are circular.
        period: its length.
        circular: begin and end of its period by the place of each circular component, ``{"2": [0.0, 360.0]}``, the
            others being free or bounded; None for all, with the one period above.
        transforms: how many couplings.
        bins: of each spline.
        bound: splines of the line act on [-bound, bound], in standard deviations.
    """

    @config.shared("bounds")
    @config.conditioner()
    def __init__(
        self,
        conditioner: config.Conditioner,
        shared: config.Shared,
        *,
        low: float = -math.pi,
        period: float = 2.0 * math.pi,
        circular: Mapping[str, Sequence[float]] | None = None,
        transforms: int = 6,
        bins: int = 8,
        bound: float = 5.0,
    ) -> None:
        size = shared.size
        config.positive(bound=bound)
        config.at_least(transforms=(transforms, 1), bins=(bins, 2))
        network = conditioner.network(shared.context)
        periods = None if circular is None else intervals(size, "circular", circular)
        if periods is None:
            if shared.bounds:
                raise ConfigError(
                    "all components are circular, so none has bounds", hint="Name those that are circular."
                )
            preprocessing: Transform = Angles(low, period)
            layers: list[Transform] = [
                Coupling(size, CircularMap(bins), partial(OfAngles, network), swap=turn % 2 == 1)
                for turn in range(transforms)
            ]
        else:
            if (low, period) != (-math.pi, 2.0 * math.pi):
                raise ConfigError("circular states a period for each component, so low and period do not apply")
            preprocessing, layers = _mixed(size, periods, shared.bounded, transforms, bins, bound, network)
        super().__init__(
            shared.event_shape,
            preprocessing=[preprocessing],
            transforms=layers,
            base=Uniform(size) if periods is None else MixedBase([i in periods for i in range(size)]),
            condition=shared.described,
            encoder=shared.encoder,
            landmarks=np.linspace(-math.pi, math.pi, bins + 1).tolist(),
        )


def _mixed(
    size: int,
    periods: Mapping[int, tuple[float, float]],
    bounds: Mapping[str, Sequence[float]],
    transforms: int,
    bins: int,
    bound: float,
    network: Callable[[int, int], nn.Module],
) -> tuple[Transform, list[Transform]]:
    """What brings columns to angles and lines, and couplings of both.

    Raises:
        ConfigError: a column that is circular and bounded, or a single column.
    """
    if both := sorted(periods.keys() & set(map(int, bounds))):
        raise ConfigError(f"column {both[0]} cannot be both circular and bounded")
    if size < 2:
        raise ConfigError(f"coupling needs vectors of 2 components or more, not {size}")
    kinds = [i in periods for i in range(size)]
    layers: list[Transform] = [
        MixedCoupling(kinds, read, bins=bins, bound=bound, network=network) for read in partitions(size, transforms)
    ]
    return Domains(size, periods, bounds), layers
