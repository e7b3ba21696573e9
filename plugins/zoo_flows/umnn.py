"""Architecture ``umnn``: unconstrained monotonic autoregressive flows, Wehenkel & Louppe 2019, arXiv:1908.05164."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from typing import Any

from zoo_flows import config
from zoo_flows.maf import AutoregressiveFlow
from zoo_flows.transforms import IntegralMap


class UMNN(AutoregressiveFlow):
    """Integrals of a positive network as autoregressive maps: densities in one pass, samples by finding roots.

    A map's slope can have any shape: it is a network of the component and of a signal from the masked network.

    Args:
        signal: length of the signal from the masked network to the integrand.
        integrand: widths of the integrand's hidden layers.
        nodes: of the quadrature.
        bound: maps are integrals on [-bound, bound], in standard deviations; the tails are linear.
        others: see :class:`~zoo_flows.maf.AutoregressiveFlow`.
    """

    def __init__(
        self,
        *,
        signal: int = 16,
        integrand: Sequence[int] = (32, 32),
        nodes: int = 32,
        bound: float = 5.0,
        **others: Any,
    ) -> None:
        config.at_least(signal=(signal, 1), nodes=(nodes, 2), integrand=(min(integrand, default=0), 1))
        config.positive(bound=bound)
        maps = partial(IntegralMap, signal, hidden=integrand, nodes=nodes, bound=bound)
        super().__init__(maps, False, (-bound, bound), **others)
