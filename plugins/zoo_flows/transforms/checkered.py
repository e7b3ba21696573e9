"""Couplings between the two colours of a checkerboard (Dinh et al. 2017, arXiv:1605.08803, section 3.4)."""

from __future__ import annotations

import torch
from torch import Tensor

from zoo.overriding import override
from zoo_flows.transforms.base import Transform


class Checkered(Transform):
    """A transform of the cells of a checkerboard, where the black and the white ones are channels of their own.

    The paper masks one colour. Here the cells of a colour move together, ``[n, c, h, w]`` to ``[n, 2c, h, w/2]``, black
    before white, so that a coupling of channels computes nothing to be multiplied by 0; what a convolution sees is then
    every other pixel of a row, and those of the rows beside it shifted by one.

    Args:
        transform: of ``[n, 2c, h, w/2]``.
    """

    def __init__(self, transform: Transform) -> None:
        super().__init__()
        self.transform = transform

    @override
    def forward(self, x: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        z, log_det = self.transform(by_colour(x), context)
        return _by_place(z), log_det

    @override
    def inverse(self, z: Tensor, context: Tensor | None = None) -> tuple[Tensor, Tensor]:
        x, log_det = self.transform.inverse(by_colour(z), context)
        return _by_place(x), log_det

    @override
    def prepare(self, x: Tensor, context: Tensor | None = None) -> None:
        self.transform.prepare(by_colour(x), context)

    @override
    def frozen(self) -> Transform:
        return Checkered(self.transform.frozen()).eval()


def by_colour(x: Tensor) -> Tensor:
    """``[n, c, h, w]`` to ``[n, 2c, h, w/2]``, see :class:`Checkered`."""
    left, right = torch.unflatten(x, 3, (-1, 2)).unbind(4)
    odd = _odd_rows(x)
    return torch.cat([torch.where(odd, right, left), torch.where(odd, left, right)], dim=1)


def _by_place(cells: Tensor) -> Tensor:
    black, white = torch.chunk(cells, 2, dim=1)
    odd = _odd_rows(cells)
    return torch.stack([torch.where(odd, white, black), torch.where(odd, black, white)], dim=4).flatten(3)


def _odd_rows(x: Tensor) -> Tensor:
    """``[h, 1]``: whether a row begins with white."""
    return torch.arange(x.shape[2], device=x.device).remainder(2).bool().unsqueeze(1)
