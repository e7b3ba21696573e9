"""The multi-scale architecture of images (Dinh et al. 2017, arXiv:1605.08803, section 3.6)."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

import torch
from torch import Tensor, nn

from zoo.overriding import override
from zoo_flows.transforms.base import Transform, prepare_in_turn
from zoo_flows.transforms.squeeze import Squeeze


class MultiScale(Transform):
    """Images, flattened to vectors, through levels of transforms; after each but the last half of the channels leave.

    What leaves is noise already, so that later levels are smaller and cheaper, and what they model is coarser. The
    first half of the channels stays (rounded down); that a coupling comes last on a level is what Glow calls a learned
    prior of what leaves, given what stays (Kingma & Dhariwal 2018, appendix B of arXiv:1807.03039).

    Args:
        shape: ``[c, h, w]`` of the images.
        levels: transforms of ``[n, c, h, w]`` on each level; only :class:`Squeeze` may change the shape.
    """

    def __init__(self, shape: Sequence[int], levels: Sequence[Sequence[Transform]]) -> None:
        super().__init__()
        self.shape = tuple(shape)
        self.levels = nn.ModuleList(nn.ModuleList(level) for level in levels)
        c, h, w = self.shape
        #: at the end of each level: the shape, and what of it leaves
        self.ends: list[tuple[int, int, int]] = []
        self.leaving: list[tuple[int, int, int]] = []
        for level in levels:
            for transform in level:
                if isinstance(transform, Squeeze):
                    c, h, w = 4 * c, h // 2, w // 2
            self.ends.append((c, h, w))
            left = c - c // 2 if len(self.ends) < len(levels) else c
            self.leaving.append((left, h, w))
            c -= left

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = torch.zeros_like(x[:, 0])
        parts: list[Tensor] = []
        h = torch.unflatten(x, 1, self.shape)
        for level, end, leaving in zip(self._levels(), self.ends, self.leaving, strict=True):
            for transform in level:
                h, log_det = transform(h, context)
                total = total + log_det
            h, out = torch.split(h, [end[0] - leaving[0], leaving[0]], dim=1)
            parts.append(out.flatten(1))
        return torch.cat(parts, dim=1), total

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        total = torch.zeros_like(z[:, 0])
        parts = torch.split(z, [math.prod(leaving) for leaving in self.leaving], dim=1)
        h: Tensor | None = None
        for level, part, leaving in reversed(list(zip(self._levels(), parts, self.leaving, strict=True))):
            out = torch.unflatten(part, 1, leaving)
            h = out if h is None else torch.cat([h, out], dim=1)
            for transform in reversed(level):
                h, log_det = transform.inverse(h, context)
                total = total + log_det
        assert h is not None
        return h.flatten(1), total

    @override
    def prepare(self, x: Tensor, context: Tensor | None = None) -> None:
        h = torch.unflatten(x, 1, self.shape)
        for level, end, leaving in zip(self._levels(), self.ends, self.leaving, strict=True):
            h = prepare_in_turn(level, h, context, whole=True)[:, : end[0] - leaving[0]]

    @override
    def frozen(self) -> Transform:
        return MultiScale(self.shape, [[each.frozen() for each in level] for level in self._levels()]).eval()

    def _levels(self) -> Iterator[list[Transform]]:
        for level in self.levels:
            assert isinstance(level, nn.ModuleList)
            yield [transform for transform in level if isinstance(transform, Transform)]
