"""Architecture ``maf``: the masked autoregressive flow of Papamakarios, Pavlakou & Murray 2017, arXiv:1705.07057."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import AffineMap, Autoregressive, Map, Transform


class AutoregressiveFlow(Flow):
    """Autoregressive transforms with a mixing layer between each two: the skeleton of MAF, IAF and NSF (AR).

    Args:
        event_shape: shape of one sample, flattened inside.
        maps: makes the map of every component, for each transform.
        transforms: how many autoregressive transforms.
        hidden: widths of their hidden layers.
        residual: whether hidden layers after the first are residual blocks.
        mixing: ``"reverse"``, ``"permutation"`` (drawn once), ``"householder"`` (a learned rotation), ``"lu"`` (a
            learned matrix) or ``"none"``.
        batchnorm: whether batch normalisation follows every transform.
        base: ``"normal"``, N(0, I); ``"learned"``, normals that see the condition; or ``"mixture"``, of normals.
        components: of a mixture.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        levels: number of values of discrete data, which then pass a logit; None for continuous data.
        alpha: of the logit, see :class:`~zoo_flows.transforms.logit.Logit`.
        marginals: for tables: ``knots`` and ``categories`` of :class:`~zoo_flows.transforms.marginals.Marginals`, which
            then takes the place of standardisation; or None.
        landmarks: see :class:`~zoo_flows.flow.Flow`.
    """

    def __init__(
        self,
        event_shape: Sequence[int],
        maps: Callable[[], Map],
        *,
        transforms: int,
        hidden: Sequence[int],
        residual: bool,
        mixing: str,
        batchnorm: bool = False,
        base: str,
        components: int,
        condition: Mapping[str, Any] | None,
        levels: int | None,
        alpha: float,
        marginals: Mapping[str, Any] | None = None,
        landmarks: Sequence[float] = (),
    ) -> None:
        size = config.event_size(event_shape)
        config.at_least(transforms=(transforms, 1))
        described, context = config.described(condition)
        layers: list[Transform] = []
        for index in range(transforms):
            if index:
                layers += config.mixing(mixing, size)
            layers.append(
                self.autoregressive(Autoregressive(size, maps(), context=context, hidden=hidden, residual=residual))
            )
            layers += config.normalization([size], actnorm=False, batchnorm=batchnorm)
        super().__init__(
            event_shape,
            preprocessing=config.preprocessing(size, levels, alpha, marginals),
            transforms=layers,
            base=config.base(base, size, components=components, context=context),
            condition=described,
            landmarks=landmarks,
        )

    def autoregressive(self, transform: Autoregressive) -> Transform:
        """The transform in the direction in which the architecture uses it: density in one pass."""
        return transform


class MAF(AutoregressiveFlow):
    """Affine autoregressive transforms: densities in one pass, samples in d small steps that cost about as much.

    Standardised data pass ``transforms`` times through zᵢ = xᵢ·exp(s) + t, where s and t are made of the components
    before xᵢ by a masked network. Between transforms the components change their order.

    Args:
        event_shape: shape of one sample, flattened inside.
        transforms: how many autoregressive transforms.
        hidden: widths of the masked networks' hidden layers.
        residual: whether hidden layers after the first are residual blocks, all of one width.
        mixing: between transforms: ``"reverse"`` (the paper's), ``"permutation"``, ``"householder"``, ``"lu"`` or
            ``"none"``.
        batchnorm: whether batch normalisation follows every transform, as in the paper.
        base: ``"normal"``, N(0, I); ``"learned"``, normals that see the condition; or ``"mixture"``, of normals.
        components: of a mixture.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        levels: number of values of discrete data, which then pass a logit; None for continuous data.
        alpha: of the logit, see :class:`~zoo_flows.transforms.logit.Logit`.
        marginals: for tables: ``knots`` and ``categories`` of :class:`~zoo_flows.transforms.marginals.Marginals`, which
            then takes the place of standardisation; or None.
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        transforms: int = 5,
        hidden: Sequence[int] = (64, 64),
        residual: bool = False,
        mixing: str = "reverse",
        batchnorm: bool = False,
        base: str = "normal",
        components: int = 8,
        condition: Mapping[str, Any] | None = None,
        levels: int | None = None,
        alpha: float = 0.01,
        marginals: Mapping[str, Any] | None = None,
    ) -> None:
        super().__init__(
            event_shape,
            AffineMap,
            transforms=transforms,
            hidden=hidden,
            residual=residual,
            mixing=mixing,
            batchnorm=batchnorm,
            base=base,
            components=components,
            condition=condition,
            levels=levels,
            alpha=alpha,
            marginals=marginals,
        )
