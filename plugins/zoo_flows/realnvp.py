"""Architecture ``realnvp``: real-valued non-volume preserving transformations, Dinh et al. 2017, arXiv:1605.08803."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial

from torch import nn

from zoo.errors import ConfigError
from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import AffineMap, Checkered, Coupling, MultiScale, Squeeze, Transform
from zoo_flows.transforms.convolutional import ResidualCNN
from zoo_flows.transforms.networks import SEEN


class RealNVP(Flow):
    """Affine couplings, with the components changing their order in between; sampling and scoring cost one pass each.

    With ``scales`` it is the paper's multi-scale architecture of images: on every scale couplings between the colours
    of a checkerboard, a squeeze of 2×2 pixels into channels, couplings between channels, after which half of them
    leave; on the last, checkerboard couplings alone.

    Data are standardised (after a logit, when discrete). Where the paper has batch normalisation there is activation
    normalisation, unless asked for, which does the same for every batch.

    Args:
        conditioner: see :class:`~zoo_flows.config.Conditioner`.
        shared: see :class:`~zoo_flows.config.Shared`.
        event_shape: shape of one sample, flattened inside; with scales ``[channels, height, width]``, where height and
            width are multiples of 2^scales.
        scales: 0 for vectors, or how many scales of images.
        transforms: how many couplings, or with scales how many of each kind on a scale, and one more on the last; None
            takes 8, or the paper's 3.
        mixing: between couplings of vectors: ``"reverse"`` (the paper's), ``"permutation"``, ``"householder"``,
            ``"lu"`` or ``"none"``. Those of images map the two parts in turn.
        actnorm: whether activation normalisation follows every coupling.
        batchnorm: let batch normalisation follow every coupling instead, as in the paper.
    """

    @config.shared("logit", "base", "dequantisation")
    @config.conditioner()
    def __init__(
        self,
        conditioner: config.Conditioner,
        shared: config.Shared,
        *,
        scales: int = 0,
        transforms: int | None = None,
        mixing: str = "reverse",
        actnorm: bool = True,
        batchnorm: bool = False,
    ) -> None:
        size, context = shared.size, shared.context
        transforms = (3 if scales else 8) if transforms is None else transforms
        config.at_least(scales=(scales, 0), transforms=(transforms, 1))
        normalization = partial(config.normalization, actnorm=actnorm, batchnorm=batchnorm)
        layers: list[Transform]
        if scales:
            if mixing != "reverse":
                raise ConfigError(
                    f"couplings of images transform their parts in turn, without mixing {mixing!r} in between"
                )
            image = config.image_shape(shared.event_shape, scales)
            network = conditioner.network(context, ResidualCNN)
            layers = [MultiScale(image, _levels(image, scales, transforms, network, normalization))]
        else:
            layers = []
            for layer in config.couplings(
                size, AffineMap(), conditioner.network(context, seen=SEEN), count=transforms, between=mixing
            ):
                layers += [layer, *(normalization([size]) if isinstance(layer, Coupling) else [])]
        super().__init__(
            transforms=layers,
            **shared.parts(),
        )


def _levels(
    shape: tuple[int, int, int],
    scales: int,
    transforms: int,
    network: Callable[[int, int], nn.Module],
    normalization: Callable[[Sequence[int]], list[Transform]],
) -> list[list[Transform]]:
    """The transforms of every scale (section 3.6)."""
    channels, height, width = shape
    map = AffineMap(config.IMAGE_SLOPE)
    levels: list[list[Transform]] = []
    for scale in range(scales):
        last = scale == scales - 1
        level: list[Transform] = []
        for turn in range(transforms + last):
            level.append(Checkered(Coupling(2 * channels, map, network, swap=turn % 2 == 1)))
            level += normalization([channels, height, width])
        if not last:
            channels, height, width = 4 * channels, height // 2, width // 2
            level.append(Squeeze())
            for turn in range(transforms):
                level.append(Coupling(channels, map, network, swap=turn % 2 == 1))
                level += normalization([channels, height, width])
            channels //= 2
        levels.append(level)
    return levels
