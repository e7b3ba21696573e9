"""Architecture ``nice``: non-linear independent components estimation, Dinh et al. 2015, arXiv:1410.8516."""

from __future__ import annotations

from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import AdditiveMap, Scale


class NICE(Flow):
    """Additive couplings, which keep volumes, and one learned scale for each component at the end.

    Data are standardised (after a logit, when discrete); between couplings the components change their order.

    Args:
        conditioner: see :class:`~zoo_flows.config.Conditioner`.
        shared: see :class:`~zoo_flows.config.Shared`.
        transforms: how many couplings; the paper has 4.
        mixing: between couplings: ``"reverse"`` (the paper's), ``"permutation"``, ``"householder"``, ``"lu"`` or
            ``"none"``.
    """

    @config.shared("logit", "base")
    @config.conditioner()
    def __init__(
        self,
        conditioner: config.Conditioner,
        shared: config.Shared,
        *,
        transforms: int = 4,
        mixing: str = "reverse",
    ) -> None:
        size = shared.size
        config.at_least(transforms=(transforms, 1))
        network = conditioner.network(shared.context)
        super().__init__(
            transforms=[*config.couplings(size, AdditiveMap(), network, count=transforms, between=mixing), Scale(size)],
            **shared.parts(),
        )
