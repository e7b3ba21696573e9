"""Architecture ``nsf-coupling``: the neural spline flow RQ-NSF (C) of Durkan et al. 2019, arXiv:1906.04032."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

import numpy as np

from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import Coupling, ElementwiseSpline, SplineMap, Transform
from zoo_flows.transforms.networks import ResidualMLP

LINEAR = ("lu", "permutation")


class NSFCoupling(Flow):
    """Spline couplings between linear layers; sampling and scoring cost one pass each.

    Data are standardised (after a logit, when discrete), then pass ``transforms`` times through a linear layer and a
    coupling, and through a last linear layer.

    Args:
        event_shape: shape of one sample, flattened inside.
        transforms: how many couplings.
        bins: of each spline.
        bound: splines act on [-bound, bound], in standard deviations; the tails are linear.
        hidden: width of the conditioners.
        blocks: residual blocks of a conditioner.
        dropout: inside the conditioners.
        linear: ``"lu"``, a learned matrix with a permutation, or ``"permutation"`` alone.
        marginal_bins: bins of a spline for each component before all else, which models the marginals; 0 for none.
        base: ``"normal"``, N(0, I); ``"learned"``, normals that see the condition; or ``"mixture"``, of normals.
        components: of a mixture.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        levels: number of values of discrete data, which then pass a logit; None for continuous data.
        alpha: of the logit, see :class:`~zoo_flows.transforms.logit.Logit`.
        marginals: for tables: ``knots`` and ``categories`` of :class:`~zoo_flows.transforms.marginals.Marginals`, which
            then takes the place of standardisation; or None.
        dequantisation: of discrete data in training: ``"uniform"`` noise, or ``"variational"``, learned beside the flow
            (:class:`~zoo_flows.dequantisation.VariationalDequantisation`).
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        transforms: int = 5,
        bins: int = 8,
        bound: float = 5.0,
        hidden: int = 64,
        blocks: int = 2,
        dropout: float = 0.0,
        linear: str = "lu",
        marginal_bins: int = 0,
        base: str = "normal",
        components: int = 8,
        condition: Mapping[str, Any] | None = None,
        levels: int | None = None,
        alpha: float = 0.01,
        dequantisation: str = "uniform",
        marginals: Mapping[str, Any] | None = None,
    ) -> None:
        size = config.event_size(event_shape)
        config.at_least(
            transforms=(transforms, 1),
            bins=(bins, 2),
            hidden=(hidden, 1),
            blocks=(blocks, 0),
            marginal_bins=(marginal_bins, 0),
        )
        config.positive(bound=bound)
        config.share(dropout=dropout)
        described, context = config.described(condition)
        layers: list[Transform] = [ElementwiseSpline(size, bins=marginal_bins, bound=bound)] if marginal_bins else []
        network = partial(ResidualMLP, context=context, hidden=hidden, blocks=blocks, dropout=dropout)
        for _ in range(transforms):
            layers += [
                *config.mixing(linear, size, LINEAR),
                Coupling(size, SplineMap(bins, bound), network),
            ]
        super().__init__(
            event_shape,
            preprocessing=config.preprocessing(size, levels, alpha, marginals),
            transforms=[*layers, *config.mixing(linear, size, LINEAR)],
            base=config.base(base, size, components=components, context=context),
            condition=described,
            dequantisation=config.dequantisation(dequantisation, event_shape, levels),
            landmarks=np.linspace(-bound, bound, bins + 1).tolist(),
        )
