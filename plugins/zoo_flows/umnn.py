"""Architecture ``umnn``: unconstrained monotonic autoregressive flows, Wehenkel & Louppe 2019, arXiv:1908.05164."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from zoo_flows import config
from zoo_flows.maf import AutoregressiveFlow
from zoo_flows.transforms import IntegralMap


class UMNN(AutoregressiveFlow):
    """Integrals of a positive network as autoregressive maps: densities in one pass, samples by finding roots.

    A map's slope is free in shape: it is a network of the component, told by the masked network what came before.

    Args:
        event_shape: shape of one sample, flattened inside.
        transforms: how many autoregressive transforms.
        signal: how many numbers the masked network tells the integrand.
        integrand: widths of the integrand's hidden layers.
        nodes: of the quadrature.
        bound: maps are integrals on [-bound, bound], in standard deviations; the tails are linear.
        hidden: widths of the masked networks' hidden layers.
        residual: whether hidden layers after the first are residual blocks, all of one width.
        mixing: between transforms: ``"reverse"``, ``"permutation"``, ``"householder"``, ``"lu"`` or ``"none"``.
        base: ``"normal"``, N(0, I); ``"learned"``, normals that see the condition; or ``"mixture"``, of normals.
        components: of a mixture.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        levels: number of values of discrete data, which then pass a logit; None for continuous data.
        alpha: of the logit, see :class:`~zoo_flows.transforms.logit.Logit`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        transforms: int = 3,
        signal: int = 16,
        integrand: Sequence[int] = (32, 32),
        nodes: int = 32,
        bound: float = 5.0,
        hidden: Sequence[int] = (64, 64),
        residual: bool = False,
        mixing: str = "lu",
        base: str = "normal",
        components: int = 8,
        condition: Mapping[str, Any] | None = None,
        levels: int | None = None,
        alpha: float = 0.01,
    ) -> None:
        config.at_least(signal=(signal, 1), nodes=(nodes, 2), integrand=(min(integrand, default=0), 1))
        config.positive(bound=bound)
        super().__init__(
            event_shape,
            partial(IntegralMap, signal, hidden=integrand, nodes=nodes, bound=bound),
            transforms=transforms,
            hidden=hidden,
            residual=residual,
            mixing=mixing,
            base=base,
            components=components,
            condition=condition,
            levels=levels,
            alpha=alpha,
            landmarks=(-bound, bound),
        )
