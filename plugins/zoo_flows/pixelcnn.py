"""Architecture ``pixelcnn``: images pixel by pixel, van den Oord et al. 2016, arXiv:1606.05328, as a flow."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from zoo.errors import ConfigError
from zoo.overriding import override
from zoo_flows import config
from zoo_flows.bases import Logistic
from zoo_flows.flow import Flow
from zoo_flows.transforms import AffineMap, HistogramMap, Interval, Map, Pixelwise, Transform

MAPS = ("histogram", "spline", "affine")
#: levels of a histogram, of which the network has an output for each
_MOST = 2**16


class PixelCNN(Flow):
    """One autoregressive transform over pixels, with parameters from convolutions that see those above and to the left.

    Densities take one pass; samples take a step for each pixel, in which each layer computes that pixel alone.

    With ``map = "histogram"`` every level has a share, and the base is uniform, as logits: of whole numbers with
    uniform noise the density is then the probability that a PixelCNN's softmax gives, and no sample lies outside the
    levels.

    Args:
        splines: see :class:`~zoo_flows.config.Splines`; they are of ``map = "spline"``.
        shared: see :class:`~zoo_flows.config.Shared`.
        event_shape: ``[channels, height, width]``.
        map: of each component: ``"histogram"``, piecewise-linear with one bin a level (Müller et al. 2019,
            arXiv:1808.03856), which needs ``levels``; ``"spline"``, rational-quadratic (Durkan et al. 2019,
            arXiv:1906.04032); ``"affine"``. None takes the histogram for data with levels and the spline for others.
        width: channels of the hidden layers.
        blocks: residual blocks.
        field: how far up and to both sides the first convolution sees.
        reach: the same of those in the blocks.
    """

    @config.shared("logit", "dequantisation")
    @config.splines()
    def __init__(
        self,
        splines: config.Splines,
        shared: config.Shared,
        *,
        map: str | None = None,
        width: int = 64,
        blocks: int = 4,
        field: int = 4,
        reach: int = 2,
    ) -> None:
        config.at_least(width=(width, 1), blocks=(blocks, 0), field=(field, 1), reach=(reach, 1))
        if len(shared.event_shape) != 3:
            raise ConfigError(f"pixels need an event_shape [channels, height, width], not {list(shared.event_shape)}")
        levels = shared.levels
        kind = map or ("spline" if levels is None else "histogram")
        maps: dict[str, Map] = dict(
            zip(MAPS, (HistogramMap(levels or 2), splines.map(), AffineMap(config.AUTOREGRESSIVE_SLOPE)), strict=True)
        )
        chosen = config.one_of("map", kind, maps)
        splines.needed(maps=kind == "spline", marginals=False)
        parts: dict[str, Any] = shared.parts(channels=shared.event_shape[0])
        if kind == "histogram":
            if levels is None:
                raise ConfigError("a histogram has a bin for each level, so it needs levels")
            if levels > _MOST:
                raise ConfigError(
                    f"a histogram has a bin for each level, and {levels} are more than {_MOST}",
                    hint='Of so many levels, take map = "spline".',
                )
            if shared.alpha != config.Shared.alpha:
                raise ConfigError("alpha is that of a logit, and levels do not pass one before a histogram")
            parts |= {
                "preprocessing": [Interval(0.0, float(levels))],
                "base": Logistic(shared.size),
                "landmarks": np.linspace(-1.0, 1.0, levels + 1).tolist(),
            }
        elif kind == "spline":
            parts["landmarks"] = splines.landmarks()
        super().__init__(
            **parts,
            transforms=[
                Pixelwise(
                    shared.event_shape,
                    chosen,
                    context=shared.context,
                    width=width,
                    blocks=blocks,
                    field=field,
                    reach=reach,
                    levels=levels if kind == "histogram" else None,
                )
            ],
        )

        if kind == "histogram" and levels is not None:
            # the network sees which level a value lies in, and no more
            self.edges = tuple(float(level) for level in range(1, levels))
            self.turns = tuple(np.arange(shared.size).reshape(shared.event_shape[0], -1).T.flatten().tolist())

    @torch.no_grad()
    @override
    def prepare(self, x: Tensor, condition: Tensor | None = None) -> None:
        """The map of every component begins with the distribution of all of them together."""
        super().prepare(x, condition)
        z = x.flatten(1)
        for transform in (*self.preprocessing, *self.transforms):
            assert isinstance(transform, Transform)
            if isinstance(transform, Pixelwise):
                transform.begin(z)
                break
            z, _ = transform(z)
