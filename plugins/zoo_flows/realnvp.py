"""Architecture ``realnvp``: real-valued non-volume preserving transformations, Dinh et al. 2017, arXiv:1605.08803."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import ActNorm, AffineMap, Coupling, Transform
from zoo_flows.transforms.networks import ResidualMLP


class RealNVP(Flow):
    """Affine couplings, with the components changing their order in between; sampling and scoring cost one pass each.

    Data are standardised (after a logit, when discrete). Where the paper has batch normalisation there is activation
    normalisation, which does the same for every batch.

    Args:
        event_shape: shape of one sample, flattened inside.
        transforms: how many couplings.
        hidden: width of the conditioners.
        blocks: residual blocks of a conditioner.
        dropout: inside the conditioners.
        mixing: between couplings: ``"reverse"`` (the paper's), ``"permutation"``, ``"householder"``, ``"lu"`` or
            ``"none"``.
        actnorm: whether activation normalisation follows every coupling.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        levels: number of values of discrete data, which then pass a logit; None for continuous data.
        alpha: of the logit, see :class:`~zoo_flows.transforms.logit.Logit`.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        transforms: int = 8,
        hidden: int = 64,
        blocks: int = 2,
        dropout: float = 0.0,
        mixing: str = "reverse",
        actnorm: bool = True,
        condition: Mapping[str, Any] | None = None,
        levels: int | None = None,
        alpha: float = 0.01,
    ) -> None:
        size = config.event_size(event_shape)
        config.at_least(transforms=(transforms, 1), hidden=(hidden, 1), blocks=(blocks, 0))
        config.share(dropout=dropout)
        described, context = config.described(condition)
        network = partial(ResidualMLP, context=context, hidden=hidden, blocks=blocks, dropout=dropout)
        layers: list[Transform] = []
        for layer in config.couplings(size, AffineMap(), network, count=transforms, between=mixing):
            layers += [layer, ActNorm([size])] if actnorm and isinstance(layer, Coupling) else [layer]
        super().__init__(
            event_shape,
            preprocessing=config.preprocessing(size, levels, alpha),
            transforms=layers,
            condition=described,
        )
