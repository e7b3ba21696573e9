"""Architecture ``glow``: Kingma & Dhariwal 2018, Glow: generative flow with invertible 1×1 convolutions."""

from __future__ import annotations

from zoo_flows import config
from zoo_flows.flow import Flow
from zoo_flows.transforms import (
    ActNorm,
    AdditiveMap,
    AffineMap,
    Coupling,
    ElementwiseSpline,
    InvertibleConv1x1,
    Map,
    MultiScale,
    Squeeze,
    Transform,
)
from zoo_flows.transforms.convolutional import ResidualCNN

COUPLINGS = ("affine", "additive", "spline")


class Glow(Flow):
    """Images through steps of activation normalisation, an invertible 1×1 convolution and a coupling of channels.

    Every scale squeezes 2×2 pixels into channels, takes its steps, and lets half of the channels leave, standardised
    given the others, until the last (arXiv:1807.03039, figure 2). Sampling and scoring cost one pass each.

    Args:
        splines: see :class:`~zoo_flows.config.Splines`.
        conditioner: see :class:`~zoo_flows.config.Conditioner`.
        shared: see :class:`~zoo_flows.config.Shared`.
        event_shape: ``[channels, height, width]``; height and width are multiples of 2^scales.
        scales: how many; L in the paper.
        steps: on every scale; K in the paper.
        coupling: ``"affine"`` or ``"additive"``, as in the paper, or ``"spline"``, rational-quadratic (Durkan et al.
            2019, arXiv:1906.04032, section 5.3).
        marginal_bins: bins of a first spline for each pixel, which models the marginals; 0 for none. A dequantised
            constant background is far from normal, and costs an affine flow bits.
    """

    @config.shared("logit", "dequantisation")
    @config.conditioner(blocks=1)
    @config.splines()
    def __init__(
        self,
        splines: config.Splines,
        conditioner: config.Conditioner,
        shared: config.Shared,
        *,
        scales: int = 2,
        steps: int = 8,
        coupling: str = "affine",
        marginal_bins: int = 0,
    ) -> None:
        config.at_least(
            scales=(scales, 1),
            steps=(steps, 1),
            marginal_bins=(marginal_bins, 0),
        )
        channels, height, width = config.image_shape(shared.event_shape, scales)
        affine = AffineMap(config.IMAGE_SLOPE)
        maps: dict[str, Map] = dict(zip(COUPLINGS, (affine, AdditiveMap(), splines.map()), strict=True))
        map = config.one_of("coupling", coupling, maps)
        splines.needed(maps=coupling == "spline", marginals=marginal_bins > 0)
        network = conditioner.network(shared.context, ResidualCNN)
        by_scale: list[list[Transform]] = []
        for scale in range(scales):
            channels, height, width = 4 * channels, height // 2, width // 2
            level: list[Transform] = [Squeeze()]
            for _ in range(steps):
                level += [
                    ActNorm([channels, height, width]),
                    InvertibleConv1x1(channels),
                    Coupling(channels, map, network),
                ]
            if scale < scales - 1:
                # the channels that leave, given those that stay
                level.append(Coupling(channels, affine, network))
                channels //= 2
            by_scale.append(level)
        marginals: list[Transform] = (
            [ElementwiseSpline(shared.size, bins=marginal_bins, bound=splines.bound)] if marginal_bins else []
        )
        super().__init__(
            transforms=[*marginals, MultiScale(shared.event_shape, by_scale)],
            **shared.parts(),
        )
