"""Architecture ``nsf-coupling``: the neural spline flow RQ-NSF (C) of Durkan et al. 2019, arXiv:1906.04032."""

from __future__ import annotations

from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import Coupling, ElementwiseSpline, Transform

LINEAR = ("lu", "permutation")


class NSFCoupling(Flow):
    """Spline couplings between linear layers; sampling and scoring cost one pass each.

    Data are standardised (after a logit, when discrete), then pass ``transforms`` times through a linear layer and a
    coupling, and through a last linear layer.

    Args:
        splines: see :class:`~zoo_flows.config.Splines`.
        conditioner: see :class:`~zoo_flows.config.Conditioner`.
        shared: see :class:`~zoo_flows.config.Shared`.
        transforms: how many couplings.
        linear: ``"lu"``, a learned matrix with a permutation, or ``"permutation"`` alone.
        marginal_bins: bins of a first spline for each component, which models the marginals; 0 for none.
    """

    @config.shared("logit", "base", "marginals", "dequantisation")
    @config.conditioner()
    @config.splines()
    def __init__(
        self,
        splines: config.Splines,
        conditioner: config.Conditioner,
        shared: config.Shared,
        *,
        transforms: int = 5,
        linear: str = "lu",
        marginal_bins: int = 0,
    ) -> None:
        size, bound = shared.size, splines.bound
        config.at_least(
            transforms=(transforms, 1),
            marginal_bins=(marginal_bins, 0),
        )
        layers: list[Transform] = [ElementwiseSpline(size, bins=marginal_bins, bound=bound)] if marginal_bins else []
        network = conditioner.network(shared.context)
        for _ in range(transforms):
            layers += [
                *config.mixing(linear, size, LINEAR),
                Coupling(size, splines.map(), network),
            ]
        super().__init__(
            transforms=[*layers, *config.mixing(linear, size, LINEAR)],
            **shared.parts(),
            landmarks=splines.landmarks(),
        )
