"""The inverses that normflows' planar and radial flows lack, with its own parameters.

A planar flow with tanh is undone by the root of one equation in one unknown, a radial one by that of a quadratic, as
:mod:`zoo_flows.transforms.planar` and :mod:`zoo_flows.transforms.radial` do.
"""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Any

import torch
from normflows.flows.base import Flow
from normflows.flows.planar import Planar
from normflows.flows.radial import Radial
from torch import Tensor

from zoo.models.loops import loop
from zoo.models.mending import replaced
from zoo_flows.transforms.root import newton, start

#: Newton's steps: normflows lets the slope of a planar flow come nearer to 0 than ours, where more are needed
_STEPS = 24
_of_leaky_relu, _lacking = Planar.inverse, Flow.inverse


def both_ways() -> AbstractContextManager[object]:
    """A block in which planar and radial flows have their inverse."""
    return replaced((Planar, "inverse", planar), (Flow, "inverse", _inherited))


def _inherited(self: Any, z: Tensor) -> tuple[Tensor, Tensor]:
    """``Flow.inverse``, which radial flows inherit and which only raises."""
    if isinstance(self, Radial):
        return radial(self, z)
    x, log_det = _lacking(self, z)
    return x, log_det


def planar(self: Any, z: Tensor) -> tuple[Tensor, Tensor]:
    """x and log |det ∂x/∂z| of z = x + û·tanh(wᵀx + b), with s + c·tanh(s) = wᵀz + b and c = wᵀû."""
    if self.act != "tanh":
        x, log_det = _of_leaky_relu(self, z)
        return x, log_det
    along = torch.sum(self.w * self.u)
    # as Planar.forward constrains it
    u = self.u + (torch.log(1 + torch.exp(along)) - 1 - along) * self.w / torch.sum(self.w**2)
    c = torch.sum(self.w * u)
    shifted = torch.sum(self.w * z, list(range(1, self.w.dim())), keepdim=True) + self.b
    size = shifted.abs()
    (s,) = loop(_STEPS, (start(c, size),), lambda s: (newton(c, size, s),))
    tanh = torch.tanh(s * torch.sign(shifted))
    return z - u * tanh, -torch.log(1 + c * (1 - tanh.square())).reshape(-1)


def radial(self: Any, z: Tensor) -> tuple[Tensor, Tensor]:
    """x and log |det ∂x/∂z| of z = x + h·(x - x₀) with h = β/(α + r) and r = ‖x - x₀‖, of which r + h·r is known."""
    alpha = torch.abs(self.alpha)
    beta = torch.log(1 + torch.exp(self.beta)) - alpha
    away = z - self.z_0
    distance = torch.linalg.vector_norm(away, dim=list(range(1, self.z_0.dim())), keepdim=True)
    # r² + b·r - α·distance = 0; of two forms of the one root, each cancels for one sign of b
    b = alpha + beta - distance
    discriminant = torch.sqrt(b.square() + 4 * alpha * distance)
    positive = b >= 0
    ahead = 2 * alpha * distance / torch.where(positive, b + discriminant, 1.0)
    r = torch.where(positive, ahead, 0.5 * (discriminant - b))
    far = alpha + r
    log_det = (self.d - 1) * torch.log(1 + beta / far) + torch.log(1 + alpha * beta / far.square())
    return z - beta / (far + beta) * away, -log_det.reshape(-1)
