"""What of zuko's code is mended while it is traced."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor
from zuko import transforms, utils

from zoo.models.derivatives import jvp
from zoo.models.loops import loop
from zoo.models.mending import replaced


def mended() -> AbstractContextManager[object]:
    """A block in which zuko's transforms can be traced."""
    nodes = utils.GaussLegendre.nodes
    return replaced(
        (transforms.AutoregressiveTransform, "_inverse", _in_passes),
        (transforms.MonotonicTransform, "call_and_ladj", _monotonic),
        (transforms.CouplingTransform, "merge", _merged),
        (transforms, "bisection", _bisected),
        (transforms, "gauss_legendre", _quadrature),
        # its cache would keep tensors of the trace
        (utils.GaussLegendre, "nodes", staticmethod(nodes.__wrapped__)),
    )


def _in_passes(self: Any, y: Tensor) -> Tensor:
    """``AutoregressiveTransform._inverse``, as a loop."""
    (x,) = loop(self.passes, (torch.zeros_like(y),), lambda x: (self.meta(x).inv(y),))
    return x


def _monotonic(self: Any, x: Tensor) -> tuple[Tensor, Tensor]:
    """``MonotonicTransform.call_and_ladj``: each number has a function of its own, so one direction gives all slopes."""
    y, slope = jvp(self.f, x, torch.ones_like(x))
    return y, slope.log()


def _bisected(f: Callable[[Tensor], Tensor], y: Tensor, a: Any, b: Any, n: int = 16, phi: Any = ()) -> Tensor:
    """``bisection``, as a loop."""

    def turn(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
        c = (a + b) / 2
        below = f(c) < y
        return torch.where(below, c, a), torch.where(below, b, c)

    start = tuple(torch.as_tensor(each).to(y).expand_as(y) for each in (a, b))
    a, b = loop(n, start, turn)
    return (a + b) / 2


def _merged(self: Any, x_a: Tensor, x_b: Tensor, shape: Any) -> Tensor:
    """``CouplingTransform.merge``, which writes nothing in place."""
    return torch.cat([x_a, x_b], -1)[..., torch.argsort(torch.cat([self.idx_a, self.idx_b]))]


def _quadrature(f: Callable[[Tensor], Tensor], a: Tensor, b: Tensor, n: int = 3, phi: Any = ()) -> Tensor:
    """``gauss_legendre``, without the function of autograd around it, and with a sum in place of a tensor product."""
    nodes, weights = utils.GaussLegendre.nodes(n, dtype=a.dtype, device=a.device)
    points = torch.lerp(a[..., None], b[..., None], nodes).movedim(-1, 0)
    return (b - a) * (weights.reshape(-1, *[1] * a.ndim) * f(points)).sum(0)
