"""Architecture ``sylvester``: the Sylvester flow of van den Berg et al. 2018, arXiv:1803.05649, Householder form."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import Sylvester


class SylvesterFlow(Flow):
    """Planar transforms of several directions at once, without the bottleneck of one.

    Densities take a few small products a transform; samples as many equations in one unknown, one after the other, as
    a transform has directions.

    Args:
        event_shape: shape of one sample, flattened inside.
        transforms: how many.
        rank: directions of a transform, from 1 to the components of a sample; None takes all of them, but 8 at most.
        reflections: Householder reflections that choose the directions; 0 takes the first components.
        condition: description of a :class:`~zoo.conditions.Condition`, or None; it moves where space is stretched.
        levels: number of values of discrete data, which then pass a logit; None for continuous data.
        alpha: of the logit, see :class:`~zoo_flows.transforms.logit.Logit`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        transforms: int = 8,
        rank: int | None = None,
        reflections: int = 4,
        condition: Mapping[str, Any] | None = None,
        levels: int | None = None,
        alpha: float = 0.01,
    ) -> None:
        size = config.event_size(event_shape)
        config.at_least(transforms=(transforms, 1), reflections=(reflections, 0))
        described, context = config.described(condition)
        rank = min(size, 8) if rank is None else rank
        super().__init__(
            event_shape,
            preprocessing=config.preprocessing(size, levels, alpha),
            transforms=[
                Sylvester(size, rank=rank, reflections=reflections, context=context) for _ in range(transforms)
            ],
            condition=described,
        )
