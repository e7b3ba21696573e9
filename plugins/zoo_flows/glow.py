"""Architecture ``glow``: Kingma & Dhariwal 2018, Glow: generative flow with invertible 1×1 convolutions."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any

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
    SplineMap,
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
        event_shape: ``[channels, height, width]``; height and width are multiples of 2^scales.
        scales: how many; L in the paper.
        steps: on every scale; K in the paper.
        hidden: channels of the conditioners.
        blocks: residual blocks of a conditioner.
        dropout: inside the conditioners.
        coupling: ``"affine"`` or ``"additive"``, as in the paper, or ``"spline"``, rational-quadratic (Durkan et al.
            2019, arXiv:1906.04032, section 5.3).
        bins: of each spline.
        bound: splines act on [-bound, bound]; the tails are the identity.
        marginal_bins: bins of a spline for each pixel before all else, which models the marginals; 0 for none. What
            dequantisation makes of a constant background is far from normal, and costs an affine flow bits.
        condition: description of a :class:`~zoo.conditions.Condition`, or None.
        levels: number of values of discrete data, which then pass a logit; None for continuous data.
        alpha: of the logit, see :class:`~zoo_flows.transforms.logit.Logit`.
        dequantisation: of discrete data in training: ``"uniform"`` noise, or ``"variational"``, learned beside the flow
            (:class:`~zoo_flows.dequantisation.VariationalDequantisation`).
    """

    def __init__(
        self,
        *,
        event_shape: Sequence[int],
        scales: int = 2,
        steps: int = 8,
        hidden: int = 64,
        blocks: int = 1,
        dropout: float = 0.0,
        coupling: str = "affine",
        bins: int = 8,
        bound: float = 5.0,
        marginal_bins: int = 0,
        condition: Mapping[str, Any] | None = None,
        levels: int | None = None,
        alpha: float = 0.01,
        dequantisation: str = "uniform",
    ) -> None:
        config.at_least(
            scales=(scales, 1),
            steps=(steps, 1),
            hidden=(hidden, 1),
            blocks=(blocks, 0),
            bins=(bins, 2),
            marginal_bins=(marginal_bins, 0),
        )
        config.positive(bound=bound)
        config.share(dropout=dropout)
        channels, height, width = config.image_shape(event_shape, scales)
        size = config.event_size(event_shape)
        affine = AffineMap(config.IMAGE_SLOPE)
        maps: dict[str, Map] = dict(zip(COUPLINGS, (affine, AdditiveMap(), SplineMap(bins, bound)), strict=True))
        map = config.one_of("coupling", coupling, maps)
        described, context = config.described(condition)
        network = partial(ResidualCNN, context=context, hidden=hidden, blocks=blocks, dropout=dropout)
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
                # what leaves, given what stays
                level.append(Coupling(channels, affine, network))
                channels //= 2
            by_scale.append(level)
        marginals: list[Transform] = [ElementwiseSpline(size, bins=marginal_bins, bound=bound)] if marginal_bins else []
        super().__init__(
            event_shape,
            preprocessing=config.preprocessing(size, levels, alpha),
            transforms=[*marginals, MultiScale(event_shape, by_scale)],
            condition=described,
            dequantisation=config.dequantisation(dequantisation, event_shape, levels),
        )
