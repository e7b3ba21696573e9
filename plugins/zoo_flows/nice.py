"""Architecture ``nice``: non-linear independent components estimation, Dinh et al. 2015, arXiv:1410.8516."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import AdditiveMap, Scale
from zoo_flows.transforms.networks import ResidualMLP


class NICE(Flow):
    """Additive couplings, which keep volumes, and one learned scale for each component at the end.

    Data are standardised (after a logit, when discrete); between couplings the components change their order.

    Args:
        event_shape: shape of one sample, flattened inside.
        transforms: how many couplings; the paper has 4.
        hidden: width of the conditioners.
        blocks: residual blocks of a conditioner.
        dropout: inside the conditioners.
        mixing: between couplings: ``"reverse"`` (the paper's), ``"permutation"``, ``"householder"``, ``"lu"`` or
            ``"none"``.
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
        transforms: int = 4,
        hidden: int = 64,
        blocks: int = 2,
        dropout: float = 0.0,
        mixing: str = "reverse",
        base: str = "normal",
        components: int = 8,
        condition: Mapping[str, Any] | None = None,
        levels: int | None = None,
        alpha: float = 0.01,
    ) -> None:
        size = config.event_size(event_shape)
        config.at_least(transforms=(transforms, 1), hidden=(hidden, 1), blocks=(blocks, 0))
        config.share(dropout=dropout)
        described, context = config.described(condition)
        network = partial(ResidualMLP, context=context, hidden=hidden, blocks=blocks, dropout=dropout)
        super().__init__(
            event_shape,
            preprocessing=config.preprocessing(size, levels, alpha),
            transforms=[*config.couplings(size, AdditiveMap(), network, count=transforms, between=mixing), Scale(size)],
            base=config.base(base, size, components=components, context=context),
            condition=described,
        )
