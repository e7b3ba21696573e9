"""Architecture ``planar``: the planar flow of Rezende & Mohamed 2015, arXiv:1505.05770."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import Planar


class PlanarFlow(Flow):
    """Many cheap transforms, each of which stretches or presses space along one direction.

    Densities take one product a transform, samples one equation in one unknown. Few parameters; for few dimensions.

    Args:
        event_shape: shape of one sample, flattened inside.
        transforms: how many.
        condition: description of a :class:`~zoo.conditions.Condition`, or None; it moves where space is stretched.
        levels: number of values of discrete data, which then pass a logit; None for continuous data.
        alpha: of the logit, see :class:`~zoo_flows.transforms.logit.Logit`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        transforms: int = 16,
        condition: Mapping[str, Any] | None = None,
        levels: int | None = None,
        alpha: float = 0.01,
    ) -> None:
        size = config.event_size(event_shape)
        config.at_least(transforms=(transforms, 1))
        described, context = config.described(condition)
        super().__init__(
            event_shape,
            preprocessing=config.preprocessing(size, levels, alpha),
            transforms=[Planar(size, context=context) for _ in range(transforms)],
            condition=described,
        )
