"""Architecture ``sylvester``: the Sylvester flow of van den Berg et al. 2018, arXiv:1803.05649, Householder form."""

from __future__ import annotations

from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import Sylvester


class SylvesterFlow(Flow):
    """Planar transforms of several directions at once, without the bottleneck of one.

    Densities take a few small products a transform; samples as many equations in one unknown, one after the other, as
    a transform has directions. The condition moves where space is stretched.

    Args:
        shared: see :class:`~zoo_flows.config.Shared`.
        transforms: how many.
        rank: directions of a transform, from 1 to the components of a sample; None takes all of them, but 8 at most.
        reflections: Householder reflections that choose the directions; 0 takes the first components.
    """

    @config.shared("logit")
    def __init__(
        self,
        shared: config.Shared,
        *,
        transforms: int = 8,
        rank: int | None = None,
        reflections: int = 4,
    ) -> None:
        size, context = shared.size, shared.context
        config.at_least(transforms=(transforms, 1), reflections=(reflections, 0))
        rank = min(size, 8) if rank is None else rank
        super().__init__(
            transforms=[
                Sylvester(size, rank=rank, reflections=reflections, context=context) for _ in range(transforms)
            ],
            **shared.parts(),
        )
