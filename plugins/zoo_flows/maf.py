"""Architecture ``maf``: the masked autoregressive flow of Papamakarios, Pavlakou & Murray 2017, arXiv:1705.07057."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

from zoo.errors import ConfigError
from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import AffineMap, Autoregressive, Map, Transform
from zoo_flows.transforms.maps import LARGEST_SLOPE


class AutoregressiveFlow(Flow):
    """Autoregressive transforms with a mixing layer between each two: the skeleton of MAF, IAF, NAF, UMNN and NSF (AR).

    Args:
        shared: see :class:`~zoo_flows.config.Shared`.
        maps: makes the map of every component, for each transform.
        batchnorm: whether batch normalisation follows every transform.
        landmarks: see :class:`~zoo_flows.flow.Flow`.
        transforms: how many autoregressive transforms.
        hidden: widths of the masked networks' hidden layers.
        residual: whether hidden layers after the first are residual blocks, all of one width.
        mixing: between transforms: ``"reverse"``, ``"permutation"`` (drawn once), ``"householder"`` (a learned
            rotation), ``"lu"`` (a learned matrix) or ``"none"``.
    """

    @config.shared("logit", "base", "marginals")
    def __init__(
        self,
        shared: config.Shared,
        maps: Callable[[], Map],
        batchnorm: bool,
        landmarks: Sequence[float],
        *,
        transforms: int = 3,
        hidden: Sequence[int] = (64, 64),
        residual: bool = False,
        mixing: str = "lu",
    ) -> None:
        size = shared.size
        config.at_least(transforms=(transforms, 1))
        layers: list[Transform] = []
        for index in range(transforms):
            if index:
                layers += config.mixing(mixing, size)
            network = Autoregressive(size, maps(), context=shared.context, hidden=hidden, residual=residual)
            layers.append(self.autoregressive(network))
            layers += config.normalization([size], actnorm=False, batchnorm=batchnorm)
        super().__init__(transforms=layers, landmarks=landmarks, **shared.parts())

    def autoregressive(self, transform: Autoregressive) -> Transform:
        """The transform in the direction in which the architecture uses it: density in one pass."""
        return transform


class MAF(AutoregressiveFlow):
    """Affine autoregressive transforms: densities in one pass, samples in d small steps that cost about as much.

    Standardised data pass ``transforms`` times through zᵢ = xᵢ·exp(s) + t, where a masked network computes s and t
    from the components before xᵢ. Between transforms the components change their order.

    Args:
        transforms: how many autoregressive transforms.
        mixing: between transforms; the paper's is ``"reverse"``.
        batchnorm: whether batch normalisation follows every transform, as in the paper.
        largest_slope: of one transform's maps, and the inverse of the least. Slopes multiply from transform to
            transform: far from the data, where none were learned, they decide how fast densities fall.
        others: see :class:`AutoregressiveFlow`.
    """

    def __init__(
        self,
        *,
        transforms: int = 5,
        mixing: str = "reverse",
        batchnorm: bool = False,
        largest_slope: float = config.AUTOREGRESSIVE_SLOPE,
        **others: Any,
    ) -> None:
        if not 1.0 < largest_slope <= LARGEST_SLOPE:
            raise ConfigError(f"largest_slope must be more than 1 and at most {LARGEST_SLOPE:g}, not {largest_slope}")
        super().__init__(
            partial(AffineMap, largest_slope), batchnorm, (), transforms=transforms, mixing=mixing, **others
        )
