"""Architecture ``radial``: the radial flow of Rezende & Mohamed 2015, arXiv:1505.05770."""

from __future__ import annotations

from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import Radial


class RadialFlow(Flow):
    """Many cheap transforms, each of which stretches or presses space around a centre.

    Densities and samples take one distance a transform, both in closed form. Few parameters; for few dimensions.
    The condition moves the centres.

    Args:
        shared: see :class:`~zoo_flows.config.Shared`.
        transforms: how many.
    """

    @config.shared("logit")
    def __init__(
        self,
        shared: config.Shared,
        *,
        transforms: int = 16,
    ) -> None:
        config.at_least(transforms=(transforms, 1))
        super().__init__(
            transforms=[Radial(shared.size, context=shared.context) for _ in range(transforms)],
            **shared.parts(),
        )
